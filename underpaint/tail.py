"""A job's stream of server-sent events, over as many connections as it takes. Like `operations`, without I/O."""

import json
import time
from http import HTTPStatus

import httpx
from httpx_sse import ServerSentEvent

from underpaint import calls
from underpaint.calls import AnyJob
from underpaint.documents import DoneEvent, Event, IterateEvent, StateEvent
from underpaint.errors import Problem, UnexpectedAnswer, Unreachable, problem_from, unreachable
from underpaint.retries import Retries

KINDS: dict[str, type[Event]] = {"state": StateEvent, "iterate": IterateEvent, "done": DoneEvent}


class EventTail:
    """A client's position in the events of a job.

    For each connection the client sends a request for ``path`` with ``headers``, passes the response to `opened`, each
    server-sent event to `received`, and the end of the connection to `closed`, until ``ended``.

    Attributes:
        path: of the stream.
        ended: whether the job has ended and all its events were received.
    """

    def __init__(self, job: AnyJob, after: int, patience: float) -> None:
        self.path = calls.events_path(job)
        self.ended = False
        self._last = after
        self._done = False
        self._retries = Retries(patience)
        self._reconnect_delay = 0.0  # s, as the server asks
        self._opened_at: float | None = None
        self._error: Problem | UnexpectedAnswer | Unreachable | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of the next request."""
        return {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(self._last)}

    def opened(self, response: httpx.Response) -> bool:
        """Whether the response has events to read. If its status is not 200, its body must have been read."""
        self._error = None
        if response.status_code == HTTPStatus.NO_CONTENT:
            self.ended = True
        elif response.status_code != HTTPStatus.OK:
            self._error = problem_from(response)
        elif not response.headers.get("content-type", "").startswith("text/event-stream"):
            self._error = UnexpectedAnswer(f"{response.request.url} is not a stream of events.")
        else:
            self._opened_at = time.monotonic()
            return True
        return False

    def received(self, message: ServerSentEvent) -> Event | None:
        """The event in a message. None if the message is a keep-alive, or of a kind that only newer servers send.

        Raises:
            UnexpectedAnswer: no Underpaint server sends this message.
        """
        if message.retry is not None:
            self._reconnect_delay = message.retry / 1000
        if not message.data or not message.id:
            return None  # A server without its database sends ``retry`` and nothing else: that is no success either.
        try:
            number = int(message.id)
            kind = KINDS.get(message.event)
            event = kind.model_validate({**json.loads(message.data), "id": number}) if kind else None
        except (ValueError, TypeError) as error:
            raise UnexpectedAnswer(f"{self.path} sent an event that no Underpaint server sends: {error}") from error
        self._retries.succeeded()
        self._last = number
        self._done = kind is DoneEvent
        return event

    def closed(self, error: httpx.TransportError | None) -> float:
        """The seconds to wait before the next connection, after one that this error ended, or None the server.

        Raises:
            Problem, UnexpectedAnswer, Unreachable: there is no use in another connection.
        """
        if self._done and error is None:
            self.ended = True
        if self.ended:
            return 0
        if self._opened_at is not None:  # Keep-alives are no events: a quiet stream must not use up the patience.
            self._retries.exclude(time.monotonic() - self._opened_at)
            self._opened_at = None
        if error is not None:
            self._error = unreachable(error)
        reason = self._error or Unreachable("The server ends its stream.", sent=True)
        return self._retries.delay(reason, least=self._reconnect_delay)
