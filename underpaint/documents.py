"""What is sent to the server and what it answers, typed.

A field that this version does not know is kept, untyped, and dumped again: a newer server breaks nothing. What the
fields mean is told at ``/docs`` of the server.
"""

from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PrivateAttr

from underpaint.errors import JobCanceled, JobFailed

State = Literal["queued", "running", "succeeded", "failed", "canceled"]
Format = Literal["png", "webp", "jpeg"]
Json = dict[str, Any]


class Request(TypedDict, total=False):
    """What a job may ask for beside its prompt; what is left out, or None, the model decides."""

    model: str | None
    negative_prompt: str | None
    method: Literal["auto", "srds", "window", "serial"] | None
    steps: int | None
    guidance_scale: float | None
    width: int | None
    height: int | None
    seed: int | None
    images: int | None
    blocks: int | None
    tolerance: float | None
    max_iterations: int | None
    wish: Literal["latency", "cost"] | None
    previews: bool | None
    priority: Literal["low", "normal", "high"] | None
    deadline_seconds: float | None
    webhook: Json | None


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, protected_namespaces=())


class ImageLinks(_Document):
    latest: str
    final: str | None = None


class Image(_Document):
    """One image of a job. The figures are those of its newest iterate."""

    number: int
    seed: int
    iterate: int | None = None
    """The newest iterate; None before the first."""
    residual: float | None = None
    rounds: int = 0
    evaluations: int = 0
    method: str | None = None
    """By which it is computed: what ``auto`` chose, otherwise what was asked for; None until it is planned."""
    blocks: int | None = None
    predicted_rounds: int | None = None
    predicted_evaluations: int | None = None
    stopped: str | None = None
    """Why it is finished: ``converged``, ``exact``, ``max_iterations`` or ``accepted``; None until it is."""
    error: str | None = None
    links: ImageLinks


class JobRequest(_Document):
    """A request with every default filled in."""

    model: str
    prompt: str
    negative_prompt: str = ""
    method: str
    steps: int
    guidance_scale: float
    width: int
    height: int
    seed: int
    images: int
    blocks: int | None = None
    tolerance: float
    max_iterations: int | None = None
    wish: str = "latency"
    previews: bool = True


class Job(_Document):
    """A job as it stood when the server answered."""

    id: UUID
    state: State
    stopped: str | None = None
    """Why a succeeded job stopped: ``converged``, ``exact``, ``max_iterations`` or ``accepted``."""
    error: str | None = None
    failure: str | None = None
    """The kind of failure: ``model``, ``worker``, ``crashes`` or ``deadline``."""
    priority: str = "normal"
    cancel_requested: bool = False
    accept_requested: bool = False
    queue_position: int | None = None
    estimated_wait_seconds: float | None = None
    deadline_at: datetime | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime
    request: JobRequest
    webhook: Json | None = None
    images: list[Image]
    links: dict[str, str]

    _etag: str | None = PrivateAttr(default=None)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it, unless it is refined."""
        return self.state in ("succeeded", "failed", "canceled")

    @property
    def etag(self) -> str | None:
        """What the server knows this version of the job by."""
        return self._etag

    def known_as(self, etag: str | None) -> "Job":
        """This job, which came with this ``ETag``."""
        self._etag = etag
        return self

    def raise_for_state(self) -> "Job":
        """Itself, unless it came to nothing.

        Raises:
            JobFailed, JobCanceled: it did.
        """
        if self.state == "failed":
            raise JobFailed(f"Job {self.id} failed: {self.error}", self)
        if self.state == "canceled":
            raise JobCanceled(f"Job {self.id} was canceled.", self)
        return self


class JobPage(_Document):
    """Some jobs, newest first, and the cursor of those before them; None on the last page."""

    jobs: list[Job]
    next_cursor: str | None = None


class Iterate(_Document):
    """One saved iterate of an image."""

    image: int
    iterate: int
    residual: float | None = None
    rounds: int
    evaluations: int
    elapsed: float
    """Seconds for which the job had run when it was saved."""
    final: bool
    created_at: datetime | None = None
    picture: str | None = None
    """Where its picture is; None where only the figures are kept."""


class Event(_Document):
    """Something that happened to a job. ``id`` is its number: the events after it are those from there on."""

    id: int


class StateEvent(Event):
    """The job, or one of its images, has moved on."""

    state: State
    stopped: str | None = None
    error: str | None = None
    failure: str | None = None
    cancel_requested: bool = False
    accept_requested: bool = False


class IterateEvent(Event):
    """An iterate was saved."""

    image: int
    iterate: int
    residual: float | None = None
    rounds: int
    evaluations: int
    elapsed: float
    final: bool
    picture: str | None = None


class DoneEvent(StateEvent):
    """The job has ended."""


class Model(_Document):
    """A model on offer, with what a request gets that does not say (``defaults``) and may ask for (``limits``)."""

    id: str
    title: str
    description: str = ""
    license: str = ""
    default: bool = False
    defaults: Json
    limits: Json
    example_prompts: list[str] = []


class Health(_Document):
    """That the server is alive, and its version."""

    status: str
    version: str


class Check(_Document):
    ok: bool
    detail: str
    """What was found and, where that is not good, what to do."""


class Readiness(_Document):
    """Whether jobs can be taken and run, by what was checked."""

    ready: bool
    checks: dict[str, Check]


@dataclass(frozen=True)
class Picture:
    """The picture of an iterate, encoded."""

    job: UUID
    image: int
    iterate: int
    final: bool
    """Whether it is the finished picture."""
    media_type: str
    content: bytes = field(repr=False)

    def save(self, path: str | PathLike[str]) -> Path:
        """Writes it to a file, and returns where."""
        target = Path(path)
        target.write_bytes(self.content)
        return target
