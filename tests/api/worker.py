"""A worker that a test controls step by step: what it writes to the store, without sampling."""

import io
from typing import Any
from uuid import UUID

from PIL import Image
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from contract.words import SampledBy, Stopped
from store import moves, saves
from store.pictures import open_pictures
from store.saves import Saved


def png(shade: int = 0) -> bytes:
    """A small picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (16, 8), (shade, 40, 80)).save(out, "png")
    return out.getvalue()


class Worker:
    """Runs jobs step by step. Each call is committed. Jobs are given by their id as a string, as in the API."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pictures = open_pictures()
        self._attempts: dict[str, int] = {}

    def claim(self, job: str) -> None:
        self._attempts[job] = self._move(moves.claim(UUID(job), "by hand", 60))

    def start(self, job: str, image: int = 0, method: SampledBy = "srds") -> None:
        plan: Any = {"method": method, "blocks": 7, "predicted_rounds": 18, "predicted_evaluations": 96}
        with Session(self._engine) as session:
            saves.start_image(session, UUID(job), self._attempts[job], image, **plan)

    def save(self, job: str, iterate: int, picture: bytes | None, image: int = 0, final: bool = False) -> Saved:
        figures: dict[str, Any] = {
            "residual": 0.1 / iterate if iterate else None,
            "error_estimate": 0.02 / iterate if iterate else None,
            "rounds": 10 + 4 * iterate,
            "evaluations": 10 + 40 * iterate,
        }
        rest = {"picture": picture, "checkpoint": b"states", "final": final}
        with Session(self._engine) as session:
            return saves.save_iterate(
                session, self._pictures, UUID(job), self._attempts[job], image, iterate, **figures, **rest
            )

    def end_image(self, job: str, image: int, stopped: Stopped | None = None, error: str | None = None) -> None:
        """End one image of a job that goes on."""
        with Session(self._engine) as session:
            saves.finish_image(session, UUID(job), self._attempts[job], image, stopped=stopped, error=error)

    def finish(self, job: str, stopped: Stopped = "converged", images: int = 1) -> None:
        with Session(self._engine) as session:
            for image in range(images):
                saves.finish_image(session, UUID(job), self._attempts[job], image, stopped=stopped)
        self._move(moves.succeed(UUID(job), self._attempts[job], stopped))

    def fail(self, job: str, error: str) -> None:
        self._move(moves.fail(UUID(job), self._attempts[job], error))

    def cancel(self, job: str) -> None:
        self._move(moves.canceled(UUID(job), self._attempts[job]))

    def run(self, job: str, images: int = 1, stopped: Stopped = "converged") -> None:
        """Run a job from claim to success, with two previews and a final picture for each image."""
        self.claim(job)
        for image in range(images):
            self.start(job, image)
            for iterate in range(3):
                self.save(job, iterate, png(iterate), image, final=iterate == 2)
        self.finish(job, stopped, images)

    def _move(self, move: Any) -> int:
        """Execute a transition. Returns the job's attempt."""
        with Session(self._engine) as session:
            moved = session.execute(move).one_or_none()
            assert moved, "the move was not legal"
            session.commit()
            return moved.attempt
