"""The client's exceptions. Each message says what to change."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import Any

import httpx

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)  # the server cannot have got the request


class UnderpaintError(Exception):
    """The base of all exceptions that this client defines."""


class BadAddress(UnderpaintError, ValueError):
    """The given address is not the URL of a server."""


class BadKey(UnderpaintError, ValueError):
    """The given key cannot be an API key."""


class BadProxy(UnderpaintError, ValueError):
    """The environment names a proxy that cannot be used."""


class Unreachable(UnderpaintError):
    """The server did not answer. ``sent``: whether it may have received the request."""

    def __init__(self, message: str, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(UnderpaintError):
    """The answer is not that of an Underpaint server, or the client does not understand it."""


@dataclass(frozen=True)
class FieldError:
    """An invalid field. The message continues a sentence that begins with the field's name."""

    field: str
    message: str


class Problem(UnderpaintError):
    """The server refused the request, and says why (RFC 9457).

    Attributes:
        status: the status code.
        type: the stable name of the kind of problem, as ``urn:underpaint:problem:queue-full``.
        title: the kind of problem, for people.
        detail: what happened in this case, and what to change.
        errors: all invalid fields.
        instance: the path of the request.
        request_id: the id of the request in the server's log.
        retry_after: seconds to wait before another attempt; None if the server sent none.
        members: all members of the problem document.
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
    """400, 413, 415 or 422: the request is invalid; ``errors`` names the fields."""


class Unauthorized(Problem):
    """401: a key is needed."""


class Forbidden(Problem):
    """403: the key's scopes do not allow this."""


class NotFound(Problem):
    """404: there is no such job, picture or model, or the key may not see it."""


class Conflict(Problem):
    """409: the state of the job does not allow this."""


class TooMany(Problem):
    """429: too many requests or jobs. Nothing was accepted."""


class ServerFault(Problem):
    """5xx: the server, or a service that it needs, does not work."""


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


def problem_from(response: httpx.Response) -> Problem | UnexpectedAnswer:
    """The exception for a response without success, whose body has been read."""
    status = response.status_code
    retry_after = _retry_after(response.headers.get("retry-after"))
    kind = ServerFault if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _KINDS.get(status, Problem)
    try:
        return kind(status, {**response.json()}, retry_after)
    except (ValueError, LookupError, TypeError):
        message = f"{response.request.method} {response.request.url} answered {status} {response.reason_phrase}"
        # Proxies answer with pages of their own if the server behind them is busy or away.
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return kind(status, {"detail": message}, retry_after)
        return UnexpectedAnswer(f"{message}, as no Underpaint server does")


def unreachable(error: httpx.TransportError) -> Unreachable:
    """The exception for a request without a response."""
    url = error.request.url
    server = f"{url.scheme}://{url.netloc.decode()}"
    message = f"No server answers at {server} ({error or type(error).__name__})."
    made = Unreachable(message, sent=not isinstance(error, NOT_SENT))
    made.__cause__ = error
    return made


def _retry_after(header: str | None) -> float | None:
    """Seconds from now. The header has seconds or a date (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    try:
        return float(header) if header.isdecimal() else max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None
