"""What can go wrong, each as an exception that says what to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from underpaint.documents import Job


class UnderpaintError(Exception):
    """Everything that this client raises of itself."""


class BadAddress(UnderpaintError, ValueError):
    """What was given is not the address of a server."""


class BadKey(UnderpaintError, ValueError):
    """What was given cannot be an API key."""


class Unreachable(UnderpaintError):
    """The server did not answer. ``sent``: it may have got the request all the same."""

    def __init__(self, message: str, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(UnderpaintError):
    """What answered is no Underpaint server, or one that this client does not understand."""


class _OfJob(UnderpaintError):
    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class TimedOut(_OfJob, TimeoutError):
    """The job had not ended in the time that it was waited for; it goes on. ``job`` is how it stood."""


class JobFailed(_OfJob):
    """The job failed; ``job.error`` and ``job.failure`` say why."""


class JobCanceled(_OfJob):
    """The job was canceled."""


@dataclass(frozen=True)
class FieldError:
    """A field at fault; the message goes on where its name ends."""

    field: str
    message: str


class Problem(UnderpaintError):
    """The server refused, and said why (RFC 9457).

    Attributes:
        status: the status code.
        type: the name of the kind of problem, which stays the same: ``urn:underpaint:problem:queue-full``.
        title: the kind of problem, in words.
        detail: what happened this time, and what to change.
        errors: the fields at fault, all of them.
        instance: the path of the request.
        request_id: by which the server's log tells more.
        retry_after: seconds after which another try is worth it, where the server said so.
        members: all that the answer held.
    """

    def __init__(self, status: int, members: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.members = members
        self.retry_after = retry_after
        self.type = str(members.get("type", "about:blank"))
        self.title = str(members.get("title", ""))
        self.detail = str(members.get("detail") or self.title)
        self.instance = members.get("instance")
        self.request_id = members.get("request_id")
        self.errors = tuple(FieldError(each["field"], each["message"]) for each in members.get("errors", ()))
        super().__init__(self.detail)

    @property
    def kind(self) -> str:
        """The end of ``type``: ``queue-full``."""
        return self.type.rpartition(":")[2]


class InvalidRequest(Problem):
    """400, 413, 415 or 422: the request cannot be met as it is; ``errors`` says which fields are at fault."""


class Unauthorized(Problem):
    """401: a key is needed."""


class Forbidden(Problem):
    """403: the key does not allow this."""


class NotFound(Problem):
    """404: there is no such job, picture or model, as far as this key may know."""


class Conflict(Problem):
    """409: the job is not in a state for this."""


class TooMany(Problem):
    """429: too many requests, or jobs, and nothing was accepted."""


class ServerFault(Problem):
    """5xx: the server, or what it needs, is not well."""


_KINDS: dict[int, type[Problem]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: TooMany,
}


def refusal(response: httpx.Response) -> Problem | UnexpectedAnswer:
    """The exception for an answer that is no success; its body has been read."""
    status = response.status_code
    again = _retry_after(response.headers.get("retry-after"))
    kind = ServerFault if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _KINDS.get(status, Problem)
    try:
        return kind(status, {**response.json()}, again)
    except (ValueError, LookupError, TypeError):
        said = f"{response.request.method} {response.request.url} answered {status} {response.reason_phrase}"
        # A proxy says so in its own words when what is behind it is busy or away.
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return kind(status, {"detail": said}, again)
        return UnexpectedAnswer(f"{said}, as no Underpaint server does")


def _retry_after(header: str | None) -> float | None:
    """Seconds, which RFC 9110 (10.2.3) lets a server give as such or as a date."""
    if header is None:
        return None
    try:
        return float(header) if header.isdecimal() else max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None
