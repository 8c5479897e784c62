"""What goes wrong: at random, but the same with the same seed."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos.parts import Part, Service

PAUSE = (1.0, 5.0)  # s between two faults
FROZEN = (0.5, 8.0)  # s; a lease lasts 4
DOWN = (0.0, 2.0)  # s until what was killed is started again


class Faults:
    """Breaks parts of a service until it is told to stop, and mends all of them then."""

    def __init__(self, service: Service, seed: int, every: float = 1.0) -> None:
        """`every`: a factor of the pauses between faults."""
        self.counts: Counter[str] = Counter()
        self._service = service
        self._choose = random.Random(seed)
        self._every = every
        self._ended = threading.Event()
        self._mending: list[threading.Timer] = []

    def run(self, seconds: float) -> None:
        """Break something now and then for so long, then mend everything."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._fault()
            time.sleep(self._every * self._choose.uniform(*PAUSE))
        for timer in self._mending:
            timer.join()
        for part in self._service.parts:
            part.keep()

    def _fault(self) -> None:
        service = self._service
        kinds: list[tuple[str, Callable[[Part], None], list[Part]]] = [
            ("killed", self._kill, [*service.workers, *service.served, service.beat, service.broker, service.database]),
            ("frozen", self._freeze, service.parts),
            ("stopped in order", self._stop, [*service.workers, *service.served, service.beat]),
            ("flushed", lambda _: service.flush(), [service.broker]),
        ]
        what, act, parts = self._choose.choices(kinds, weights=[5, 4, 2, 2])[0]
        part = self._choose.choice(parts)
        act(part)
        self.counts[f"{part.name.rstrip(' 12')} {what}"] += 1

    def _kill(self, part: Part) -> None:
        part.send(signal.SIGKILL)
        self._later(self._choose.uniform(*DOWN), part.keep)

    def _stop(self, part: Part) -> None:
        part.send(signal.SIGTERM)
        for after in (2.0, 10.0, 30.0):  # it takes a while, and is started when it has ended
            self._later(after, part.keep)

    def _freeze(self, part: Part) -> None:
        part.send(signal.SIGSTOP)
        self._later(self._choose.uniform(*FROZEN), lambda: part.send(signal.SIGCONT))

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.start()
        self._mending = [each for each in self._mending if each.is_alive()] + [timer]
