"""The documents that the client sends and receives, typed.

A field that this version does not know is kept without a type and dumped again, so a newer server breaks nothing. The
API reference at ``/docs`` of a server describes all fields.
"""

from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contract.words import State

Json = dict[str, Any]


class Document(BaseModel):
    """What all documents have in common."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, protected_namespaces=())


class Iterate(Document):
    """One saved iterate of an image."""

    image: int
    iterate: int
    residual: float | None = None
    error_estimate: float | None = None
    """The estimated relative RMS error against the serial sampler's image; 0 if exact; None if there is no estimate."""
    rounds: int
    evaluations: int
    elapsed: float
    """Seconds that the job had run when the iterate was saved."""
    final: bool
    created_at: datetime | None = None
    picture: str | None = None
    """The path of its picture; None if only the figures are kept."""


class Event(Document):
    """Something that happened to a job. The events of a job are numbered by ``id``."""

    id: int


class StateEvent(Event):
    """The state of the job or of one of its images changed."""

    state: State
    stopped: str | None = None
    error: str | None = None
    failure: str | None = None
    cancel_requested: bool = False
    accept_requested: bool = False
    preparing: float | None = None


class IterateEvent(Event):
    """An iterate was saved."""

    image: int
    iterate: int
    residual: float | None = None
    error_estimate: float | None = None
    rounds: int
    evaluations: int
    elapsed: float
    final: bool
    picture: str | None = None


class DoneEvent(StateEvent):
    """The job has ended."""


class Model(Document):
    """A model, with the defaults of its requests and their limits."""

    id: str
    title: str
    description: str = ""
    license: str = ""
    default: bool = False
    loaded: Json | None = None
    """What it does in a worker: ``state``, and while it is loaded the ``share`` of it that is in memory."""
    loras: list[str] = []
    defaults: Json
    limits: Json
    example_prompts: list[str] = []


class Health(Document):
    """The server is alive."""

    status: str
    version: str


class Check(Document):
    ok: bool
    detail: str
    """What was found and, if it is a problem, what to do."""


class Readiness(Document):
    """Whether the server can accept and run jobs, by check."""

    ready: bool
    checks: dict[str, Check]


@dataclass(frozen=True)
class Picture:
    """The picture of an iterate, encoded."""

    job: UUID
    image: int
    iterate: int
    final: bool
    """Whether it is the final picture of its image."""
    media_type: str
    content: bytes = field(repr=False)

    def save(self, path: str | PathLike[str]) -> Path:
        """Writes the picture to a file and returns its path."""
        target = Path(path)
        target.write_bytes(self.content)
        return target
