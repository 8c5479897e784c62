"""The bytes that a job takes in the database, with its pictures and checkpoints inside of it and outside."""

from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import torch
from PIL import Image
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session
from torch import Tensor

from benchmarks.devices import grid
from benchmarks.problems import Anything
from sampler import DDIM, Engine, Parareal, choose_blocks
from store import moves, retention, saves
from store.catalog import load_catalog
from store.pictures import PictureId, StoredPicture
from store.pictures.postgres import PostgresPictures
from store.settings import SHIPPED_CATALOG

STEPS, ITERATES, JOBS = 50, 4, 20
GRAIN = 4.0  # of 255, standard deviation: a gradient with it compresses about as well as a photograph


class Silent:
    """A network that answers at once: see `sampler.Denoiser`."""

    device = torch.device("cpu")

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor:
        return x


class Outside(PostgresPictures):
    """Keeps nothing in rows, as `S3Pictures` does."""

    def put(self, session: Session, job_id: UUID, picture: bytes) -> StoredPicture:
        return StoredPicture(sha256(picture).hexdigest(), None)

    def load(self, picture: PictureId) -> bytes | None:
        return None


def stored(database: Database) -> list[dict[str, Any]]:
    """Bytes a job in the database, by the side of its picture in pixels, once when it has ended and once when its
    previews and checkpoints have gone."""
    return [
        {
            "side": side,
            "picture": len(_picture(side, 0)),
            "inside": _bytes(database, PostgresPictures(), side),
            "outside": _bytes(database, Outside(), side),
        }
        for side in (64, 1024)
    ]


def _bytes(database: Database, pictures: PostgresPictures, side: int) -> dict[str, float]:
    states = _checkpoints(side // 8)
    generation = load_catalog(SHIPPED_CATALOG).resolve({"prompt": "red heart", "seed": 1})
    with Session(database) as session:
        empty = _size(session)
        for job in range(JOBS):
            job_id = uuid4()
            for move in (moves.submit(job_id, generation), moves.claim(job_id, "worker", 60)):
                session.execute(move).all()
                session.commit()
            plan: Any = {"method": "srds", "blocks": len(states), "predicted_rounds": 9, "predicted_evaluations": 90}
            saves.start_image(session, job_id, 1, 0, **plan)
            figures: Any = {"residual": 0.1, "error_estimate": 0.1, "rounds": 9, "evaluations": 40}
            for iterate in range(ITERATES):
                saves.save_iterate(
                    *(session, pictures, job_id, 1, 0, iterate),
                    **figures,
                    picture=_picture(side, job * ITERATES + iterate),
                    checkpoint=states[min(iterate, len(states) - 1)],
                    final=iterate == ITERATES - 1,
                )
            saves.finish_image(session, job_id, 1, 0, stopped="converged")
            session.execute(moves.succeed(job_id, 1, "converged")).all()
            session.commit()
        ended = _size(session) - empty
        session.execute(retention.prune_checkpoints(0)).all()
        session.execute(retention.prune_previews(0)).all()
        session.commit()
        kept = _size(session) - empty
        session.execute(retention.prune(0)).all()
        session.commit()
    return {"ended": ended / JOBS, "kept": kept / JOBS}


def _size(session: Session) -> int:
    """Bytes of all tables with their indexes, without what may be used again."""
    session.commit()
    tables = "jobs, images, iterates, checkpoints, events"
    session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
    session.execute(text(f"vacuum full {tables}"))
    sizes = " + ".join(f"pg_total_relation_size('{table}')" for table in tables.split(", "))
    size = int(session.scalar(text(f"select {sizes}")) or 0)
    session.commit()
    return size


def _checkpoints(side: int) -> list[bytes]:
    """Those of the iterates of an image whose latents are (4, side, side)."""
    noise = torch.randn((4, side, side), generator=torch.Generator().manual_seed(0))
    engine = Engine(Silent(), 16)
    trajectory = Parareal(
        DDIM(grid(STEPS), "velocity"), noise, blocks=choose_blocks(STEPS, 16), max_iterations=ITERATES - 1
    )
    engine.add(trajectory, Anything())
    found: list[bytes] = []
    while engine.active:
        found += [progress.checkpoint.to_bytes() for progress in engine.round() if progress.checkpoint]
    return found


def _picture(side: int, seed: int) -> bytes:
    ramp = np.linspace(0, 255, side)
    pixels = np.stack([ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None], (ramp[:, None] + ramp) / 2], -1)
    pixels += np.random.default_rng(seed).normal(0, GRAIN, pixels.shape)
    file = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
