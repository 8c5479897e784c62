"""Any diffusers pipeline as a `sampler.denoiser.Model`. Nothing here knows a family.

What is assumed of a pipeline, and checked when it is loaded (`UnsupportedModel` says what does not hold):

1. Its loop iterates over `scheduler.timesteps` and calls `scheduler.step` once for each of them.
2. In the loop it calls a network: a component that is a diffusers model and no autoencoder.
3. What it passes to `scheduler.step` depends on the sample, the time point and the request alone, not on the points
   that the loop has visited before.
4. A sample is the latents of a picture, (1, c, h, w) or (1, c, f, h, w), or its tokens, (1, h w, c); each of them
   covers as many pixels along each side, at every size.
5. A picture to begin with is noised by `scheduler.add_noise` or `scale_noise` before the loop; what a mask keeps is put
   back after each step, and is noised by the same function.
6. Its network's arguments hold the rows of a batch in a way that one call for two pictures shows (see
   `sampler.models.rows`), and its rows do not depend on each other.
"""

import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (diffusers is hardly typed)
from torch import Tensor

from sampler.denoiser import Lora
from sampler.errors import UnsupportedModel
from sampler.grid import Level
from sampler.models import rows
from sampler.models.driven import NetworkCall, Output, Prepared, Run, Step, is_network, parameters
from sampler.models.loras import Loras
from sampler.models.process import Process
from sampler.models.rows import Arguments, Place
from sampler.models.siblings import arguments as arguments_of
from sampler.models.siblings import blank, kinds, own_kind, referred, sibling, takes_references
from sampler.models.upcast import finite
from sampler.original import Kind, Original, Reference
from sampler.solvers import FromPicture, Kept, Solver

# Runs that wait for their condition's next evaluation, at most: each holds the embeddings of its prompt.
WAITING = 64
# For what does not depend on the steps.
STEPS = 4
# The steps of the check at the start, of which it visits some in the middle; and its guidance, as a model takes it.
CHECKED = 20
# How much of the noise the picture gets where it does not matter.
STRENGTH = 0.8
GUIDED = {"true_cfg_scale": 4.0}
# Sizes to be tried for what does not depend on the size.
SIZES = (64, 128, 256, 512, 1024)
# Of every run: pictures as arrays, at the size that is asked for, from the prompt as it is.
ALWAYS = {
    "output_type": "np", "return_dict": False, "use_resolution_binning": False, "clean_caption": False,
    "enable_prompt_rewrite": False, "use_pe": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """A request for a picture: the arguments of the pipeline's `__call__`, by name.

    Attributes:
        arguments: they.
        original: the picture that it begins with; None for noise alone.
        references: the pictures that the network looks at.
        seed: of what the pipeline draws to encode the original.
        loras: see `sampler.denoiser.Condition.loras`.
        signature: see `sampler.denoiser.Condition.signature`.
    """

    arguments: tuple[tuple[str, Any], ...]
    original: Original | None = None
    references: tuple[Reference, ...] = ()
    seed: int = 0
    loras: tuple[Lora, ...] = ()
    signature: Hashable = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Latents:
    """How the latents of a picture cover it.

    Attributes:
        scale: pixels a latent (or token), along each side.
        multiple: height and width must be multiples of this many pixels.
        fixed: the height and width of a pipeline that makes one size only.
    """

    scale: int
    multiple: int
    fixed: tuple[int, int] | None = None

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width in pixels of a state (..., h, w)."""
        return shape[-2] * self.scale, shape[-1] * self.scale

    def shape(self, sample: Tensor, height: int, width: int) -> tuple[int, int, int]:
        """(c, h, w) of the state for a picture of this size."""
        h, w = height // self.scale, width // self.scale
        return sample[0].numel() // max(1, h * w), h, w


@dataclass(frozen=True, slots=True)
class Begun:
    """What a pipeline begins with, as states (c, h, w).

    Attributes:
        noise: unit normal.
        image: the latents of the picture; None if the pipeline begins with noise alone.
        kept: what a mask keeps; None without a mask, or if the network is told of it instead.
    """

    noise: Tensor
    image: Tensor | None
    kept: Kept | None


@dataclass(slots=True)
class Row:
    """A run that waits in its step for the next sample.

    Attributes:
        run, step: as they are.
        calls: of the network, in its first visit.
        times: the scheduler's time points.
        pixels: whether its samples are pictures, for want of an autoencoder.
        processors: of its network's attention, if its pipeline sets others for some requests.
        constants: arguments of its calls that are the same in all of them, with their numbers.
    """

    run: Run
    step: Step
    calls: list[Arguments]
    times: list[float]
    pixels: bool
    processors: dict[str, Any] | None = None
    constants: dict[int, tuple[Any, int]] = field(default_factory=dict[int, tuple[Any, int]])

    def __del__(self) -> None:
        if not sys.is_finalizing():  # greenlets are gone then
            self.run.end()

    def enter(self, states: Tensor, timestep: float | None) -> Any:
        """Put in states (pictures, c, h, w) and their time, None for the end of the loop; returns the next stop."""
        self.run.point = None if timestep is None else (timestep, self._index(timestep))
        sample = self.step.sample
        # Pipelines make arrays of their pictures, and there is none of bfloat16.
        states = states.to(torch.float32 if timestep is None and self.pixels else sample.dtype)
        x = states.flatten(2).mT if sample.ndim == 3 else states.reshape(-1, *sample.shape[1:])
        # Some pipelines keep a picture twice, for guidance.
        return self.run.advance(torch.cat([x] * (len(sample) // len(x))) if len(sample) > len(x) else x)

    def _index(self, timestep: float) -> int:
        if timestep in self.times:
            return self.times.index(timestep)
        return min(range(len(self.times)), key=lambda n: abs(self.times[n] - timestep))


class PipelineModel:
    """See `sampler.denoiser.Model`.

    Attributes:
        pipeline: as it was given; it is not changed.
        process: its noise process.
        kind: what it is made from beside text; None for text alone.
        kinds: what it, or another pipeline of the same parts, can be made from.
        refers: whether it takes references.
        network: the name of the component that its loop calls.
        latents: how its samples cover a picture.
        parameters: of its `__call__`, by name.
        some_size: a height and width that it makes.
    """

    def __init__(self, pipeline: Any, parent: "PipelineModel | None" = None) -> None:
        """Take over a pipeline that is on its device already.

        Args:
            pipeline: it.
            parent: the model of the same parts, for a pipeline that takes a picture.

        Raises:
            UnsupportedModel: it is not what the adapter assumes, or its scheduler cannot be sampled.
        """
        self.pipeline = pipeline
        self.process = parent.process if parent else Process(pipeline.scheduler)
        self.kind: Kind | None = own_kind(type(pipeline))
        self.kinds = kinds(type(pipeline))
        self.refers = takes_references(type(pipeline))
        self._parent = parent
        self.parameters = parameters(pipeline)
        self._prepared = Prepared(pipeline)
        self._loras: Loras = parent._loras if parent else Loras(pipeline)  # of the networks, which they share
        self._device: torch.device = pipeline._execution_device
        self._threads = threading.local()  # a run cannot be continued by another thread
        self._places: dict[Hashable, list[Place]] = {}
        self._learned: dict[Hashable, list[Place]] = {}
        self._real = False
        self._perturbs = False  # whether its pipeline sets other processors of attention for some requests
        self._constants: list[Any] = []
        self._schedule = lru_cache(maxsize=64)(self._read_schedule)
        self._begun = lru_cache(maxsize=4)(self._read_begun)
        self._siblings: dict[Kind, PipelineModel] = {}
        if parent:
            self.network, self.latents, self.some_size = parent.network, parent.latents, parent.some_size
        else:
            with torch.inference_mode():
                self.network, self.latents, self.some_size = self._examine()
        try:
            self._check_rows(*self.some_size)
        except (RuntimeError, TypeError, AttributeError, NameError, ValueError) as error:
            raise UnsupportedModel(f"its loop fails: {type(error).__name__}: {error}") from error
        self._waiting.clear()

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._device

    # From a request to states -----------------------------------------------------------------------------------------

    def solver(
        self,
        steps: int,
        name: str | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        seed: int = 0,
        eta: float = 0.0,
        original: Original | None = None,
    ) -> Solver:
        """See `sampler.denoiser.Model.solver`."""
        if (other := self.for_original(original)) is not self:
            return other.solver(steps, name, height=height, width=width, seed=seed, eta=eta, original=original)
        trained = int(self.pipeline.scheduler.config.num_train_timesteps)
        if not 1 <= steps <= trained:
            raise ValueError(f"steps must be from 1 to {trained} (the model's training timesteps), not {steps}")
        if original is None:
            return self.process.solver(steps, name, seed, eta, **self._schedule(steps, height, width))
        schedule = self._schedule(steps, original.height, original.width, original.strength)
        begun = self._begun(original, seed, steps)
        return FromPicture(self.process.solver(steps, name, seed, eta, **schedule), begun.image, begun.kept)

    def for_original(self, original: Original | None) -> "PipelineModel":
        """The model for what a picture is made from.

        Raises:
            ValueError: there is none.
        """
        kind = original and original.kind
        if kind == self.kind or self._parent is not None:
            return self
        if kind is None:
            what = "an image" if self.kind == "image" else "an image and a mask"
            raise ValueError(f"this model needs {what}: it changes pictures")
        if kind not in self.kinds:
            raise ValueError(f"this model takes no {kind}: choose another model, or leave it out")
        if kind not in self._siblings:
            try:
                self._siblings[kind] = PipelineModel(sibling(self.pipeline, kind), self)
            except UnsupportedModel:
                if kind == "image":
                    raise
                # The rule of a mask is the same for all: see `_kept`.
                self._siblings[kind] = self.for_original(replace(original, mask=None)) if original else self
        return self._siblings[kind]

    def _read_schedule(
        self, steps: int, height: int | None, width: int | None, strength: float | None = None
    ) -> dict[str, Any]:
        """What the pipeline passes to its scheduler's `set_timesteps` beside the number of steps: `sigmas`, `mu`; and
        how many steps it leaves out."""
        with torch.inference_mode():
            row = self._begin(self._plain(height, width, strength) | {"num_inference_steps": steps})
        used = row.run.pipeline.scheduler
        fresh = copy(self.pipeline.scheduler)
        fresh.set_timesteps(**used.schedule)
        schedule = {k: v for k, v in used.schedule.items() if k != "num_inference_steps"}
        if hasattr(fresh, "sigmas") and not torch.equal(fresh.sigmas, used.sigmas.cpu()):
            schedule["changed"] = used.sigmas.cpu().clone()
        if skipped := len(used.timesteps) - len(row.times):
            schedule["skipped"] = skipped // getattr(used, "order", 1)
            if schedule["skipped"] >= steps:
                raise ValueError(f"strength {strength} leaves none of {steps} steps: raise one of them")
        return schedule

    def noise(
        self, seed: int, height: int, width: int, *, original: Original | None = None, steps: int | None = None
    ) -> Tensor:
        """See `sampler.denoiser.Model.noise`."""
        if (other := self.for_original(original)) is not self:
            return other.noise(seed, height, width, original=original, steps=steps)
        latents = self.latents
        if latents.fixed and latents.fixed != (height, width):
            raise ValueError("height and width must be {} and {}".format(*latents.fixed) + f", not {height} x {width}")
        if height % latents.multiple or width % latents.multiple or min(height, width) < latents.multiple:
            raise ValueError(f"height and width must be multiples of {latents.multiple}, not {height} x {width}")
        if original is not None:
            if (original.height, original.width) != (height, width):
                raise ValueError(
                    f"the image must have {width} x {height} pixels, not {original.width} x {original.height}"
                )
            return self._begun(original, seed, steps or STEPS).noise.clone()
        arguments = self._plain(height, width) | {"generator": torch.Generator().manual_seed(seed)}
        with torch.inference_mode():
            state = self._shaped(self._begin(arguments).step.sample, height, width)
        return state.clone()  # outside of inference mode, whose tensors cannot be changed there

    def _shaped(self, sample: Tensor, height: int, width: int) -> Tensor:
        """A sample as a state (c, h, w) of a picture of this size."""
        shape = self.latents.shape(sample, height, width)
        if sample[0].numel() != shape[0] * shape[1] * shape[2]:
            raise ValueError(f"height and width must be others than {height} x {width}: the model rounds them")
        return _state(sample, shape).float()

    def _read_begun(self, original: Original, seed: int, steps: int) -> Begun:
        """What the pipeline begins with: noise and the picture's latents, drawn as it draws them. What its loop does to
        a sample after a step is linear in the sample, the picture and the noise, and is found by trying."""
        arguments = self._plain(original.height, original.width) | {
            "original": original, "num_inference_steps": steps, "generator": None,
        }  # fmt: skip

        def begin(level: Level) -> Row:
            return self._begin(arguments | {"generator": torch.Generator().manual_seed(seed)}, level=level)

        def after(row: Row, answer: Tensor, level: Level) -> Tensor:
            """The sample that the loop makes of the answer to a step."""
            row.run.level, row.run.point = level, (row.times[0], 0)
            stop = self._answered(row.run, row.run.advance(answer.expand_as(row.step.sample)), self._real, [])
            assert isinstance(stop, Step)
            return stop.sample

        with torch.inference_mode():
            row = begin((1.0, 0.0))
            sample, size = row.step.sample, (original.height, original.width)
            zero, one = sample.new_zeros(()), sample.new_ones(())
            image, noise = sample if "before" in row.run.noised else None, begin((0.0, 1.0)).step.sample
            known = after(row, zero, (1.0, 0.0))
            free = after(row, one, (1.0, 0.0)) - known
            kept = None
            if not bool((free == 1).all()):
                if "in" not in row.run.noised:
                    raise UnsupportedModel("what its mask keeps does not follow the noise levels of its scheduler")
                parts = [self._shaped(each, *size) for each in (free, known, after(row, zero, (0.0, 1.0)))]
                kept = Kept(*parts)
            noise = self._shaped(noise, *size)
            image = None if image is None else self._shaped(image, *size)
            if original.mask is not None and "mask_image" not in self.parameters:
                if image is None:
                    raise UnsupportedModel("its pipeline begins with noise alone, so that nothing can be kept")
                kept = _kept(original, noise, image)
                if original.strength == 1:
                    image = None  # as diffusers' inpainting pipelines do
        # Outside of inference mode, whose tensors cannot be changed there.
        if kept is not None:
            kept = Kept(*(each.clone() for each in (kept.free, kept.image, kept.noise)))
        return Begun(noise.clone(), None if image is None else image.clone(), kept)

    def encode(
        self,
        prompt: str,
        negative_prompt: str = "",
        guidance_scale: float = 7.5,
        *,
        steps: int | None = None,
        height: int | None = None,
        width: int | None = None,
        original: Original | None = None,
        references: Sequence[Reference] = (),
        seed: int = 0,
        loras: Sequence[Lora] = (),
        **options: float,
    ) -> Condition:
        """See `sampler.denoiser.Model.encode`. What exceeds a text encoder's length is cut off, as diffusers does."""
        if (other := self.for_original(original)) is not self:
            return other.encode(
                prompt, negative_prompt, guidance_scale,
                steps=steps, height=height, width=width, original=original, references=references, seed=seed,
                loras=loras, **options,
            )  # fmt: skip
        if original is not None and original.strength is not None and "strength" not in self.parameters:
            raise ValueError("this model takes no strength: leave it out")
        if references and not self.refers:
            raise ValueError("this model takes no references: leave them out")
        if unknown := [name for name in options if name not in self.parameters]:
            raise ValueError(f"this model does not take {', '.join(unknown)}: leave it out")
        arguments: dict[str, Any] = {"prompt": prompt, "guidance_scale": guidance_scale, **options}
        # Without one the pipeline's own default is best: zeros, or a text.
        if negative_prompt or options.get("true_cfg_scale", 1) > 1:
            arguments["negative_prompt"] = negative_prompt
        if "class_labels" in self.parameters and "prompt" not in self.parameters:
            arguments["class_labels"] = (self._label(prompt),)
        arguments |= {"num_inference_steps": steps or STEPS, "height": height, "width": width}
        taken = [(k, v) for k, v in arguments.items() if k in self.parameters and v is not None]
        condition = Condition(tuple(taken), original, tuple(references), seed, tuple(loras))
        with self._loras.using(condition.loras), torch.inference_mode():
            row = self._take(condition)
        self._give_back(condition, row)
        shapes = tuple((arguments.network, arguments.shapes) for arguments in row.calls)
        return replace(condition, signature=(self.kind, condition.loras, shapes))

    def _label(self, prompt: str) -> int:
        """The class that a prompt names, by its number or its name."""
        classes: int = getattr(self.pipeline, self.network).config.num_embeds_ada_norm
        name = prompt.strip()
        number = int(name) if name.isdecimal() else self.pipeline.labels.get(name, classes)
        if number >= classes:
            raise ValueError(f"{prompt!r} is no class of this model: give a number from 0 to {classes - 1}, or a name")
        return number

    def substitute(self) -> tuple[str, str] | None:
        """See `sampler.denoiser.Model.substitute`."""
        return self.process.substitute

    # From states to pictures ------------------------------------------------------------------------------------------

    def decode(self, samples: Tensor) -> Tensor:
        """Samples (b, c, h, w) to pictures (b, H, W, 3), uint8 on the CPU."""

        def decoded() -> Tensor:
            height, width = self.latents.size(samples.shape)
            row = self._begin(self._plain(height, width), len(samples))
            return torch.from_numpy(row.enter(samples, None)[0])

        with torch.inference_mode():
            pictures = finite(decoded, getattr(self.pipeline, "vae", None))
        return (pictures * 255).round().to(torch.uint8)

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """See `sampler.denoiser.Denoiser.denoise`."""
        if (other := self.for_original(conditions[0].original)) is not self:
            return other.denoise(x, timestep, conditions)
        conditions = [self._sized(condition, x.shape) for condition in conditions]
        with self._loras.using(conditions[0].loras), torch.inference_mode():
            taken = [self._take(condition) for condition in conditions]
            stops = [taken[n].enter(x[n : n + 1], time) for n, time in enumerate(timestep.tolist())]
            while any(isinstance(stop, NetworkCall) for stop in stops):
                self._answer(taken, stops, conditions)
            output = torch.stack([_state(stop.output, x.shape[1:]) for stop in stops])
        for condition, row in zip(conditions, taken, strict=True):
            self._give_back(condition, row)
        return output.float()

    def _sized(self, condition: Condition, shape: Sequence[int]) -> Condition:
        """A condition that was encoded for no size, for that of states (b, c, h, w)."""
        if "height" not in self.parameters or any(name == "height" for name, _ in condition.arguments):
            return condition
        height, width = self.latents.size(shape)
        return replace(condition, arguments=(*condition.arguments, ("height", height), ("width", width)))

    def _answer(self, taken: Sequence[Row], stops: list[Any], conditions: Sequence[Condition]) -> None:
        """Let the network answer all calls among the stops, in few calls, and go on to the next stops."""
        groups: dict[Hashable, list[tuple[int, Arguments]]] = {}
        for n, stop in enumerate(stops):
            if isinstance(stop, NetworkCall):
                arguments = Arguments.of(stop)
                same = self._same(arguments, self._places_in(arguments, conditions[n]), taken[n])
                kind = _kinds(taken[n].processors)
                groups.setdefault((arguments.skeleton, arguments.shapes, same, kind), []).append((n, arguments))
        for group in groups.values():
            calls = [arguments for _, arguments in group]
            places = self._places[calls[0].skeleton]
            count = rows.count(calls[0], places)
            args, kwargs = rows.merge(calls, places, count)
            network = getattr(self.pipeline, calls[0].network)
            if processors := taken[group[0][0]].processors:
                network.set_attn_processor(dict(processors))
            output = network(*args, **kwargs)
            for (n, _), answer in zip(group, rows.split(output, len(calls), count), strict=True):
                stops[n] = taken[n].run.advance(answer)

    def _same(self, arguments: Arguments, places: Sequence[Place], row: Row) -> tuple[int, ...]:
        """Numbers for what must be equal in all rows of a call; equal values have equal numbers."""
        numbers: list[int] = []
        for n, (leaf, place) in enumerate(zip(arguments.leaves, places, strict=True)):
            if place != rows.SAME:
                continue
            known, number = row.constants.get(n, (None, 0))
            if known is not leaf:
                number = next((k for k, other in enumerate(self._constants) if rows.equal(leaf, other)), -1)
                if number < 0:
                    number = len(self._constants)
                    self._constants.append(leaf)
                row.constants[n] = (leaf, number)
            numbers.append(number)
        return tuple(numbers)

    def _places_in(self, arguments: Arguments, condition: Condition) -> list[Place]:
        """Where the rows lie in a call's arguments."""
        if arguments.skeleton not in self._places:
            if arguments.paths not in self._learned:
                one, two = (self._begin(_asked(condition), n, loras=condition.loras).calls for n in (1, 2))
                self._learned |= {a.paths: rows.learn(a, b) for a, b in zip(one, two, strict=True)}
            if arguments.paths not in self._learned:
                raise UnsupportedModel("its loop calls the network with other arguments at some time points")
            self._places[arguments.skeleton] = self._learned[arguments.paths]
        return self._places[arguments.skeleton]

    # Runs -------------------------------------------------------------------------------------------------------------

    def _take(self, condition: Condition) -> Row:
        """A run of a condition that waits for a sample."""
        waiting = self._waiting.get(condition)
        return waiting.pop() if waiting else self._begin(_asked(condition), loras=condition.loras)

    def _give_back(self, condition: Condition, row: Row) -> None:
        waiting = self._waiting
        waiting.setdefault(condition, []).append(row)
        waiting.move_to_end(condition)
        while sum(map(len, waiting.values())) > WAITING:
            waiting.popitem(last=False)

    @property
    def _waiting(self) -> "OrderedDict[Condition, list[Row]]":
        if not hasattr(self._threads, "waiting"):
            self._threads.waiting = OrderedDict()
        return self._threads.waiting

    def _plain(self, height: int | None, width: int | None, strength: float | None = None) -> dict[str, Any]:
        """Arguments of a run whose prompt and picture do not matter."""
        size = {"height": height, "width": width} if height and width else {}
        plain = {"prompt": "", "guidance_scale": 1.0, "num_inference_steps": STEPS, "class_labels": (0,), **size}
        if self.kind is None:
            return plain
        if not size:
            height, width = self.some_size
        return plain | {"original": blank(width or 0, height or 0, self.kind, strength or STRENGTH)}

    def _begin(
        self,
        arguments: dict[str, Any],
        pictures: int = 1,
        level: Level | None = None,
        loras: tuple[Lora, ...] | None = None,
    ) -> Row:
        """A new run, up to its first step.

        Args:
            arguments: of the pipeline, and its `original`.
            pictures: how many.
            level: see `Run.level`.
            loras: that take part now; None for a run whose prompt does not matter.

        The network is not called: what it would return does not matter, but for its shape. That is guessed, and if the
        pipeline cannot go on with the guess, the network is called after all.
        """
        asked = {"generator": torch.Generator().manual_seed(0), **ALWAYS, **arguments}
        original = asked.pop("original", None)
        if isinstance(original, Original):
            asked |= arguments_of(original, pictures)
        if references := asked.pop("references", ()):
            asked |= referred(references)
        height, width = asked.get("height"), asked.get("width")
        if isinstance(height, int) and isinstance(width, int):
            asked["max_area"] = height * width  # which some pipelines scale every size to
        if pictures > 1:
            asked |= self._several(asked, pictures)
        taken = {k: v for k, v in asked.items() if k in self.parameters}
        if not self._real:
            try:
                return self._started(taken, level, loras, real=False)
            except UnsupportedModel:
                raise
            except (RuntimeError, IndexError, TypeError, AttributeError, ValueError):
                row = self._started(taken, level, loras, real=True)
                self._real = True
                return row
        return self._started(taken, level, loras, real=True)

    def _several(self, asked: dict[str, Any], pictures: int) -> dict[str, Any]:
        """The arguments that ask for several pictures of a prompt."""
        for name in ("num_images_per_prompt", "batch_size"):
            # Pipelines that take pictures differ in which of them they repeat for it.
            if name in self.parameters and self.kind is None:
                return {name: pictures}
        lists = ("prompt", "negative_prompt", "class_labels")
        return {k: [*(asked[k] if k == "class_labels" else (asked[k],))] * pictures for k in lists if k in asked}

    def _started(
        self, arguments: dict[str, Any], level: Level | None, loras: tuple[Lora, ...] | None, real: bool
    ) -> Row:
        run = self._prepared.run(arguments, str(loras))
        run.level = level
        calls: list[Arguments] = []
        stop = self._answered(run, run.advance(), real, calls)
        if not isinstance(stop, Step):
            raise UnsupportedModel("its loop does not iterate over the time points of its scheduler")
        if not calls:
            raise UnsupportedModel("its loop does not call a network that is a component of the pipeline")
        assert run.points is not None
        pixels = not any(hasattr(part, "decode") for part in self.pipeline.components.values() if is_network(part))
        row = Row(run, stop, calls, run.points.tolist(), pixels)
        if self._perturbs:
            row.processors = getattr(self.pipeline, calls[0].network).attn_processors
        return row

    def _answered(self, run: Run, stop: Any, real: bool, calls: list[Arguments]) -> Any:
        """The next stop that is no call of a network, each of which is added to `calls`."""
        while isinstance(stop, NetworkCall):
            calls.append(Arguments.of(stop))
            network = getattr(self.pipeline, stop.network)
            stop = run.advance(network(*stop.args, **stop.kwargs) if real else _guess(calls[-1], network))
        return stop

    def _examine(self) -> tuple[str, Latents, tuple[int, int]]:
        """The network's name, how latents cover a picture, and a height and width that the pipeline makes.

        Raises:
            UnsupportedModel: an assumption of this module does not hold.
        """
        if "height" not in self.parameters:
            row = self._begin(self._plain(None, None))
            height, width = row.enter(_state(row.step.sample, row.step.sample.shape[1:])[None], None)[0].shape[1:3]
            latents = Latents(height // row.step.sample.shape[-2], 1, (height, width))
        else:
            row, height, scale = self._at_some_size()
            width, sample = height, row.step.sample
            patch = getattr(self.pipeline, row.calls[0].network).config.get("patch_size") if sample.ndim != 3 else 1
            patch = patch[-1] if isinstance(patch, list | tuple) else patch
            latents = Latents(scale, scale * (patch or 1))
        return row.calls[0].network, latents, (height, width)

    def _at_some_size(self) -> tuple[Row, int, int]:
        """A run, the side of its square picture, and the pixels a latent."""
        errors: list[Exception] = []
        for side in SIZES:
            try:
                row = self._begin(self._plain(side, side))
            except UnsupportedModel:
                raise
            except Exception as error:
                errors.append(error)
                continue
            shape = row.step.sample.shape
            along = round(shape[1] ** 0.5) if len(shape) == 3 else shape[-1]
            square = along**2 == shape[1] if len(shape) == 3 else len(shape) in (4, 5) and shape[-2] == along
            # Some pipelines make another size than they are asked for.
            if square and side % along == 0 and side // along % getattr(self.pipeline, "vae_scale_factor", 1) == 0:
                return row, side, side // along
            errors.append(ValueError(f"its samples {tuple(shape)} do not cover {side} x {side} pixels evenly"))
        why = f"its pipeline fails: {type(errors[0]).__name__}: {errors[0]}"
        if self.refers:
            why = f"it makes no picture without one to edit, and such pipelines are not served ({why})"
        raise UnsupportedModel(why) from errors[0]

    def _check_rows(self, height: int, width: int) -> None:
        """Evaluate two samples alone, together, and the first again.

        Raises:
            UnsupportedModel: an output depends on what was evaluated before or at the same time.
        """
        options: dict[str, Any] = {name: value for name, value in GUIDED.items() if name in self.parameters}
        before = _kinds(getattr(getattr(self.pipeline, self.network), "attn_processors", None))
        original = None
        if self.kind is not None:
            original = blank(width, height, self.kind, STRENGTH if "strength" in self.parameters else None)
        condition = self.encode(
            "0", "1", 5.0, steps=CHECKED, height=height, width=width, original=original, seed=0, **options
        )  # fmt: skip
        if _kinds(getattr(getattr(self.pipeline, self.network), "attn_processors", None)) != before:
            self._perturbs = True
            self._waiting.clear()
        noise = torch.stack([self.noise(seed, height, width, original=original, steps=CHECKED) for seed in (1, 2)])
        with torch.inference_mode():
            times = torch.tensor(self._take(condition).times, dtype=torch.float64)[[CHECKED // 2, CHECKED // 2 + 1]]
        one, other, again = (self.denoise(noise[n : n + 1], times[n : n + 1], [condition]) for n in (0, 1, 0))
        allowed = 1e-3 if getattr(self.pipeline, self.network).dtype == torch.float32 else 5e-2
        if _distance(again, one) > allowed / 100:
            raise UnsupportedModel("its guidance remembers the steps before, so that none can be computed ahead")
        if _distance(self.denoise(noise, times, [condition] * 2), torch.cat([one, other])) > allowed:
            raise UnsupportedModel("its network does not give the same for a picture in a batch as for one alone")


def _asked(condition: Condition) -> dict[str, Any]:
    """The arguments of a condition's runs."""
    if condition.original is None:
        return dict(condition.arguments) | {"references": condition.references}
    drawn = torch.Generator().manual_seed(condition.seed)
    return dict(condition.arguments) | {"original": condition.original, "generator": drawn}


def _kept(original: Original, noise: Tensor, image: Tensor) -> Kept:
    """What a mask keeps, for a pipeline without masks: as diffusers' inpainting pipelines make it from the mask.

    Args:
        original: with a mask.
        noise, image: (c, h, w), of the picture.
    """
    assert original.mask is not None
    mask = torch.frombuffer(bytearray(original.mask), dtype=torch.uint8).reshape(1, 1, original.height, original.width)
    free = torch.nn.functional.interpolate((mask >= 128).float(), size=image.shape[-2:])[0].to(image)
    free = free.expand(image.shape)
    return Kept(free, (1 - free) * image, (1 - free) * noise)


def _kinds(processors: dict[str, Any] | None) -> Hashable:
    """What two runs must have in common to share a call."""
    return None if processors is None else tuple(type(processor) for processor in processors.values())


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _state(sample: Tensor, shape: Sequence[int]) -> Tensor:
    """A sample (1, ...) as a state of the shape (c, h, w)."""
    if sample.ndim == 3:
        return sample[0].mT.reshape(shape)
    # What a network adds to it is a learned variance, which no solver here reads.
    return (sample[0][: shape[0]] if sample.ndim == 4 else sample[0]).reshape(shape)


def _guess(arguments: Arguments, network: Any) -> Output:
    """Something of the shape of a network's output: that of its first argument, with the channels of its config."""
    first = arguments.leaves[0]
    channels = network.config.get("out_channels")

    def like(x: Tensor) -> Tensor:
        return x.new_zeros((x.shape[0], channels, *x.shape[2:]) if channels and x.ndim == 4 else x.shape)

    return Output((like(first) if isinstance(first, Tensor) else [like(x) for x in first],))
