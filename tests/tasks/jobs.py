"""Jobs in the database: submit, read, wait."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from PIL import Image as Picture
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from contract.fields import Generation
from contract.words import TERMINAL
from store import moves, reads
from store.tables import Checkpoint, Event, Image, Iterate, Job
from tests.until import until

Pixels = np.ndarray[Any, Any]
"""A picture (H, W, 3) as int16, so that differences do not overflow."""


class Jobs:
    """The jobs of a database."""

    def __init__(self, engine: Engine, generation: Callable[..., Generation]) -> None:
        self._engine = engine
        self._generation = generation

    def submit(self, **fields: Any) -> UUID:
        """Submit a job for a red heart with the given fields, without a message to a worker."""
        return self.submit_generation(self._generation(**fields))

    def submit_generation(self, generation: Generation) -> UUID:
        """Submit a job with a request that was not checked, without a message to a worker."""
        job_id = uuid4()
        self.do(moves.submit(job_id, generation))
        return job_id

    def do(self, statement: Any) -> Any:
        """Execute a statement and commit. Returns its row, or None."""
        with Session(self._engine) as session, session.begin():
            return session.execute(statement).one_or_none()

    def ask(self, job_id: UUID, what: str) -> None:
        """Do to a running job what clients and the janitor do."""
        late = update(Job).where(Job.id == job_id).values(deadline_at=func.now()).returning(Job.id)
        lapsed = late.values(lease_expires_at=func.now() - timedelta(seconds=1))
        asked: dict[str, list[Any]] = {
            "cancel": [moves.cancel(job_id)],
            "accept": [moves.accept(job_id)],
            "overdue": [late],
            "rescue": [lapsed, moves.rescue(3)],
            "delete": [lapsed, moves.rescue(1), moves.delete(job_id)],
        }
        for statement in asked[what]:
            assert self.do(statement) is not None

    def get(self, job_id: UUID) -> Job:
        with Session(self._engine) as session:
            return session.scalars(reads.job(job_id)).one()

    def images(self, job_id: UUID) -> Sequence[Image]:
        with Session(self._engine) as session:
            return session.scalars(reads.images([job_id])).all()

    def iterates(self, job_id: UUID, image: int = 0) -> Sequence[Iterate]:
        with Session(self._engine) as session:
            return [each for each in session.scalars(reads.iterates(job_id)) if each.image == image]

    def events(self, job_id: UUID) -> Sequence[Event]:
        with Session(self._engine) as session:
            return session.scalars(reads.events(job_id)).all()

    def checkpoints(self, job_id: UUID) -> Sequence[Checkpoint]:
        with Session(self._engine) as session:
            return session.scalars(select(Checkpoint).where(Checkpoint.job_id == job_id)).all()

    def damage_checkpoints(self, job_id: UUID, data: bytes) -> None:
        """Replace the checkpoints of a job by other bytes."""
        with Session(self._engine) as session, session.begin():
            session.execute(update(Checkpoint).where(Checkpoint.job_id == job_id).values(data=data))

    def png(self, job_id: UUID, image: int, iterate: int) -> bytes:
        """The stored bytes of a picture."""
        with Session(self._engine) as session:
            its = (Iterate.job_id == job_id, Iterate.image == image, Iterate.iterate == iterate)
            stored = session.scalars(select(Iterate.picture).where(*its)).one()
        assert stored is not None
        return stored

    def pixels(self, job_id: UUID, image: int = 0, iterate: int | None = None) -> Pixels:
        """The pixels of a picture, by default of the newest iterate."""
        if iterate is None:
            iterate = self.iterates(job_id, image)[-1].iterate
        return np.asarray(Picture.open(BytesIO(self.png(job_id, image, iterate)))).astype(np.int16)

    def wait(self, job_id: UUID, wanted: Callable[[Job], bool] = lambda job: job.state in TERMINAL) -> Job:
        """Wait until a condition on the job holds, by default until it has ended. Returns the job."""

        def look() -> Job | None:
            job = self.get(job_id)
            return job if wanted(job) else None

        def why() -> str:
            job = self.get(job_id)
            return f"job {job_id} is {job.state} (attempt {job.attempt}), not as expected"

        return until(look, why=why)

    def wait_for_iterate(self, job_id: UUID, number: int) -> None:
        """Wait until iterate `number` of the first image is saved."""
        self.wait(job_id, lambda job: any(each.iterate >= number for each in self.iterates(job_id)))
