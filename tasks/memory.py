"""The memory of a worker's models: how much they may take, which are in it, and whose turn it is.

Models are loaded for their first job. When one needs room, others leave: idle ones first, the least recently used
before others. One with jobs keeps its turn for as long as it took to load, so that loading takes at most half of the
time however jobs come; then it begins no more of them, and leaves when those that it has begun are done. Models that
wait for room get it in the order in which they asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Literal

import psutil
import torch

State = Literal["absent", "waiting", "preparing", "ready", "failed"]

# Of the memory that is free when a worker starts, what models may take: the rest is for the computation itself.
SHARE = 0.8
LIMIT, USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


class TooLarge(ValueError):
    """The model does not fit into the memory that models may take."""


@dataclass
class Place:
    """A model, as the memory sees it.

    Attributes:
        poke: lets its engine look again at what it may do.
        state: what it does.
        size: bytes that it takes, or will take.
        used: when it was used last.
        until: while it has jobs, it need not leave before then.
        leaving: whether another model needs its room.
        error: why it could not be loaded.
        share: of its bytes, how many are in memory, as far as that is known.
    """

    poke: Callable[[], None]
    state: State = "absent"
    size: int = 0
    used: float = 0.0
    until: float = 0.0
    leaving: bool = False
    error: str | None = None
    share: Callable[[], float] = field(default=lambda: 0.0)
    busy: bool = False
    began: float = 0.0

    @property
    def inside(self) -> bool:
        """Whether its room is taken."""
        return self.state in ("preparing", "ready")


class Memory:
    """Any thread may use it.

    Args:
        limit: bytes that all models may take; None: any number.
        clock: in seconds.
    """

    def __init__(self, limit: int | None = None, clock: Callable[[], float] = monotonic) -> None:
        self.limit = limit
        self.loads = 0
        """How many models have been loaded so far."""
        self._clock = clock
        self._places: dict[str, Place] = {}
        self._queue: list[str] = []
        self._lock = Lock()

    def join(self, model: str, poke: Callable[[], None]) -> None:
        """A model that will ask for room."""
        with self._lock:
            self._places[model] = Place(poke)

    def admits(self, model: str, size: int) -> bool:
        """Whether a model may begin a job now. If it is not in memory, it has room for ``size`` bytes from now on, and
        must be loaded. Otherwise it is poked when that may have changed.

        Raises:
            TooLarge: it can never have room.
        """
        with self._lock:
            place, now = self._places[model], self._clock()
            if place.inside:
                if place.leaving and now >= place.until:
                    return False
                place.busy, place.used = True, now
                return True
            if self.limit is not None and size > self.limit:
                place.state, place.error = "failed", too_large(size, self.limit)
                self._withdraw(model)
                raise TooLarge(place.error)
            place.size, place.state = size, "waiting"
            if model not in self._queue:
                self._queue.append(model)
            if self._queue[0] != model or not self._has_room(place):
                self._make_room()
                return False
            self._queue.remove(model)
            place.state, place.error, place.busy, place.used, place.began = "preparing", None, True, now, now
            self.loads += 1
            self._make_room()
            return True

    def loaded(self, model: str, size: int) -> None:
        """A model is in memory, and takes so much; 0 if that is not known."""
        with self._lock:
            place, now = self._places[model], self._clock()
            place.state, place.size, place.until = "ready", size or place.size, 2 * now - place.began
            self._make_room()

    def idle(self, model: str) -> None:
        """A model has no job."""
        with self._lock:
            self._places[model].busy = False
            self._withdraw(model)

    def must_leave(self, model: str) -> bool:
        """Whether a model without begun jobs must be unloaded."""
        with self._lock:
            place = self._places[model]
            return place.leaving and place.state == "ready" and (not place.busy or self._clock() >= place.until)

    def left(self, model: str, error: str | None = None) -> None:
        """A model is not in memory any more, or could not be loaded for a reason."""
        with self._lock:
            place = self._places[model]
            place.state, place.error = ("absent" if error is None else "failed"), error
            place.leaving = place.busy = False
            self._make_room()

    def waits(self, model: str) -> bool:
        """Whether a model waits for room."""
        return self._places[model].state == "waiting"

    def states(self) -> dict[str, dict[str, Any]]:
        """What each model does: ``state``, ``share`` of its bytes in memory, ``size`` in bytes, ``error``."""
        with self._lock:
            places = dict(self._places)
        return {
            model: {
                "state": place.state,
                "share": place.share() if place.state == "preparing" else None,
                "size": place.size or None,
                "error": place.error,
            }
            for model, place in places.items()
        }

    def measure(self, model: str, share: Callable[[], float]) -> None:
        """How the share of a model that is being loaded is measured."""
        self._places[model].share = share

    def _withdraw(self, model: str) -> None:
        """A model asks for no room any more."""
        if model in self._queue:
            self._queue.remove(model)
            if self._places[model].state == "waiting":
                self._places[model].state = "absent"
        self._make_room()

    def _has_room(self, wanted: Place) -> bool:
        return self.limit is None or self._taken() + wanted.size <= self.limit

    def _taken(self) -> int:
        return sum(place.size for place in self._places.values() if place.inside)

    def _make_room(self) -> None:
        """Let the first model that waits know that it has room, or let as few others leave as it needs."""
        for place in self._places.values():
            place.leaving = False
        if not self._queue:
            return
        wanted = self._places[self._queue[0]]
        if self._has_room(wanted):
            wanted.poke()
            return
        assert self.limit is not None
        lacking = self._taken() + wanted.size - self.limit
        ready = [place for place in self._places.values() if place.state == "ready"]
        for place in sorted(ready, key=lambda each: (each.busy, each.used)):
            if lacking <= 0:
                break
            lacking -= place.size
            place.leaving = True
            place.poke()


def too_large(size: int, limit: int) -> str:
    """The figures, for people."""
    return (
        f"it needs {size / 2**30:.2f} GiB of memory, and models may take {limit / 2**30:.2f} GiB here: free some, or "
        "raise UNDERPAINT_MODEL_MEMORY_GIB; a smaller dtype or quantization in the catalogue needs less"
    )


def size_of(model: Any) -> int:
    """Bytes of a loaded model's weights; 0 if they are in other processes."""
    parts = getattr(getattr(model, "pipeline", None), "components", {})
    return sum(
        tensor.numel() * tensor.element_size()
        for part in parts.values()
        if isinstance(part, torch.nn.Module)
        for tensor in [*part.parameters(), *part.buffers()]
    )


def default_limit(devices: Sequence[str]) -> int | None:
    """What models may take on these devices now; None if that cannot be told without starting them."""
    if len(devices) != 1:
        return None
    if devices[0].startswith("cuda"):
        return int(SHARE * torch.cuda.mem_get_info(devices[0])[0])
    return int(SHARE * min(psutil.virtual_memory().available, _left_in_container()))


def _left_in_container() -> int:
    try:
        limit = LIMIT.read_text().strip()
        return 2**62 if limit == "max" else int(limit) - int(USED.read_text())
    except (OSError, ValueError):
        return 2**62


def meter(device: str, size: int) -> Callable[[], float]:
    """The share of ``size`` bytes by which the memory in use has grown since now."""

    def used() -> int:
        if device.startswith("cuda"):
            return torch.cuda.memory_allocated(device)
        return psutil.Process().memory_info().rss

    before = used()
    return lambda: min(1.0, max(0.0, (used() - before) / size)) if size else 0.0
