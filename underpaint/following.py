"""A job's stream of server-sent events (HTML standard, section 9.2) over as many connections as it takes.

Like ``steps``, this sends nothing: it says what to ask for, and is told what came.
"""

import json
from http import HTTPStatus

import httpx

from underpaint import calls
from underpaint.calls import AnyJob
from underpaint.documents import DoneEvent, Event, IterateEvent, StateEvent
from underpaint.errors import Problem, UnexpectedAnswer, Unreachable, refusal
from underpaint.steps import Retries, no_answer

KINDS: dict[str, type[Event]] = {"state": StateEvent, "iterate": IterateEvent, "done": DoneEvent}


class Follower:
    """Where a client is in the events of a job.

    Attributes:
        path: what to ask for.
        ended: whether there is nothing more to come.
    """

    def __init__(self, job: AnyJob, after: int, patience: float) -> None:
        self.path = calls.events(job)
        self.ended = False
        self._after = after
        self._retries = Retries(patience)
        self._rest = 0.0  # s that the server asks for before the next connection
        self._fields: dict[str, str] = {}
        self._error: Problem | UnexpectedAnswer | Unreachable | None = None
        self._done = False

    @property
    def headers(self) -> dict[str, str]:
        """Of the next request."""
        return {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(self._after)}

    def opened(self, response: httpx.Response) -> bool:
        """Whether there are lines to read. Of any answer but 200 the body has been read."""
        self._fields, self._error = {}, None
        if response.status_code == HTTPStatus.NO_CONTENT:
            self.ended = True
        elif response.status_code != HTTPStatus.OK:
            self._error = refusal(response)
        elif not response.headers.get("content-type", "").startswith("text/event-stream"):
            self._error = UnexpectedAnswer(f"{response.request.url} is no stream of events")
        return not self.ended and self._error is None

    def line(self, line: str) -> Event | None:
        """The event that ends with this line of the stream, if one of a kind that is known does. The server's JSON is
        ASCII, so whatever reads lines finds no other line breaks in it than the stream's own."""
        if line == "":
            return self._event()
        name, _, value = line.partition(":")
        self._fields[name] = value.removeprefix(" ")
        if name == "retry" and value.strip().isdecimal():
            self._rest = int(value) / 1000
        else:
            self._retries.succeeded()  # not by the above: a server whose database is away sends it and nothing else
        return None

    def cut(self, error: httpx.TransportError | None) -> float:
        """The stream has ended: by this error, or in order. How many seconds to wait before it is asked for again.

        Raises:
            Problem, UnexpectedAnswer, Unreachable: it is of no use.
        """
        if self._done and error is None:
            self.ended = True
        if self.ended:
            return 0
        if error is not None:
            self._error = no_answer(error)
        return self._retries.pause(self._error or Unreachable("The server ends its stream.", True), least=self._rest)

    def _event(self) -> Event | None:
        fields, self._fields = self._fields, {}
        if "data" not in fields or "id" not in fields:
            return None
        self._after = int(fields["id"])
        kind = KINDS.get(fields.get("event", ""))
        self._done = kind is DoneEvent
        # A kind that only a newer server has is no news to this client.
        return kind.model_validate({**json.loads(fields["data"]), "id": self._after}) if kind else None
