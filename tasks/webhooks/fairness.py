"""Which hosts and keys get no further attempt now, so that dead receivers of one delay nobody else's webhooks.

An attempt that is never answered holds one of the sender's places for many seconds. So a host holds a few at most, one
that does not answer is left alone for a while, and a key holds more than its share only while nobody else wants it.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

AT_ONCE = 64
AT_ONCE_TO_A_HOST = 4
AT_ONCE_OF_A_KEY = AT_ONCE * 3 // 4  # even if it is alone: a newcomer finds places

# A host that has not answered so often in a row is left alone for the first pause; then one attempt is made, and if it
# is not answered the pause doubles.
UNANSWERED = 4
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0  # s
REMEMBERED = 10_000  # hosts that do not answer


@dataclass
class _Silence:
    """A host that does not answer."""

    attempts: int = 0
    until: float = 0.0


class Fairness:
    """Counts the attempts in progress by host and key, and remembers the hosts that do not answer.

    Args:
        now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._hosts: Counter[str] = Counter()
        self._keys: Counter[UUID | None] = Counter()
        self._silent: dict[str, _Silence] = {}

    @property
    def full(self) -> bool:
        """Whether there is no place for another attempt."""
        return self._hosts.total() >= AT_ONCE

    def begin(self, host: str, key: UUID | None) -> None:
        """An attempt begins."""
        self._hosts[host] += 1
        self._keys[key] += 1

    def end(self, host: str, key: UUID | None, answered: bool | None) -> None:
        """An attempt has ended. ``answered``: whether the host answered, with whatever status; None: unknown, as
        nothing was sent."""
        self._hosts[host] -= 1
        self._keys[key] -= 1
        self._hosts, self._keys = +self._hosts, +self._keys  # without those at 0
        if answered:
            self._silent.pop(host, None)
        elif answered is not None:
            self._note_silence(host)

    def busy_hosts(self) -> list[str]:
        """The hosts that get no further attempt now."""
        now = self._now()
        busy = {host for host, number in self._hosts.items() if number >= AT_ONCE_TO_A_HOST}
        for host, silence in self._silent.items():
            # After the pause one attempt shows whether it answers again.
            if silence.attempts >= UNANSWERED and (now < silence.until or self._hosts[host]):
                busy.add(host)
        return sorted(busy)

    def busy_keys(self, *, sharing: bool) -> list[UUID | None]:
        """The keys that get no further attempt now. ``sharing``: those that have their share already, besides one
        newcomer; otherwise those that have all that one key may have."""
        share = AT_ONCE // (len(self._keys) + 1) if sharing else AT_ONCE_OF_A_KEY
        return [key for key, number in self._keys.items() if number >= share]

    def _note_silence(self, host: str) -> None:
        silence = self._silent.pop(host, None) or _Silence()
        silence.attempts += 1
        doubled = FIRST_PAUSE * 2.0 ** min(silence.attempts - UNANSWERED, 30)
        silence.until = self._now() + min(doubled, LONGEST_PAUSE)
        self._silent[host] = silence  # the newest last
        while len(self._silent) > REMEMBERED:
            del self._silent[next(iter(self._silent))]
