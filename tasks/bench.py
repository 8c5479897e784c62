"""`python -m tasks.bench`: measures a model of the catalogue in a worker's engine, and prints a JSON object per line.

`underpaint bench` runs this as a process and shows the lines as a table, since the command never loads torch.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from time import perf_counter
from typing import Any
from uuid import uuid4

from torch import Tensor

from contract.fields import Generation
from contract.methods import METHODS, REFERENCE
from sampler import Iterate, Status
from store.catalog import ModelCard, load_catalog
from store.settings import CatalogSettings, WorkerSettings
from tasks.engines import EngineThread, ImageBatch, ImageUpdate
from tasks.metrics import Metrics
from tasks.trajectories import Start, begin

WARM_UP = 10  # steps


@dataclass(frozen=True)
class Pictured:
    """One image, from its request to its picture.

    Attributes:
        first, seconds: until the first whole preview, and until the image, decoded.
        iterate: the last one.
        sample: of the image, (c, h, w).
    """

    first: float
    seconds: float
    iterate: Iterate

    @property
    def sample(self) -> Tensor:
        return self.iterate.sample


class Studio:
    """The engine of one model, as a worker has it, without queue and database."""

    def __init__(self, card: ModelCard, width: int | None = None, device: str = "auto") -> None:
        """`width`: evaluations per round; None: that of the card."""
        self.card = card
        self.engine = EngineThread(card, width or card.width, device, Metrics())
        self.engine.start()

    def close(self) -> None:
        """End the engine, and wait until it has."""
        self.engine.close()
        self.engine.join()

    def make(self, requests: Sequence[Mapping[str, Any]], *, decode: bool = True) -> list[Pictured]:
        """Compute the image of each request, all at once, and decode as workers do unless `decode` is false.

        Raises:
            RuntimeError: one failed, with the reason.
        """
        began = perf_counter()
        mail: list[SimpleQueue[ImageUpdate]] = [SimpleQueue() for _ in requests]
        batches = [
            self._batch(self.card.resolve(request), updates, decode)
            for request, updates in zip(requests, mail, strict=True)
        ]
        for batch in batches:
            self.engine.add(batch)
        with ThreadPoolExecutor(len(requests)) as threads:  # one for each job, as in a worker
            return list(threads.map(partial(self._follow, began), batches, mail))

    def _batch(self, generation: Generation, updates: "SimpleQueue[ImageUpdate]", decode: bool) -> ImageBatch:
        prepare = partial(begin, uuid4(), generation, {}, {0: Start()}, lambda *_: None, lambda _: None)
        pictures = "none" if not decode else "all" if generation.previews else "last"
        return ImageBatch((0,), prepare, updates.put, pictures=pictures)

    def _follow(self, began: float, batch: ImageBatch, updates: "SimpleQueue[ImageUpdate]") -> Pictured:
        first: float | None = None
        while True:
            update = updates.get()
            if update.status is Status.FAILED:
                raise RuntimeError(update.error)
            ended = update.status is not Status.RUNNING
            shown = update.iterates
            if batch.pictures == "last":
                shown = [each for each in shown if ended and each is update.newest]
            for iterate in shown:
                if batch.pictures != "none":
                    self.engine.picture(update, iterate)
                first = first or perf_counter() - began
            if ended and update.newest is not None:
                seconds = perf_counter() - began
                return Pictured(first or seconds, seconds, update.newest)


def cases(card: ModelCard) -> list[dict[str, Any]]:
    """What is measured beside the serial sampler: each method as the card has it, and `auto` to the exact image."""
    named = [{"method": method} for method in METHODS if method != REFERENCE]
    return [*named, {"method": "auto"}, {"method": "auto", "tolerance": 0.0}]


def compare(studio: Studio, steps: int, pairs: int) -> list[dict[str, Any]]:
    """Every case beside the serial sampler: each pair of runs is of one prompt, and goes one right after the other.

    Returns:
        For each case the medians of the ratios to the serial sampler's time, and of the counts; the worst error
        (relative, in latent space). The serial sampler's own seconds come first.
    """
    card, prompts = studio.card, studio.card.example_prompts
    found: list[dict[str, Any]] = []
    seconds: list[float] = []
    for case in cases(card):
        runs: list[tuple[Pictured, Pictured, float]] = []
        for pair in range(pairs):
            request = {"prompt": prompts[pair % len(prompts)], "seed": pair, "steps": steps}
            (serial,) = studio.make([request | {"method": REFERENCE}])
            (other,) = studio.make([request | case])
            error = float((other.sample - serial.sample).norm() / serial.sample.norm())
            runs.append((serial, other, error))
            seconds.append(serial.seconds)
        found.append(
            {
                "steps": steps,
                "method": case["method"],
                "tolerance": case.get("tolerance", card.defaults.tolerance),
                "first": median(other.first / serial.seconds for serial, other, _ in runs),
                "all": median(other.seconds / serial.seconds for serial, other, _ in runs),
                "rounds": median(other.iterate.rounds for _, other, _ in runs),
                "evaluations": median(other.iterate.evaluations for _, other, _ in runs),
                "error": max(error for *_, error in runs),
            }
        )
    return [{"steps": steps, "method": REFERENCE, "seconds": median(seconds), "rounds": steps}, *found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="its id in the catalogue; the first one by default")
    parser.add_argument("--steps", type=int, nargs="+", help="the model's default by default")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each method")
    parser.add_argument("--width", type=int, help="evaluations a round; what the catalogue says by default")
    parser.add_argument("--device", help="UNDERPAINT_DEVICE by default")
    parser.add_argument("--catalog", type=Path, default=CatalogSettings().catalog)
    options = parser.parse_args()
    catalog, settings = load_catalog(options.catalog), WorkerSettings()
    if options.model and options.model not in catalog:
        parser.error(f"the catalogue has no model {options.model}: choose one of {', '.join(catalog)}")
    card = catalog[options.model] if options.model else catalog.default
    studio = Studio(card, options.width or settings.width, options.device or settings.device)
    studio.make([{"prompt": card.example_prompts[0], "steps": WARM_UP}])
    for steps in options.steps or [card.defaults.steps]:
        for row in compare(studio, steps, options.pairs):
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
    # While the interpreter ends, a thread of PyTorch's sometimes aborts the process. Everything is printed by now.
    sys.stdout.flush()
    os._exit(0)
