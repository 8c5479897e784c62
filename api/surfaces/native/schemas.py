"""The JSON of responses."""

from datetime import datetime
from uuid import UUID

from api.http.body import Sent
from contract.fields import Generation
from contract.warnings import Warning
from contract.words import DeliveryState, EventKind, Failure, Priority, SampledBy, State, Stopped


class ImageLinks(Sent):
    latest: str
    """The picture of the newest iterate."""
    final: str | None
    """The finished picture; null until there is one."""


class Image(Sent):
    """One image of a job, and its progress. The figures are those of its newest iterate."""

    number: int
    """From 0."""
    seed: int
    """The seed of its noise: the seed of the job plus ``number``."""
    iterate: int | None
    """The newest iterate; null before the first. Every iterate is a whole picture; iterate 0 is the roughest."""
    residual: float | None
    """How far the newest iterate moved from the one before: RMS of the difference over RMS of the sample, in latent
    space. Null for iterate 0."""
    error_estimate: float | None
    """The estimated relative RMS error of the newest iterate against the serial sampler's image, in latent space; 0 if
    it is exact. Null if there is no estimate yet."""
    rounds: int
    """Batched model calls so far."""
    evaluations: int
    """Model evaluations so far."""
    method: SampledBy | None
    """The method that computes it: the choice of ``auto``, or the requested one. Null until it is planned."""
    blocks: int | None
    """Blocks that cut the grid; null before the image is started."""
    predicted_rounds: int | None
    """Rounds in total, as the planner predicts; null before the image is started."""
    predicted_evaluations: int | None
    """Evaluations in total, as the planner predicts; null before the image is started."""
    stopped: Stopped | None
    """Why the image is finished; null until it is."""
    error: str | None
    """Why the image failed."""
    links: ImageLinks


class JobLinks(Sent):
    self: str
    cancel: str
    accept: str
    refine: str
    events: str
    iterates: str
    deliveries: str


class Webhook(Sent):
    """Where events of the job are sent, and which."""

    url: str
    events: list[EventKind]


class Job(Sent):
    """A job: its request, its state, and the addresses of its pictures."""

    id: UUID
    state: State
    stopped: Stopped | None
    """Why a succeeded job stopped; for several images, the least exact reason."""
    error: str | None
    """Why a failed job failed."""
    failure: Failure | None
    """The kind of failure: ``model`` (it could not be loaded, or cannot make this picture), ``worker`` (an error in the
    worker), ``crashes`` (workers died repeatedly while they ran the job), ``deadline``."""
    priority: Priority
    cancel_requested: bool
    """Whether the job was asked to stop; a running job stops within a round."""
    accept_requested: bool
    """Whether the job was asked to end with its newest iterates; a running job ends within a round."""
    queue_position: int | None
    """1 is the next to run; null unless the job is queued. It holds as long as nothing changes: jobs that end, and new
    jobs of other keys or of higher priority, may move a job either way."""
    estimated_wait_seconds: float | None
    """How long it may take until a worker claims the job: 0 if one is free, else the number of jobs before it times the
    time from the end of one job to that of the next, measured over the last 100 that succeeded within the hour. Null
    unless the job is queued, and if nothing is known: there is no worker, or none has finished a job within the hour.
    It assumes that jobs are alike, and changes without a new ``ETag``."""
    preparing: float | None
    """While the worker loads the job's model, or waits until other models make room: how much of it is in memory, from
    0 to 1. Null otherwise."""
    deadline_at: datetime | None
    """The job fails if it has not ended by then."""
    created_at: datetime
    started_at: datetime | None
    """When a worker first took the job."""
    finished_at: datetime | None
    updated_at: datetime
    request: Generation
    """The request with every default filled in; for a refined job, with the new ``tolerance`` and
    ``max_iterations``."""
    webhook: Webhook | None
    """Null if the request named none."""
    warnings: list[Warning]
    """The fields that do nothing, or less than they say; whether a prompt is cut is known when the job has begun."""
    images: list[Image]
    links: JobLinks


class JobPage(Sent):
    """Jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None
    """Send it as ``cursor`` to get the next, older jobs; null on the last page."""


class Iterate(Sent):
    """One saved iterate of an image."""

    image: int
    iterate: int
    residual: float | None
    """How far it moved from the iterate before; null for iterate 0."""
    error_estimate: float | None
    """Its estimated relative RMS error against the serial sampler's image, in latent space; 0 if it is exact. Null if
    there is no estimate."""
    rounds: int
    """Batched model calls until it was complete."""
    evaluations: int
    """Model evaluations until it was complete."""
    elapsed: float
    """Seconds from the job's start until it was saved."""
    final: bool
    """Whether it is the finished picture."""
    created_at: datetime
    picture: str | None
    """The address of its picture; null if only the figures were kept (``previews`` was false)."""


class Iterates(Sent):
    """The saved iterates of a job, by image and iterate."""

    iterates: list[Iterate]


class ShareLinks(Sent):
    page: str
    """The page of the server, which shows the job to everybody who opens it."""


class Share(Sent):
    """What others need to read a job."""

    token: str
    """Sent as ``share`` in the query."""
    links: ShareLinks


class DeliveryLinks(Sent):
    send: str


class Delivery(Sent):
    """One event on its way to the job's webhook."""

    id: UUID
    """The `webhook-id`: the same for every attempt."""
    seq: int
    """The number of the event."""
    event: EventKind
    state: DeliveryState
    """`pending` until the receiver responds with 2xx (`delivered`) or it is not tried any more (`failed`)."""
    attempts: int
    """Attempts so far; starts again from 0 when it is sent again."""
    status: int | None
    """The HTTP status of the last attempt; null if there was no response."""
    error: str | None
    """What was wrong with the last attempt; null if nothing was."""
    created_at: datetime
    attempted_at: datetime | None
    """When it was tried last."""
    next_attempt_at: datetime | None
    """When it is tried next; null unless it is pending."""
    links: DeliveryLinks


class DeliveryPage(Sent):
    """Deliveries, by the number of their events."""

    deliveries: list[Delivery]
    disabled: str | None
    """Why nothing more is sent to the webhook; null while it is enabled."""
    next_cursor: int | None
    """Send it as ``cursor`` to get the deliveries after these; null on the last page."""


class Upload(Sent):
    """A picture that was uploaded."""

    id: str
    """What the `image` or the `mask` of a job is called by: the SHA-256 of the picture as it is kept."""
    width: int
    """Pixels, after the picture was turned as its metadata says."""
    height: int
    bytes: int
    """Of the PNG that is kept."""
    expires_after_seconds: float
    """It is deleted so long after a job was submitted with it last."""
    link: str
    """Where the picture can be read."""
