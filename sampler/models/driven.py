"""A diffusers pipeline's own `__call__`, driven: it runs as a greenlet that is switched out where it needs an answer.

A `Run` is one call of a pipeline for one prompt. It stops

- where its loop calls a network: `NetworkCall`, to be answered with the network's output;
- where it calls `scheduler.step`: `Step`, with what the pipeline made of the outputs (guidance of whatever kind
  included), to be answered with the next sample, after `Run.point` was set to the time point that belongs to it. What
  the pipeline does to the answer before it goes on, such as to put back what a mask keeps, changes nothing: where it
  asks its scheduler for a noised picture, it gets the answer itself;
- at its end: the pictures.

So the loop visits any time points in any order, and what stands before and after it is the pipeline's own: encoding
the prompt, noise, the arguments of `set_timesteps`, decoding. A pipeline is not changed: a run works on a copy of the
object, whose networks and scheduler are copies with the same state and another `__call__` or `step`. Only the names
`enumerate` and `randn_tensor` in the pipeline's module are replaced, by functions that do something else in a run
alone.
"""

import builtins
import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, wraps
from hashlib import blake2b
from typing import Any, Literal, cast

import diffusers
import torch

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
# (diffusers is hardly typed)
from greenlet import error as GreenletError  # noqa: N812
from greenlet import getcurrent, greenlet
from torch import Tensor

from sampler.errors import UnsupportedModel

# How many encoded prompts are kept: most share the empty negative one, and several pictures of one are common.
PROMPTS = 64
# And how many encoded pictures: a job has one, or the same under a mask.
PICTURES = 8


@dataclass(frozen=True, slots=True)
class NetworkCall:
    """A pipeline's call of one of its networks, by the name of the component."""

    network: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A pipeline's call of `scheduler.step`: the network's output after guidance, and the sample."""

    output: Tensor
    sample: Tensor


class Output(tuple[Any, ...]):
    """What networks and schedulers return in their place, for callers that unpack it and for those that name it."""

    __slots__ = ()

    @property
    def sample(self) -> Any:
        return self[0]

    prev_sample = sample


class Points(Tensor):
    """A scheduler's `timesteps`. Iterated in a run, it yields whatever points the driver asks for.

    Attributes:
        known: length, dtype and device; asking a tensor of another class for them takes ten times as long.
    """

    known: tuple[int, torch.dtype, torch.device]

    def __len__(self) -> int:
        length = self.known[0] if "known" in self.__dict__ else super().__len__()
        # After a step no point is the last one: another may follow.
        return length + 1 if _has_stepped() else length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and _has_stepped():
            return self.as_subclass(Tensor)[min(index, len(self) - 2)]
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Any]:
        run = getcurrent()
        if not isinstance(run, Run):
            yield from self.as_subclass(Tensor).unbind(0)
            return
        # Some pipelines visit a part of them.
        self.known = _like(self.as_subclass(Tensor))
        run.points = self.as_subclass(Tensor)
        while run.point is not None:
            run.looping, run.stepped = True, False
            yield run.time(self)
        run.looping = False

    def __deepcopy__(self, memo: Any) -> "Points":
        return self


class Run(greenlet):
    """One call of a pipeline.

    Attributes:
        pipeline: the copy that runs; its `scheduler` has the pipeline's time points.
        point: (timestep, index) of the point that the loop visits next; None ends the loop.
        looping: whether it is in the loop.
        points: the time points that it iterates over, from the start of its loop.
        stepped: whether it has called `scheduler.step` since it came to the last point.
        level: (alpha, sigma): what the scheduler's `add_noise` makes of a picture and noise; None if that does not
            matter.
        noised: where the pipeline has noised a picture: before its loop, in it.
    """

    def __init__(self, pipeline: Any, arguments: dict[str, Any]) -> None:
        super().__init__(self._paint)
        self.pipeline = pipeline
        self.point: tuple[float, int] | None = (float("nan"), 0)
        self.looping = False
        self.stepped = False
        self.points: Tensor | None = None
        self.level: tuple[float, float] | None = None
        self.noised: set[Literal["before", "in"]] = set()
        self.answer: Any = None
        self._arguments = arguments

    def _paint(self, *_: Any) -> Any:
        """The greenlet: the pipeline's code, without the context manager around it, which could not be switched."""
        return inspect.unwrap(type(self.pipeline).__call__)(self.pipeline, **self._arguments)

    def advance(self, answer: Any = None) -> Any:
        """Go on with an answer to the next stop: a `NetworkCall`, a `Step`, or the pipeline's result.

        Raises:
            Exception: that of the pipeline.
        """
        self.parent = getcurrent()
        self.answer = answer
        return self.switch(answer)

    def end(self) -> None:
        """End it where it waits. Without this it would stay in memory: the garbage collector does not look into the
        frames of a greenlet that waits, which refer to it."""
        if self and not self.dead:
            with suppress(GreenletError, ValueError):  # another thread's run ends with its thread
                self.parent = getcurrent()
                self.throw()

    def time(self, points: Tensor) -> Tensor:
        """The time of the next point, as the pipeline's scheduler would list it."""
        assert self.point is not None
        timestep, index = self.point
        if timestep != timestep:  # the first visit, which the driver did not ask for
            return points.as_subclass(Tensor)[index]
        _, dtype, device = points.known if isinstance(points, Points) and "known" in points.__dict__ else _like(points)
        if not dtype.is_floating_point and timestep != int(timestep):
            dtype = torch.float32
        return torch.tensor(timestep, dtype=dtype, device=device)


def _has_stepped() -> bool:
    run = getcurrent()
    return isinstance(run, Run) and run.looping and run.stepped


def _like(points: Tensor) -> tuple[int, torch.dtype, torch.device]:
    return len(points), points.dtype, points.device


def stop(event: Any) -> Any:
    """Switch the run out, and return the driver's answer."""
    run = getcurrent()
    assert run.parent is not None
    return run.parent.switch(event)


class Prepared:
    """A pipeline, made ready to be run any number of times.

    Args:
        pipeline: it is not changed.
    """

    def __init__(self, pipeline: Any) -> None:
        made = copy.copy(pipeline)
        made.__class__ = _driven_pipeline(type(pipeline))
        # Not by attribute: that would rewrite the pipeline's config.
        own = made.__dict__
        own["_fixed_device"] = pipeline._execution_device
        own["_texts"] = OrderedDict[Any, Any]()
        for name, part in pipeline.components.items():
            if is_network(part) and hasattr(part, "decode") and hasattr(part, "encode"):
                own[name] = copy.copy(part)
                own[name].__class__ = _driven_autoencoder(type(part))
                # Whoever replaces its `decode` for a while replaces that of the pipeline (`sampler.models.upcast`).
                own[name].__dict__["decode"] = _decoding(part)
                own[name].__dict__["_pictures"] = OrderedDict[Any, Any]()
            elif is_network(part) and not hasattr(part, "decode"):
                own[name] = copy.copy(part)
                own[name].__class__ = _driven_network(type(part), name)
        scheduler = copy.copy(pipeline.scheduler)
        scheduler.__class__ = _stand_in(type(scheduler))
        scheduler.timesteps = scheduler.__dict__.pop("timesteps", None)
        own["scheduler"] = scheduler
        self._pipeline = made
        _replace_names(inspect.unwrap(type(pipeline).__call__).__globals__)

    def run(self, arguments: dict[str, Any], weights: str = "") -> Run:
        """A run that has not begun. ``weights`` names what the networks' weights are now: other ones encode prompts
        otherwise."""
        pipeline = copy.copy(self._pipeline)
        pipeline.__dict__["_weights"] = weights
        pipeline.__dict__["scheduler"] = copy.copy(self._pipeline.scheduler)
        return Run(pipeline, arguments)


@cache
def _driven_pipeline(base: type) -> type:
    def encode_prompt(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Settings that a pipeline keeps in attributes, such as `_clip_skip`, may count, too.
        state = {name: value for name, value in self.__dict__.items() if isinstance(value, int | float | str)}
        try:
            key = _frozen((args, kwargs, state))
        except TypeError:
            return base.encode_prompt(self, *args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        texts: OrderedDict[Any, Any] = self._texts
        if key not in texts:
            texts[key] = base.encode_prompt(self, *args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
            if len(texts) > PROMPTS:
                texts.popitem(last=False)
        texts.move_to_end(key)
        return texts[key]

    # Diffusers goes through all modules on each access of a device.
    body: dict[str, Any] = {
        "device": property(lambda self: self._fixed_device),
        "_execution_device": property(lambda self: self._fixed_device),
        "progress_bar": lambda self, iterable=None, total=None: _Quiet() if iterable is None else iterable,
        "maybe_free_model_hooks": lambda self: None,
    }
    if hasattr(base, "encode_prompt"):
        body["encode_prompt"] = wraps(base.encode_prompt)(encode_prompt)
    return type(base.__name__, (base,), body)


def _frozen(value: Any) -> Any:
    """A key for arguments of plain values.

    Raises:
        TypeError: there are others.
    """
    if isinstance(value, list | tuple):
        return (type(value), *map(_frozen, value))
    if isinstance(value, dict):
        return tuple((name, _frozen(item)) for name, item in sorted(cast("dict[str, Any]", value).items()))
    if value is None or isinstance(value, str | int | float | torch.device | torch.dtype):
        return value
    raise TypeError(f"{type(value)} is no plain value")


class _Quiet:
    """A progress bar that shows nothing."""

    def __enter__(self) -> "_Quiet":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int = 1) -> None:
        pass


@cache
def _driven_network(base: type, name: str) -> type:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = getcurrent()
        if isinstance(run, Run) and run.looping:
            return stop(NetworkCall(name, args, kwargs))
        return base.__call__(self, *args, **kwargs)

    return type(base.__name__, (base,), {"__call__": call})


def _decoding(autoencoder: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: autoencoder.decode(*args, **kwargs)


@cache
def _driven_autoencoder(base: type) -> type:
    def encode(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        content = x.detach().float().cpu().contiguous().numpy()
        key = (blake2b(content.tobytes()).digest(), x.shape, x.dtype, x.device, args, tuple(kwargs.items()))
        pictures: OrderedDict[Any, Any] = self._pictures
        if key not in pictures:
            pictures[key] = base.encode(self, x, *args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
            if len(pictures) > PICTURES:
                pictures.popitem(last=False)
        pictures.move_to_end(key)
        return pictures[key]

    # Each run of a condition encodes its picture, which takes as long as a step.
    return type(base.__name__, (base,), {"encode": encode})


@cache
def _stand_in(base: type) -> type:
    """The scheduler in a run. Its samples are the network's input (see `sampler.grid`), so that it scales nothing."""

    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> None:
        base.set_timesteps(self, *args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        given = inspect.signature(base.set_timesteps).bind(self, *args, **kwargs).arguments  # pyright: ignore
        self.schedule = {k: v for k, v in given.items() if k not in ("self", "device") and v is not None}

    def step(self: Any, model_output: Tensor, timestep: Any, sample: Tensor, **_: Any) -> Output:
        run = getcurrent()
        if not isinstance(run, Run) or run.stepped or not run.looping:
            raise UnsupportedModel("its loop does not call scheduler.step once for each of the scheduler's time points")
        run.stepped = True
        return Output((stop(Step(model_output, sample)),))

    def set_points(self: Any, value: Tensor | None) -> None:
        self._points = None
        if value is not None:
            self._points = value.as_subclass(Points)
            self._points.known = len(value), value.dtype, value.device

    body: dict[str, Any] = {
        "set_timesteps": wraps(base.set_timesteps)(set_timesteps),  # pyright: ignore[reportAttributeAccessIssue]
        "step": step,
        "scale_model_input": lambda self, sample, *_: sample,
        "init_noise_sigma": property(lambda self: 1.0, lambda self, value: None),
        "timesteps": property(lambda self: self._points, set_points),
    }
    for name in ("add_noise", "scale_noise"):
        if hasattr(base, name):
            body[name] = _noising(getattr(base, name))
    return type(base.__name__, (base,), body)


def _noising(base: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A scheduler's `add_noise` or `scale_noise` in a run."""
    signature = inspect.signature(base)

    def noising(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        run = getcurrent()
        if not isinstance(run, Run):
            return base(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs).arguments
        picture: Tensor = given["original_samples" if "original_samples" in given else "sample"]
        noise: Tensor = given["noise"]
        run.noised.add("in" if run.looping else "before")
        if run.level is not None:
            alpha, sigma = run.level
            return alpha * picture + sigma * noise
        if not run.looping:
            return noise.expand(picture.shape)
        # The states of the driver have in them what a mask keeps.
        if not run.stepped or run.answer.shape[-2:] != picture.shape[-2:]:
            raise UnsupportedModel("its loop noises a picture that is no sample")
        return run.answer

    return wraps(base)(noising)


def _replace_names(names: dict[str, Any]) -> None:
    """In a pipeline's module: let `enumerate` count by the index of points, and draw float32 noise for any dtype."""

    def numbered(iterable: Iterable[Any], start: int = 0) -> Iterator[tuple[int, Any]]:
        run = getcurrent()
        if not (isinstance(iterable, Points) and isinstance(run, Run)):
            return builtins.enumerate(iterable, start)
        return ((run.point[1] + start if run.point else start, t) for t in iterable)

    names["enumerate"] = numbered
    drawn: Callable[..., Tensor] | None = names.get("randn_tensor")
    if drawn is None or hasattr(drawn, "__wrapped__"):
        return

    @wraps(drawn)
    def randn_tensor(shape: Any, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
        if not isinstance(getcurrent(), Run):
            return drawn(shape, *args, dtype=dtype, **kwargs)
        return drawn(shape, *args, dtype=torch.float32, **kwargs).to(dtype or torch.float32)

    names["randn_tensor"] = randn_tensor


def is_network(part: Any) -> bool:
    """Whether a component is one of diffusers' networks (an autoencoder, if it has `decode`)."""
    return isinstance(part, diffusers.ModelMixin)


def parameters(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    """Those of a pipeline's `__call__`."""
    return inspect.signature(type(pipeline).__call__).parameters
