"""The tables. Rows are changed in ``store.moves`` and ``store.saves`` only."""

from datetime import datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from contract.words import DeliveryState, EventKind, Failure, Priority, SampledBy, Scope, State, Stopped

_now = func.now()


class Base(DeclarativeBase):
    """The declarative base; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), str: Text, dict[str, Any]: JSONB}


def _of_image() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["job_id", "image"], ["images.job_id", "images.number"], ondelete="cascade")


class ApiKey(Base):
    """Who may use the server. The key itself is not kept: ``hash`` is its SHA-256, in hexadecimal."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    prefix: Mapped[str]
    """The first characters of the key, to recognise it by."""
    hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Scope]] = mapped_column(ARRAY(Text))
    requests_per_minute: Mapped[int | None]
    """None: the server's default."""
    max_running: Mapped[int | None]
    """Jobs of this key that run at once; None: any number."""
    max_queued: Mapped[int | None]
    """Jobs of this key that wait at once; None: the server's default."""
    webhook_secret: Mapped[str | None]
    """Signs the webhooks of this key's jobs; None: the server's."""
    created_at: Mapped[datetime] = mapped_column(server_default=_now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """To the minute."""


class Job(Base):
    """One request and its state. ``attempt`` counts claims: a worker writes under the attempt that it claimed."""

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[State] = mapped_column(Text)
    stopped: Mapped[Stopped | None] = mapped_column(Text)
    """Why a succeeded job stopped; of several images, the least exact."""
    error: Mapped[str | None]
    """Why a failed job failed, in words for the client."""
    model: Mapped[str]
    generation: Mapped[dict[str, Any]]
    """A ``contract.fields.Generation``, dumped."""
    seq: Mapped[int]
    """Events so far: the cursor of streams, and the version of the job."""
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    crashes: Mapped[int] = mapped_column(server_default=text("0"))
    worker: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    accept_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    failure: Mapped[Failure | None] = mapped_column(Text)
    """The kind of failure; None unless the job failed."""
    key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id", ondelete="restrict"))
    """The owner; None if the job was submitted without a key."""
    priority: Mapped[Priority] = mapped_column(Text, server_default=text("'normal'"))
    rank_at: Mapped[datetime] = mapped_column(server_default=_now)
    """The rank in the queue: when the job was accepted, shifted by its priority."""
    deadline_at: Mapped[datetime | None]
    """A job that has not ended by then fails."""
    webhook: Mapped[dict[str, Any] | None]
    """A ``contract.fields.StoredWebhook``, dumped; None without a webhook."""
    request_id: Mapped[str | None]
    """Of the HTTP request that submitted the job, for logs."""
    traceparent: Mapped[str | None]
    """The trace of that request (W3C Trace Context), which its workers continue; None without traces."""
    warnings: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    """``contract.warnings.Warning`` of each field that does nothing, dumped."""
    preparing: Mapped[float | None]
    """The share of its model that is in memory while the worker loads it; None otherwise."""
    created_at: Mapped[datetime] = mapped_column(server_default=_now)
    sent_at: Mapped[datetime | None]
    """When the broker last accepted a message for the job."""
    started_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    """When the newest run began."""
    ran_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    """The total duration of the runs that have ended."""
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=_now)

    __table_args__ = (
        CheckConstraint("state in ('queued', 'running', 'succeeded', 'failed', 'canceled')", name="state"),
        CheckConstraint("stopped in ('converged', 'exact', 'max_iterations', 'accepted')", name="stopped"),
        CheckConstraint("(state = 'succeeded') = (stopped is not null)", name="stopped_if_succeeded"),
        CheckConstraint("(state = 'failed') = (error is not null)", name="error_if_failed"),
        CheckConstraint("(state = 'running') = (worker is not null)", name="worker_if_running"),
        CheckConstraint("(state = 'running') = (lease_expires_at is not null)", name="lease_if_running"),
        CheckConstraint(
            "(state in ('succeeded', 'failed', 'canceled')) = (finished_at is not null)", name="finished_if_terminal"
        ),
        CheckConstraint("failure in ('model', 'worker', 'crashes', 'deadline')", name="failure"),
        CheckConstraint("state = 'failed' or failure is null", name="failure_if_failed"),
        CheckConstraint("priority in ('low', 'normal', 'high')", name="priority"),
        Index("ix_jobs_newest", "created_at", "id"),
        Index("ix_jobs_newest_of_model", "model", "created_at", "id"),
        Index("ix_jobs_unlucky", "created_at", "id", postgresql_where=text("state in ('failed', 'canceled')")),
        Index("ix_jobs_queued_of_key", "key_id", postgresql_where=text("state = 'queued' and key_id is not null")),
        Index("ix_jobs_newest_of_key", "key_id", "created_at", "id", postgresql_where=text("key_id is not null")),
        Index("ix_jobs_queued", "created_at", "id", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs_rank", "key_id", "rank_at", "id", postgresql_where=text("state = 'queued'")),
        Index(
            "ix_jobs_deadline",
            "deadline_at",
            postgresql_where=text("state in ('queued', 'running') and deadline_at is not null"),
        ),
        Index("ix_jobs_running", "lease_expires_at", postgresql_where=text("state = 'running'")),
        Index("ix_jobs_finished", "finished_at", postgresql_where=text("finished_at is not null")),
    )


class Image(Base):
    """One image of a job and its progress. Its figures are those of ``iterate``, the newest saved one."""

    __tablename__ = "images"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="cascade"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seed: Mapped[int] = mapped_column(BigInteger)
    iterate: Mapped[int | None]
    residual: Mapped[float | None]
    error_estimate: Mapped[float | None]
    rounds: Mapped[int] = mapped_column(server_default=text("0"))
    evaluations: Mapped[int] = mapped_column(server_default=text("0"))
    method: Mapped[SampledBy | None] = mapped_column(Text)
    """The method that computes the image; None until it is planned."""
    blocks: Mapped[int | None]
    predicted_rounds: Mapped[int | None]
    predicted_evaluations: Mapped[int | None]
    stopped: Mapped[Stopped | None] = mapped_column(Text)
    error: Mapped[str | None]
    final: Mapped[int | None]
    """The iterate that was made final last; while the job is refined, that of its previous end."""

    __table_args__ = (
        CheckConstraint("stopped in ('converged', 'exact', 'max_iterations', 'accepted')", name="stopped"),
    )


class Iterate(Base):
    """One saved iterate of an image. ``picture`` is loaded only if it is selected explicitly."""

    __tablename__ = "iterates"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    image: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    iterate: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    residual: Mapped[float | None]
    error_estimate: Mapped[float | None]
    rounds: Mapped[int]
    evaluations: Mapped[int]
    elapsed: Mapped[float]
    """Seconds that the job had run, over all its runs."""
    picture: Mapped[bytes | None] = mapped_column(deferred=True, deferred_raiseload=True)
    """PNG, if pictures are stored in PostgreSQL (see ``store.pictures``)."""
    etag: Mapped[str | None]
    """SHA-256 of the picture in hexadecimal: the reference to it. None if there is no picture: the iterate is not the
    last, and previews are off or their retention has passed."""
    final: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=_now)

    __table_args__ = (
        _of_image(),
        Index("ix_iterates_previews", "created_at", postgresql_where=text("etag is not null and not final")),
    )


class Checkpoint(Base):
    """The states of an image that is not exact, from which another worker can resume."""

    __tablename__ = "checkpoints"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    image: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    iterate: Mapped[int | None]
    """The newest iterate that was complete; None before the first."""
    data: Mapped[bytes | None]
    """The bytes, if they are stored in PostgreSQL (see ``store.pictures``)."""
    sha256: Mapped[str | None]
    """Of the bytes, in hexadecimal: the reference to them. None if an older version saved it, which kept ``data``."""
    created_at: Mapped[datetime] = mapped_column(server_default=_now)

    __table_args__ = (
        _of_image(),
        CheckConstraint("data is not null or sha256 is not null", name="kept"),
        Index("ix_checkpoints_oldest", "created_at"),
    )


class Upload(Base):
    """A picture that a client has sent, to start jobs from. See `store.inputs`."""

    __tablename__ = "uploads"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """Names its bytes, with ``sha256``, where they are kept outside of the database."""
    owner: Mapped[UUID]
    """The API key that sent it; all zeros without one."""
    sha256: Mapped[str]
    """Of the PNG, in hexadecimal: its name for clients."""
    picture: Mapped[bytes | None]
    """The PNG, if it is kept in PostgreSQL (see ``store.pictures``)."""
    width: Mapped[int]
    height: Mapped[int]
    bytes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=_now)
    used_at: Mapped[datetime] = mapped_column(server_default=_now)
    """When it was sent, or a job was submitted with it, last."""

    __table_args__ = (UniqueConstraint("owner", "sha256"), Index("ix_uploads_oldest", "used_at"))


class Input(Base):
    """A picture that a job starts from, or a mask. See `store.inputs`. Deleted with the job."""

    __tablename__ = "inputs"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="cascade"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    picture: Mapped[bytes | None]
    """As of an upload."""

    __table_args__ = (Index("ix_inputs_sha256", "sha256"),)


class Event(Base):
    """The events of a job, numbered from 1 without gaps."""

    __tablename__ = "events"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="cascade"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[EventKind] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=_now)

    __table_args__ = (CheckConstraint("kind in ('state', 'iterate', 'done')", name="kind"),)


class IdempotencyKey(Base):
    """The job that a request with this ``Idempotency-Key`` has made. Deleted with the job."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[UUID] = mapped_column(primary_key=True)
    """The API key that the request came with; all zeros without one."""
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    """SHA-256 of the request, in hexadecimal."""
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="cascade"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=_now)

    __table_args__ = (Index("ix_idempotency_keys_oldest", "created_at"),)


class Share(Base):
    """The share link of a job: others may read it with the token. Deleted with the job."""

    __tablename__ = "shares"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="cascade"), primary_key=True)
    token: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_now)


class ServerSecret(Base):
    """A secret that the server generated for itself."""

    __tablename__ = "server_secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=_now)


class Delivery(Base):
    """The delivery of one event of a job to the job's webhook."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    """The ``webhook-id``: the same for every attempt."""
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="cascade"))
    seq: Mapped[int]
    """The number of the event."""
    state: Mapped[DeliveryState] = mapped_column(Text, server_default=text("'pending'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime | None] = mapped_column(server_default=_now)
    """When the next attempt is due; None unless pending."""
    claimed_until: Mapped[datetime | None]
    """A sender has claimed it until then; None if none has."""
    status: Mapped[int | None]
    """The HTTP status of the last attempt; None if there was no response."""
    error: Mapped[str | None]
    """Why the last attempt failed; None if it did not."""
    created_at: Mapped[datetime] = mapped_column(server_default=_now)
    attempted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("state in ('pending', 'delivered', 'failed')", name="state"),
        CheckConstraint("(state = 'pending') = (due_at is not null)", name="due_if_pending"),
        CheckConstraint("state = 'pending' or claimed_until is null", name="claimed_if_pending"),
        UniqueConstraint("job_id", "seq"),
        Index("ix_webhook_deliveries_due", "due_at", postgresql_where=text("state = 'pending'")),
    )


# The same tables, for statements that return no entities.
jobs = cast(Table, Job.__table__)
images = cast(Table, Image.__table__)
iterates = cast(Table, Iterate.__table__)
checkpoints = cast(Table, Checkpoint.__table__)
events = cast(Table, Event.__table__)
api_keys = cast(Table, ApiKey.__table__)
idempotency_keys = cast(Table, IdempotencyKey.__table__)
deliveries = cast(Table, Delivery.__table__)
uploads = cast(Table, Upload.__table__)
inputs = cast(Table, Input.__table__)
server_secrets = cast(Table, ServerSecret.__table__)
