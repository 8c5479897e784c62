"""How long a client lets its answer be held: ``?wait=S``, or ``Prefer: wait=S`` (RFC 7240)."""

import asyncio
import re
from typing import Annotated

from fastapi import Depends, Header, Query

LONGEST = 60  # s; longer is cut off by many proxies

_WAIT = re.compile(r'wait\s*=\s*(?:(\d{1,9})|"(\d{1,9})")\s*(?:;.*)?', re.IGNORECASE)


class Wait:
    """The wait that a request asks for; its clock starts when it is made.

    Attributes:
        seconds: how long the answer may be held; 0: not at all.
        headers: to be sent with the answer.
    """

    def __init__(self, seconds: int, preferred: bool) -> None:
        self.seconds = seconds
        self.headers = {"Preference-Applied": f"wait={seconds}"} if preferred else {}
        self._until = asyncio.get_running_loop().time() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._until - asyncio.get_running_loop().time())


def preferred(header: str | None) -> int | None:
    """The seconds of the first ``wait`` in a Prefer header, at most ``LONGEST``; None where there is none that can be
    read: a preference is never an error (RFC 7240, section 2)."""
    for preference in (header or "").split(","):
        if found := _WAIT.fullmatch(preference.strip()):
            return min(int(found[1] or found[2]), LONGEST)
    return None


async def _wait(
    wait: Annotated[
        int | None,
        Query(
            ge=0,
            le=LONGEST,
            description="Hold the answer for up to so many seconds, until there is something that the client, which "
            "names what it has in `If-None-Match`, has not. By default nothing is held.",
        ),
    ] = None,
    prefer: Annotated[
        str | None,
        Header(
            description=f"`wait=S` is the same as the parameter `wait`, but for more than {LONGEST} s, which is taken "
            "as that. The parameter goes first.",
            examples=["wait=20"],
        ),
    ] = None,
) -> Wait:
    if wait is not None:
        return Wait(wait, preferred=False)
    seconds = preferred(prefer)
    return Wait(seconds or 0, preferred=seconds is not None)


WithWait = Annotated[Wait, Depends(_wait)]
