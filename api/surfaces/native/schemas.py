"""The JSON that is sent. What is received is described in ``request_schema``."""

from datetime import datetime
from uuid import UUID

from api.http.body import Sent
from contract.fields import Generation
from contract.words import DeliveryState, EventKind, Failure, Priority, SampledBy, State, Stopped


class ImageLinks(Sent):
    latest: str
    """The picture of the newest iterate, whichever that is."""
    final: str | None
    """The finished picture; null until there is one."""


class Image(Sent):
    """One image of a job, and how far it is. The figures are those of its newest iterate."""

    number: int
    """From 0."""
    seed: int
    """The seed of its noise: that of the job plus ``number``."""
    iterate: int | None
    """The newest iterate; null before the first. Every iterate is a whole picture; iterate 0 is the roughest."""
    residual: float | None
    """How far the newest iterate moved from the one before: RMS of the difference over RMS of the sample, in latent
    space. Null for iterate 0, which has none before it."""
    rounds: int
    """Batched network calls so far."""
    evaluations: int
    """Network evaluations so far."""
    method: SampledBy | None
    """By which it is computed: what ``auto`` chose, otherwise what was asked for. Null until it is planned."""
    blocks: int | None
    """Blocks that cut the grid; null before the image is started."""
    predicted_rounds: int | None
    """Rounds that the planner expects in all; null before the image is started."""
    predicted_evaluations: int | None
    """Evaluations that the planner expects in all; null before the image is started."""
    stopped: Stopped | None
    """Why the image is finished; null until it is."""
    error: str | None
    """What made the image fail."""
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
    """Where, and of what, the client is told."""

    url: str
    events: list[EventKind]


class Job(Sent):
    """A job: what was asked for, where it stands, and where its pictures are."""

    id: UUID
    state: State
    stopped: Stopped | None
    """Why a succeeded job stopped; of several images, the least exact."""
    error: str | None
    """Why a failed job failed."""
    failure: Failure | None
    """The kind of failure: ``model`` (it could not be loaded, or cannot make this picture), ``worker`` (something went
    wrong there), ``crashes`` (workers died again and again while they ran the job), ``deadline``."""
    priority: Priority
    cancel_requested: bool
    """Whether the job was asked to stop; a running one stops within a round."""
    accept_requested: bool
    """Whether the job was asked to end with its newest iterates; a running one does so within a round."""
    queue_position: int | None
    """1 is the next to run; null unless the job is queued. It is the order if nothing changed: jobs that end and new
    ones, of other keys or of higher priority, may move a job either way."""
    estimated_wait_seconds: float | None
    """How long it may take until a worker has the job: 0 where one is free, else the number of jobs before it times the
    time from the end of one job to that of the next, measured over the last 100 that succeeded within the hour. Null
    unless the job is queued, and where nothing is known: no worker is there, or none has finished a job of late. It
    takes jobs to be alike, and changes without a new ``ETag``."""
    deadline_at: datetime | None
    """If it has not ended by then, the job fails."""
    created_at: datetime
    started_at: datetime | None
    """When a worker first took the job."""
    finished_at: datetime | None
    updated_at: datetime
    request: Generation
    """The request with every default filled in; of a refined job, with the new ``tolerance`` and
    ``max_iterations``."""
    webhook: Webhook | None
    """Null where the request named none."""
    images: list[Image]
    links: JobLinks


class JobPage(Sent):
    """Jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None
    """Send it as ``cursor`` to get the jobs before these; null on the last page."""


class Iterate(Sent):
    """One saved iterate of an image."""

    image: int
    iterate: int
    residual: float | None
    """How far it moved from the iterate before; null for iterate 0."""
    rounds: int
    """Batched network calls until it was complete."""
    evaluations: int
    """Network evaluations until it was complete."""
    elapsed: float
    """Seconds from the job's start until it was saved."""
    final: bool
    """Whether it is the finished picture."""
    created_at: datetime
    picture: str | None
    """Where its picture is; null where only the figures were kept (``previews`` was false)."""


class Iterates(Sent):
    """The saved iterates of a job, by image and iterate."""

    iterates: list[Iterate]


class ShareLinks(Sent):
    page: str
    """The page of the server, showing the job to whoever opens it."""


class Share(Sent):
    """What others need to look at a job."""

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
    """`pending` until the receiver has answered 2xx (`delivered`) or it is not tried any more (`failed`)."""
    attempts: int
    """Attempts so far; counted anew when it is sent again."""
    status: int | None
    """The HTTP status of the last attempt; null where there was no answer."""
    error: str | None
    """What was wrong with the last attempt; null where nothing was."""
    created_at: datetime
    attempted_at: datetime | None
    """When it was last tried."""
    next_attempt_at: datetime | None
    """When it is tried next; null unless it is pending."""
    links: DeliveryLinks


class DeliveryPage(Sent):
    """Deliveries, by the number of their events."""

    deliveries: list[Delivery]
    disabled: str | None
    """Why the webhook is told nothing more; null while it is."""
    next_cursor: int | None
    """Send it as ``cursor`` to get the deliveries after these; null on the last page."""
