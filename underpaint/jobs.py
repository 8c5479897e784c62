"""A job as the server describes it, and the exceptions that come with one."""

from datetime import datetime
from typing import Any, Self, cast
from uuid import UUID

from pydantic import ConfigDict, ModelWrapValidatorHandler, PrivateAttr, ValidationError, model_validator

from contract.fields import Generation
from contract.warnings import Warning
from contract.words import State
from underpaint.documents import Document, Json
from underpaint.errors import UnderpaintError


class ImageLinks(Document):
    latest: str
    final: str | None = None


class Image(Document):
    """One image of a job, with the figures of its newest iterate."""

    number: int
    seed: int
    iterate: int | None = None
    """The newest iterate; None before the first."""
    residual: float | None = None
    error_estimate: float | None = None
    """The estimated relative RMS error against the serial sampler's image; 0 if exact; None if there is no estimate."""
    rounds: int = 0
    evaluations: int = 0
    method: str | None = None
    """The method that computes it: what ``auto`` chose, else the requested one; None until it is planned."""
    blocks: int | None = None
    predicted_rounds: int | None = None
    predicted_evaluations: int | None = None
    stopped: str | None = None
    """Why it stopped: ``converged``, ``exact``, ``max_iterations`` or ``accepted``; None until it has."""
    error: str | None = None
    links: ImageLinks


class JobRequest(Generation):
    """A request with every default filled in. What a newer server may add or allow is kept as it is."""

    model_config = ConfigDict(extra="allow", strict=False)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_unknown_values(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(data)
        except ValidationError:
            if not isinstance(data, dict):
                raise
            return cls.model_construct(**cast("Json", data))


class Job(Document):
    """A job at the time of the server's answer."""

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
    preparing: float | None = None
    """How much of its model is in memory, from 0 to 1, while a worker loads it."""
    deadline_at: datetime | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime
    request: JobRequest
    webhook: Json | None = None
    warnings: tuple[Warning, ...] = ()
    """The fields of the request that do nothing, or less than they say."""
    images: list[Image]
    links: dict[str, str]

    _etag: str | None = PrivateAttr(default=None)

    @property
    def ended(self) -> bool:
        """Whether the job is in a final state. Only `refine` leaves such a state."""
        return self.state in ("succeeded", "failed", "canceled")

    @property
    def etag(self) -> str | None:
        """The ``ETag`` of this version of the job."""
        return self._etag

    def with_etag(self, etag: str | None) -> Self:
        """Sets the ``ETag`` and returns the job."""
        self._etag = etag
        return self

    def raise_for_state(self) -> Self:
        """Returns the job unless it failed or was canceled.

        Raises:
            JobFailed, JobCanceled: it failed, or was canceled.
        """
        if self.state == "failed":
            raise JobFailed(f"Job {self.id} failed: {self.error}", self)
        if self.state == "canceled":
            raise JobCanceled(f"Job {self.id} was canceled.", self)
        return self


class JobPage(Document):
    """Jobs, newest first, and the cursor of the next page; None on the last page."""

    jobs: list[Job]
    next_cursor: str | None = None


class _JobError(UnderpaintError):
    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


class TimedOut(_JobError, TimeoutError):
    """The job did not end within the timeout. It goes on. ``job`` is its last known state."""


class JobFailed(_JobError):
    """The job failed; ``job.error`` and ``job.failure`` say why."""


class JobCanceled(_JobError):
    """The job was canceled."""
