"""The cost of a round by its width, on one device with one model: measured, and a guess before that."""

from collections import deque
from collections.abc import Callable, Hashable
from itertools import accumulate
from statistics import median
from threading import Lock

from sampler import tuning

# The cost of a round by its width, in units of a round of one evaluation.
Curve = Callable[[int], float]


def flat(_: int) -> float:
    """A device with room: a round costs the same at every width."""
    return 1.0


def has_room(cost: Curve, width: int) -> bool:
    """Whether a round of this width takes hardly longer than a round of one evaluation."""
    return cost(width) <= tuning.ROOM


def guess(width: int) -> float:
    """The cost before any round was measured."""
    return 1 + tuning.FURTHER_EVALUATION * (width - 1)


class RoundCost:
    """Measured times of rounds. Thread-safe."""

    def __init__(self) -> None:
        self._seconds: dict[Hashable, dict[int, deque[float]]] = {}
        self._warm: set[tuple[Hashable, int]] = set()
        self._lock = Lock()

    def note(self, shape: Hashable, width: int, seconds: float) -> None:
        """Note the time of a round of `width` evaluations of one kind of sample. The first one of a width does not
        count: it may have allocated memory or chosen kernels."""
        with self._lock:
            if (shape, width) not in self._warm:
                self._warm.add((shape, width))
                return
            self._seconds.setdefault(shape, {}).setdefault(width, deque(maxlen=tuning.RECENT_ROUNDS)).append(seconds)

    def curve(self, shape: Hashable) -> Curve:
        """The cost of rounds of such samples, from the measurements so far."""
        with self._lock:
            measured = {width: median(seconds) for width, seconds in self._seconds.get(shape, {}).items()}
        return fit(measured) if measured else guess


def fit(measured: dict[int, float]) -> Curve:
    """The curve through measured seconds by width: linear between two widths, never falling. Beyond the outermost
    widths it has the slope of the line through these two; with only one measured width, that of the guess."""
    widths = sorted(measured)
    seconds = list(accumulate((measured[width] for width in widths), max))
    first, last = widths[0], widths[-1]
    slope = (
        tuning.FURTHER_EVALUATION * seconds[0] / guess(first)
        if first == last
        else (seconds[-1] - seconds[0]) / (last - first)
    )

    def time(width: int) -> float:
        if width <= first:
            return max(seconds[0] - slope * (first - width), seconds[0] * width / first)
        if width >= last:
            return seconds[-1] + slope * (width - last)
        above = next(n for n, known in enumerate(widths) if known >= width)
        part = (width - widths[above - 1]) / (widths[above] - widths[above - 1])
        return seconds[above - 1] + part * (seconds[above] - seconds[above - 1])

    one = time(1)
    return lambda width: time(width) / one
