"""The calls of the API: the request of each, and how its response is read. Nothing here sends anything."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, TypeAdapter

from contract.fields import Sendable
from contract.words import Format
from underpaint.documents import Health, Iterate, Json, Model, Picture, Readiness
from underpaint.jobs import Job, JobPage

T = TypeVar("T")
D = TypeVar("D", bound=BaseModel)

AnyJob = Job | UUID | str
"""A job, or its id."""


AnyPicture = str | Sendable
"""A picture: the path of a file, the bytes of one, or an image of Pillow."""

LONGEST_WAIT = 60  # s; the server holds no answer for longer
LARGEST_PAGE = 100  # jobs
MARGIN = 15  # s that a held answer may be late

_iterates = TypeAdapter(list[Iterate])
_models = TypeAdapter(list[Model])


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call.

    Attributes:
        read: converts a successful response to the result; raises ValueError, LookupError or TypeError if it cannot.
        repeatable: whether sending it twice has the effect of sending it once.
        hold: seconds for target the server may hold the response.
        redirected: whether the server may redirect it to another one, which does not get the key.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    repeatable: bool = True
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Json | None = None
    content: bytes | None = None
    hold: float = 0
    redirected: bool = False

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request to send."""
        options: dict[str, Any] = {} if self.body is None else {"json": self.body}
        if self.content is not None:
            options["content"] = self.content
        if self.hold:
            options["timeout"] = httpx.Timeout(self.hold + MARGIN, connect=http.timeout.connect)
        return http.build_request(
            self.method, self.path, params=dict(self.params), headers=dict(self.headers), **options
        )


def id_of(job: AnyJob) -> UUID:
    """The id of a job.

    Raises:
        ValueError: the text is not an id.
    """
    return job.id if isinstance(job, Job) else UUID(str(job))


def submit(prompt: str, request: Mapping[str, Any], idempotency_key: str) -> Call[Job]:
    body = {"prompt": prompt, **{name: value for name, value in request.items() if value is not None}}
    return Call("POST", "/v1/jobs", _job, headers={"Idempotency-Key": idempotency_key}, body=body)


def upload(picture: AnyPicture) -> Call[str]:
    """Raises OSError if a file cannot be read."""
    if isinstance(picture, str | Path):
        data = Path(picture).read_bytes()
    elif isinstance(picture, bytes):
        data = picture
    else:  # of Pillow
        out = BytesIO()
        picture.save(out, "PNG")
        data = out.getvalue()
    headers = {"Content-Type": "application/octet-stream"}
    return Call("POST", "/v1/uploads", lambda response: str(response.json()["id"]), headers=headers, content=data)


def job(target: AnyJob, wait: float = 0) -> Call[Job]:
    """With ``wait``, the response comes when the job differs from the given ``Job``, or after so many seconds."""
    seconds = max(0, min(int(wait), LONGEST_WAIT))
    known = target if isinstance(target, Job) and target.etag else None
    if not known or not seconds:
        return Call("GET", _path(target), _job)

    def read(response: httpx.Response) -> Job:
        return known if response.status_code == HTTPStatus.NOT_MODIFIED else _job(response)

    headers = {"If-None-Match": known.etag or ""}
    return Call("GET", _path(target), read, params={"wait": seconds}, headers=headers, hold=seconds)


def page(limit: int, cursor: str | None, state: str | Iterable[str], model: str | None) -> Call[JobPage]:
    states = [state] if isinstance(state, str) else list(state)
    params = {"limit": limit, "cursor": cursor, "state": states or None, "model": model}
    given = {name: value for name, value in params.items() if value is not None}
    return Call("GET", "/v1/jobs", _document(JobPage), params=given)


def iterates(target: AnyJob) -> Call[list[Iterate]]:
    return Call(
        "GET", f"{_path(target)}/iterates", lambda response: _iterates.validate_python(response.json()["iterates"])
    )


def picture(target: AnyJob, image: int, iterate: int | None, format: Format, wait: float = 0) -> Call[Picture]:
    """``iterate`` None: the newest. With ``wait``, the response comes when there is one, or after so many seconds."""
    name = "latest" if iterate is None else iterate
    seconds = max(0, min(int(wait), LONGEST_WAIT))
    job_id = id_of(target)

    def read(response: httpx.Response) -> Picture:
        answer = response.history[0] if response.history else response  # the object store sends only the picture
        return Picture(
            job=job_id,
            image=image,
            iterate=int(answer.headers["underpaint-iterate"]),
            final=answer.headers["underpaint-final"] == "true",
            media_type=response.headers["content-type"],
            content=response.content,
        )

    return Call(
        "GET",
        f"{_path(target)}/images/{image:d}/iterates/{name}",
        read,
        params={"wait": seconds} if seconds else {},
        headers={"Accept": f"image/{format}"},
        hold=seconds,
        redirected=True,
    )


def cancel(target: AnyJob) -> Call[Job]:
    return Call("POST", f"{_path(target)}/cancel", _job)


def accept(target: AnyJob) -> Call[Job]:
    return Call("POST", f"{_path(target)}/accept", _job)


def refine(target: AnyJob, tolerance: float | None, max_iterations: int | None) -> Call[Job]:
    given = {"tolerance": tolerance, "max_iterations": max_iterations}
    body = {name: value for name, value in given.items() if value is not None}
    return Call("POST", f"{_path(target)}/refine", _job, repeatable=False, body=body)


def delete(target: AnyJob) -> Call[None]:
    return Call("DELETE", _path(target), lambda _: None, repeatable=False)


def models() -> Call[list[Model]]:
    return Call("GET", "/v1/models", lambda response: _models.validate_python(response.json()["models"]))


def health() -> Call[Health]:
    return Call("GET", "/healthz", _document(Health))


def ready() -> Call[Readiness]:
    return Call("GET", "/readyz", _document(Readiness))


def events_path(target: AnyJob) -> str:
    """The path of a job's stream of events."""
    return f"{_path(target)}/events"


def _path(target: AnyJob) -> str:
    return f"/v1/jobs/{id_of(target)}"


def _document(kind: type[D]) -> Callable[[httpx.Response], D]:
    return lambda response: kind.model_validate_json(response.content)


def _job(response: httpx.Response) -> Job:
    return Job.model_validate_json(response.content).with_etag(response.headers.get("etag"))
