"""The outbox: events on their way to the webhooks of their jobs.

The statement that inserts an event also inserts its delivery, so neither exists without the other. A sender claims
deliveries that are due, attempts them and settles them. A claim that is not settled (the sender died) expires, and the
delivery is attempted again: it is delivered at least once.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.selectable import FromClause

from contract.words import DeliveryState, EventKind
from store.tables import Delivery, Event, api_keys, deliveries, events, jobs

# A delivery waits for the earlier ones of its job until each was attempted this many times.
ORDERLY_ATTEMPTS = 4

# The host in a URL (RFC 3986), without user information and port.
HOST = r"^[^:]+://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]+)"
NO_KEY = UUID(int=0)

Claimed = Row[UUID, int, UUID, int, dict[str, Any], str, UUID | None, str | None]


def record_event(job: FromClause, kind: ColumnElement[str], data: ColumnElement[Any]) -> tuple[CTE, CTE]:
    """The parts of a statement that insert the event of each row of ``job`` (with the event's number as ``seq``, and
    ``id`` and ``webhook``) and, if the job's webhook subscribes to this kind, its delivery. The delivery of a disabled
    webhook is inserted as failed."""
    event = insert(events).from_select(["job_id", "seq", "kind", "data"], select(job.c.id, job.c.seq, kind, data))
    webhook = job.c.webhook
    disabled = webhook["disabled"].astext
    wanted = select(
        job.c.id,
        job.c.seq,
        case((disabled.is_(None), "pending"), else_="failed"),
        case((disabled.is_(None), func.now())),
        disabled,
    ).where(webhook["events"].has_key(kind))
    delivery = insert(deliveries).from_select(["job_id", "seq", "state", "due_at", "error"], wanted)
    return event.cte("event"), delivery.cte("outbox")


def claim(
    busy: Sequence[str], seconds: float, busy_keys: Sequence[UUID | None] = ()
) -> Select[UUID, int, UUID, int, dict[str, Any], str, UUID | None, str | None]:
    """Claim the delivery that has been due longest, for this many seconds, and count the attempt.

    Skips deliveries to the ``busy`` hosts, those of the ``busy_keys`` (None: of jobs without a key), and those that
    wait for an earlier one of their job. Returns no row, or (id, attempts, job_id, seq, webhook, host, key_id,
    webhook_secret): ``host`` is the host of the URL without its port, ``webhook_secret`` that of the job's key.
    """
    earlier = aliased(deliveries)
    waits = select(earlier.c.id).where(
        earlier.c.job_id == deliveries.c.job_id,
        earlier.c.seq < deliveries.c.seq,
        earlier.c.state == "pending",
        earlier.c.attempts < ORDERLY_ATTEMPTS,
    )
    host = func.lower(func.substring(jobs.c.webhook["url"].astext, HOST))
    owner = func.coalesce(jobs.c.key_id, NO_KEY)
    due = (
        select(deliveries.c.id, jobs.c.webhook, host.label("host"), jobs.c.key_id)
        .join(jobs, jobs.c.id == deliveries.c.job_id)
        .where(
            deliveries.c.state == "pending",
            deliveries.c.due_at <= func.now(),
            or_(
                deliveries.c.claimed_until.is_(None),
                deliveries.c.claimed_until < func.now(),
                # Longer than any claim: the clock was set back.
                deliveries.c.claimed_until > func.now() + literal(timedelta(seconds=2 * abs(seconds) + 60)),
            ),
            ~waits.exists(),
            host.not_in(busy),
            owner.not_in([key or NO_KEY for key in busy_keys]),
        )
        .order_by(deliveries.c.due_at, deliveries.c.seq)
        .limit(1)
        .with_for_update(skip_locked=True, of=deliveries)
        .cte("due")
    )
    claimed = (
        update(deliveries)
        .where(deliveries.c.id == due.c.id)
        .values(
            attempts=deliveries.c.attempts + 1,
            attempted_at=func.now(),
            claimed_until=func.now() + literal(timedelta(seconds=seconds)),
        )
        .returning(*deliveries.c)
        .cte("claimed")
    )
    return (
        select(
            claimed.c.id,
            claimed.c.attempts,
            claimed.c.job_id,
            claimed.c.seq,
            due.c.webhook,
            due.c.host,
            due.c.key_id,
            api_keys.c.webhook_secret,
        )
        .join(due, due.c.id == claimed.c.id)
        .outerjoin(api_keys, api_keys.c.id == due.c.key_id)
    )


def settle(
    delivery: UUID, attempts: int, *, state: DeliveryState, status: int | None, error: str | None
) -> ReturningUpdate[UUID, DeliveryState]:
    """End a delivery that was claimed with this number of attempts: it is delivered, or has failed finally. Returns
    (id, state), and no row if the claim has expired and another sender has claimed the delivery."""
    return _settled(delivery, attempts, state=state, due_at=None, status=status, error=error)


def retry(
    delivery: UUID, attempts: int, *, seconds: float, max_age_seconds: float, status: int | None, error: str
) -> ReturningUpdate[UUID, DeliveryState]:
    """Schedule the next attempt in this many seconds; a delivery that is older than ``max_age_seconds`` has failed
    finally. Returns as ``settle`` does."""
    young = deliveries.c.created_at + literal(timedelta(seconds=max_age_seconds)) > func.now()
    return _settled(
        delivery,
        attempts,
        state=case((young, "pending"), else_="failed"),
        due_at=case((young, func.now() + literal(timedelta(seconds=seconds)))),
        status=status,
        error=error,
    )


def disable(job_id: UUID, reason: str) -> list[Any]:
    """The statements that disable the webhook of a job: its pending and future deliveries fail with this reason."""
    disabled = func.jsonb_set(jobs.c.webhook, ["disabled"], func.to_jsonb(cast(reason, Text)), type_=JSONB)
    pending = and_(deliveries.c.job_id == job_id, deliveries.c.state == "pending")
    failed = {"state": "failed", "due_at": None, "claimed_until": None, "error": reason}
    return [
        update(jobs).where(jobs.c.id == job_id, jobs.c.webhook.is_not(None)).values(webhook=disabled),
        update(deliveries).where(pending).values(failed),
    ]


def send_again(job_id: UUID, delivery: UUID) -> list[Any]:
    """The statements that make a delivery due now. The attempts of a delivery that has ended are counted from 0 again.
    A disabled webhook is enabled, since the client expects it to work."""
    mine = and_(deliveries.c.id == delivery, deliveries.c.job_id == job_id)
    ended = deliveries.c.state != "pending"
    return [
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.webhook.has_key("disabled"))
        .values(webhook=jobs.c.webhook.op("-", return_type=JSONB)(cast("disabled", Text))),
        update(deliveries)
        .where(mine)
        .values(state="pending", due_at=func.now(), attempts=case((ended, 0), else_=deliveries.c.attempts)),
    ]


def listed(job_id: UUID, limit: int, after: int = 0) -> Select[Delivery, EventKind]:
    """(delivery, kind of its event) for the deliveries of a job after event number ``after``, in order."""
    return _with_kind().where(Delivery.job_id == job_id, Delivery.seq > after).order_by(Delivery.seq).limit(limit)


def one(job_id: UUID, delivery: UUID) -> Select[Delivery, EventKind]:
    """(delivery, kind of its event) of one delivery of a job, or nothing."""
    return _with_kind().where(Delivery.job_id == job_id, Delivery.id == delivery)


def event(job_id: UUID, seq: int) -> Select[Event]:
    """The event that a delivery sends."""
    return select(Event).where(Event.job_id == job_id, Event.seq == seq)


def _with_kind() -> Select[Delivery, EventKind]:
    its_event = and_(Event.job_id == Delivery.job_id, Event.seq == Delivery.seq)
    return select(Delivery, Event.kind).join(Event, its_event).execution_options(populate_existing=True)


def _settled(delivery: UUID, attempts: int, **values: Any) -> ReturningUpdate[UUID, DeliveryState]:
    mine = and_(
        deliveries.c.id == delivery,
        deliveries.c.attempts == attempts,
        deliveries.c.state == "pending",
        deliveries.c.claimed_until.is_not(None),
    )
    return (
        update(deliveries)
        .where(mine)
        .values(claimed_until=None, **values)
        .returning(deliveries.c.id, deliveries.c.state)
    )
