"""What a round costs by its width, on this device and with this model: as it was seen, and before that as a guess."""

from collections import deque
from collections.abc import Callable, Hashable
from itertools import accumulate
from statistics import median
from threading import Lock

from sampler import tuning

# What a round costs by its width, in rounds of one evaluation.
Curve = Callable[[int], float]


def flat(_: int) -> float:
    """A device with room: a round costs the same whatever its width."""
    return 1.0


def has_room(cost: Curve, width: int) -> bool:
    """Whether a round of this width takes hardly longer than one of a single evaluation."""
    return cost(width) <= tuning.ROOM


def guess(width: int) -> float:
    """What is expected where nothing was seen yet."""
    return 1 + tuning.FURTHER_EVALUATION * (width - 1)


class RoundCost:
    """Notes how long rounds take. Any thread may call it."""

    def __init__(self) -> None:
        self._seconds: dict[Hashable, dict[int, deque[float]]] = {}
        self._met: set[tuple[Hashable, int]] = set()
        self._lock = Lock()

    def note(self, shape: Hashable, width: int, seconds: float) -> None:
        """A round of `width` evaluations of samples of a shape took so long. The first of its kind does not count: it
        may have waited for memory or for a kernel to be chosen."""
        with self._lock:
            if (shape, width) not in self._met:
                self._met.add((shape, width))
                return
            self._seconds.setdefault(shape, {}).setdefault(width, deque(maxlen=tuning.RECENT_ROUNDS)).append(seconds)

    def curve(self, shape: Hashable) -> Curve:
        """What a round of such samples costs, by all that is known now."""
        with self._lock:
            seen = {width: median(seconds) for width, seconds in self._seconds.get(shape, {}).items()}
        return fit(seen) if seen else guess


def fit(seen: dict[int, float]) -> Curve:
    """The curve through what was seen: width to seconds. Straight between two widths, and never falling; from the
    outermost ones on it has the slope of the line through both, or, where there is only one, of the guess."""
    widths = sorted(seen)
    seconds = list(accumulate((seen[width] for width in widths), max))
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
