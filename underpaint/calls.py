"""The calls of the API: how each is asked, and how its answer is read. Nothing here sends anything."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, TypeAdapter

from underpaint.documents import Format, Health, Iterate, Job, JobPage, Json, Model, Picture, Readiness

T = TypeVar("T")
D = TypeVar("D", bound=BaseModel)

AnyJob = Job | UUID | str
"""A job, or its id."""

LONGEST_WAIT = 60  # s for which the server holds an answer
LARGEST_PAGE = 100
MARGIN = 15  # s that an answer may take beyond that

_iterates = TypeAdapter(list[Iterate])
_models = TypeAdapter(list[Model])


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call.

    Attributes:
        read: makes of a successful answer what the caller gets; a ValueError says that it was not understood.
        safe: whether it does no more when it is sent twice.
        hold: seconds for which the server may hold the answer.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    safe: bool = True
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Json | None = None
    hold: float = 0

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """As what is sent."""
        how: dict[str, Any] = {} if self.body is None else {"json": self.body}
        if self.hold:
            how["timeout"] = httpx.Timeout(self.hold + MARGIN, connect=http.timeout.connect)
        return http.build_request(self.method, self.path, params=dict(self.params), headers=dict(self.headers), **how)


def id_of(job: AnyJob) -> UUID:
    """The id of a job.

    Raises:
        ValueError: this is none.
    """
    return job.id if isinstance(job, Job) else UUID(str(job))


def submit(prompt: str, request: Mapping[str, Any], idempotency_key: str) -> Call[Job]:
    body = {"prompt": prompt, **{name: value for name, value in request.items() if value is not None}}
    return Call("POST", "/v1/jobs", _job, headers={"Idempotency-Key": idempotency_key}, body=body)


def job(which: AnyJob, wait: float = 0) -> Call[Job]:
    """With ``wait``, when it is no longer as it is known, or so many seconds later."""
    seconds = max(0, min(int(wait), LONGEST_WAIT))
    known = which if isinstance(which, Job) and which.etag else None
    if not known or not seconds:
        return Call("GET", _path(which), _job)

    def read(response: httpx.Response) -> Job:
        return known if response.status_code == HTTPStatus.NOT_MODIFIED else _job(response)

    headers = {"If-None-Match": known.etag or ""}
    return Call("GET", _path(which), read, params={"wait": seconds}, headers=headers, hold=seconds)


def page(limit: int, cursor: str | None, state: str | Iterable[str], model: str | None) -> Call[JobPage]:
    states = [state] if isinstance(state, str) else list(state)
    params = {"limit": limit, "cursor": cursor, "state": states or None, "model": model}
    given = {name: value for name, value in params.items() if value is not None}
    return Call("GET", "/v1/jobs", _document(JobPage), params=given)


def iterates(which: AnyJob) -> Call[list[Iterate]]:
    return Call("GET", f"{_path(which)}/iterates", lambda answer: _iterates.validate_python(answer.json()["iterates"]))


def picture(which: AnyJob, image: int, iterate: int | None, form: Format, wait: float = 0) -> Call[Picture]:
    """``iterate`` None: the newest one. With ``wait``, when it is there, or so many seconds later."""
    name = "latest" if iterate is None else iterate
    seconds = max(0, min(int(wait), LONGEST_WAIT))
    found = id_of(which)

    def read(response: httpx.Response) -> Picture:
        headers = response.headers
        return Picture(
            job=found,
            image=image,
            iterate=int(headers["underpaint-iterate"]),
            final=headers["underpaint-final"] == "true",
            media_type=headers["content-type"],
            content=response.content,
        )

    return Call(
        "GET",
        f"{_path(which)}/images/{image:d}/iterates/{name}",
        read,
        params={"wait": seconds} if seconds else {},
        headers={"Accept": f"image/{form}"},
        hold=seconds,
    )


def cancel(which: AnyJob) -> Call[Job]:
    return Call("POST", f"{_path(which)}/cancel", _job)


def accept(which: AnyJob) -> Call[Job]:
    return Call("POST", f"{_path(which)}/accept", _job)


def refine(which: AnyJob, tolerance: float | None, max_iterations: int | None) -> Call[Job]:
    given = {"tolerance": tolerance, "max_iterations": max_iterations}
    body = {name: value for name, value in given.items() if value is not None}
    return Call("POST", f"{_path(which)}/refine", _job, safe=False, body=body)


def delete(which: AnyJob) -> Call[None]:
    return Call("DELETE", _path(which), lambda _: None, safe=False)


def models() -> Call[list[Model]]:
    return Call("GET", "/v1/models", lambda answer: _models.validate_python(answer.json()["models"]))


def health() -> Call[Health]:
    return Call("GET", "/healthz", _document(Health))


def ready() -> Call[Readiness]:
    return Call("GET", "/readyz", _document(Readiness))


def events(which: AnyJob) -> str:
    """The path of a job's stream."""
    return f"{_path(which)}/events"


def _path(which: AnyJob) -> str:
    return f"/v1/jobs/{id_of(which)}"


def _document(kind: type[D]) -> Callable[[httpx.Response], D]:
    return lambda answer: kind.model_validate_json(answer.content)


def _job(answer: httpx.Response) -> Job:
    return Job.model_validate_json(answer.content).known_as(answer.headers.get("etag"))
