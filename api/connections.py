"""The connections of one API process: how many it keeps, and for how long one may keep it waiting.

Each connection is an open file, and a process may have a limited number of those. A connection without a whole request
costs its client nothing, so any number of them must not silence the server:

- A head or body that trickles ends with 408. The times are the defaults of Apache's mod_reqtimeout, and there is a time
  for the whole of it: at their rate the largest picture could take half a day.
- When there are too many, the one that has waited longest for its client is closed for each new one. Connections that
  the server works for stay, such as streams.
- When only those are left, requests get a 503. A few connections more are kept, so that health checks get through.
"""

import asyncio
import logging
import resource
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from api.middleware.request_ids import RequestIds
from api.problems import Busy, TooSlow
from api.surfaces import SURFACES

# Each waiting client is an open file. Many systems allow a process 1,024 unless it asks for more.
OPEN_FILES = 65536
# Files for everything but clients: databases, brokers, logs, and what the libraries open for a moment.
OWN_FILES = 100
SPARE = 32  # connections beyond the limit, for health checks and for the 503s

HEALTH = ("/healthz", "/readyz")
RETRY_AFTER = 5  # s
TOLD_EVERY = 60.0  # s between two lines of the log about too many connections

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """A part of a request: it must be complete after ``seconds``, plus one for each ``rate`` bytes that have come, and
    after ``most`` seconds however much has come."""

    name: str
    seconds: float
    rate: float
    most: float = 900  # of 20 MiB, the largest upload by default, that is 23 kB a second


HEAD = Part("head", 20, 500)
BODY = Part("body", 20, 500)


def allow_many() -> int:
    """Raise the limit of open files of this process as far as the system allows, up to ``OPEN_FILES``. Returns how many
    connections it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(ValueError, OSError):  # some systems allow less than their hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
    files = OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    return max(files - OWN_FILES - SPARE, files // 2)


class _Waiting(dict["Connection", None]):
    """The connections that wait for their clients, the one that has waited longest first."""

    told_at = float("-inf")


_waiting: WeakKeyDictionary[ServerState, _Waiting] = WeakKeyDictionary()


class Connection(H11Protocol):
    """uvicorn's connection, within these limits. ``limited`` makes a class for a number of connections."""

    most: ClassVar[int] = OPEN_FILES

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._others = _waiting.setdefault(self.server_state, _Waiting())
        self._part: Part | None = None
        self._began = 0.0
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None
        self._whole_app = self.app

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            if len(self._others) > SPARE:
                next(iter(self._others)).abandon()
            else:
                self.app = _refusing_all_but_health(self._whole_app)
            self._tell()
        self._watch(0)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._watch(len(data))

    def on_response_complete(self) -> None:
        """Called when a response is complete."""
        super().on_response_complete()
        self._watch(0)

    def abandon(self) -> None:
        """Close it now: its client has kept the server waiting for longest, and others want to connect."""
        self._unwatch()
        self.transport.abort()

    def _watch(self, received: int) -> None:
        """Watch for how long the client takes for the part of its request that the server waits for."""
        part = None if self.transport.is_closing() else self._awaited()
        if part is None:
            self._unwatch()
            return
        if part is not self._part:
            self._unwatch()
            self._part, self._began, self._received = part, self.loop.time(), 0
            self._others[self] = None
        self._received += received
        if self._timer is None and not self._idle():
            if part is HEAD:
                self._began = self.loop.time()
            self._timer = self.loop.call_later(part.seconds, self._check)

    def _unwatch(self) -> None:
        self._others.pop(self, None)
        self._part = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _awaited(self) -> Part | None:
        if self.conn.their_state is h11.IDLE:
            return HEAD
        if self.conn.their_state is h11.SEND_BODY and self.conn.our_state is not h11.ERROR:
            return BODY
        return None

    def _idle(self) -> bool:
        """Whether it is between two requests: uvicorn's own timer closes it then."""
        return self._part is HEAD and self.timeout_keep_alive_task is not None

    def _check(self) -> None:
        self._timer = None
        part, now = self._part, self.loop.time()
        if part is None or self._idle():
            return
        if part is BODY and (self.flow.read_paused or self.cycle.waiting_for_100_continue):
            self._began = now  # the server keeps the client waiting
        until = self._began + min(part.seconds + self._received / part.rate, part.most)
        if now < until:
            self._timer = self.loop.call_later(until - now, self._check)
        else:
            self._give_up(part)

    def _give_up(self, part: Part) -> None:
        sent_some = part is BODY or self._received > 0
        if sent_some and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(TooSlow(f"The {part.name} of the request took too long to arrive."))
        if part is BODY:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._unwatch()
        self.transport.close()

    def _send(self, problem: TooSlow) -> None:
        made = SURFACES.render(self.scope["path"] if self._part is BODY else "/", problem)
        response = h11.Response(
            status_code=made.status_code,
            headers=[*made.raw_headers, (b"connection", b"close")],
            reason=problem.status.phrase,
        )
        for event in (response, h11.Data(data=bytes(made.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def _tell(self) -> None:
        if self.loop.time() > self._others.told_at + TOLD_EVERY:
            self._others.told_at = self.loop.time()
            number, waiting = len(self.connections), len(self._others)
            log.warning("%d connections, %d of which wait for their clients: those are closed first", number, waiting)


def limited(most: int) -> type[Connection]:
    """The class of connections of a process that keeps at most this many, and `SPARE` more."""
    return type("Connection", (Connection,), {"most": most})


def _refusing_all_but_health(app: Any) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        busy = Busy(Busy.example, headers={"Retry-After": str(RETRY_AFTER), "Connection": "close"})
        await SURFACES.render(scope["path"], busy)(scope, receive, send)

    refusing = RequestIds(refuse)

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["path"] in HEALTH else refusing)(scope, receive, send)

    return choose
