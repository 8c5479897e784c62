"""Sessions, and a driver that brings jobs into the state that a test needs."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from contract.fields import Generation
from store import moves, reads, saves
from store.pictures import open_pictures
from store.tables import Event, Job


class Driver:
    """Executes state transitions in a session and commits each of them."""

    def __init__(self, session: Session, generation: Callable[..., Generation]) -> None:
        self.session = session
        self.generation = generation
        self.pictures = open_pictures()

    def do(self, statement: Any) -> Any:
        """Execute a transition and commit it. Returns its row, or None if it was not legal."""
        row = self.session.execute(statement).one_or_none()
        self.session.commit()
        return row

    def submit(self, **fields: Any) -> UUID:
        job_id = uuid4()
        self.do(moves.submit(job_id, self.generation(**fields)))
        return job_id

    def claimed(self, **fields: Any) -> UUID:
        """A job that ``worker`` runs under attempt 1."""
        job_id = self.submit(**fields)
        self.do(moves.claim(job_id, "worker", 15))
        return job_id

    def expire(self, job_id: UUID) -> None:
        """Make the lease of a job expire one second ago."""
        past = text("now() - interval '1 second'")
        self.do(update(Job).where(Job.id == job_id).values(lease_expires_at=past).returning(Job.id))

    def save(self, job_id: UUID, attempt: int = 1, image: int = 0, iterate: int = 0, **fields: Any) -> saves.Saved:
        figures: dict[str, Any] = {"residual": None, "error_estimate": None, "rounds": 9, "evaluations": 20}
        figures |= {"picture": b"png", "checkpoint": b"states", "final": False, **fields}
        return saves.save_iterate(self.session, self.pictures, job_id, attempt, image, iterate, **figures)

    def make_final(self, job_id: UUID, iterate: int, image: int = 0, picture: bytes | None = None) -> int:
        return saves.make_final(self.session, self.pictures, job_id, 1, image, iterate, picture=picture)

    def job(self, job_id: UUID) -> Job:
        found = self.session.scalar(reads.job(job_id))
        self.session.commit()
        assert found
        return found

    def events(self, job_id: UUID) -> list[Event]:
        return list(self.session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.seq)))


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with Session(database, expire_on_commit=False) as opened:
        yield opened


@pytest.fixture
def driver(session: Session, generation: Callable[..., Generation]) -> Driver:
    return Driver(session, generation)
