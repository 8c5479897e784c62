"""How long a client wants its response to be held: ``?wait=S``, or ``Prefer: wait=S`` (RFC 7240)."""

import asyncio
import re
from typing import Annotated

from fastapi import Depends, Header, Query

MAX_WAIT = 60  # s; many proxies close a connection that is silent for longer

_WAIT = re.compile(r'wait\s*=\s*(?:(\d{1,9})|"(\d{1,9})")\s*(?:;.*)?', re.IGNORECASE)


class Wait:
    """The wait that a request asks for. It starts now.

    Attributes:
        seconds: how long the response may be held; 0: not at all.
        headers: for the response.
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
    """The seconds of the first valid ``wait`` in a Prefer header, at most ``MAX_WAIT``; None if there is none. A
    preference is never an error (RFC 7240, section 2)."""
    for preference in (header or "").split(","):
        if found := _WAIT.fullmatch(preference.strip()):
            return min(int(found[1] or found[2]), MAX_WAIT)
    return None


async def _wait(
    wait: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_WAIT,
            description="Hold the response for up to this many seconds, until there is something newer than what "
            "`If-None-Match` names. By default nothing is held.",
        ),
    ] = None,
    prefer: Annotated[
        str | None,
        Header(
            description=f"`wait=S` is the same as the parameter `wait`, except that more than {MAX_WAIT} s means "
            f"{MAX_WAIT} s. The parameter has precedence.",
            examples=["wait=20"],
        ),
    ] = None,
) -> Wait:
    if wait is not None:
        return Wait(wait, preferred=False)
    seconds = preferred(prefer)
    return Wait(seconds or 0, preferred=seconds is not None)


WithWait = Annotated[Wait, Depends(_wait)]
