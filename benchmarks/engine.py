"""What the engine costs beside the network, and several jobs at once: `python -m benchmarks.engine build/benchmarks`.

The engine is a worker's own (`tasks.engines`), on the shipped model. Time inside the network is taken by hooks on the
network's own module; all the rest is the prompt's encoding, guidance, solvers and bookkeeping.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, get_args

import torch

from benchmarks.clock import Diffusers, warm
from benchmarks.report import about, machine, middle, shown, table, write
from contract.methods import REFERENCE
from contract.words import Method
from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG
from tasks.bench import Studio

JOBS = 16
METHODS: tuple[Method, ...] = get_args(Method)

TEXT = """# The engine, and several jobs at once

Written by `python -m benchmarks.engine build/benchmarks` from `engine.json`, {machine}.

## Time inside the network

Shipped model, tolerance {tolerance:g}, by the width of a round. *Inside* is the time in the
network's module, measured by hooks. *Outside* is everything else from the request to the last latents: encoding the
prompt, guidance, solver steps, bookkeeping. Pictures are not decoded here. The target is 95 % at width 8 and above.

{inside}
## {jobs} jobs at once

{jobs} jobs, each with its own prompt and seed, in one worker's engine, {width} evaluations a round; every iterate is
decoded. Each run follows diffusers' own batch of the same {jobs} pictures. The ratios compare images per second:
with that batch, and with diffusers one after another. The targets are 0.9 and 1.5. The last columns are the cost:
evaluations (at least N for each job), and decoded pictures, each of which takes about as long as one evaluation.

{together}
"""


class Inside(AbstractContextManager["Inside"]):
    """Counts the calls of a module, their samples and their seconds while the context lasts."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.seconds, self.calls = 0.0, 0
        self._module = module
        self._began = 0.0

    def __enter__(self) -> "Inside":
        def begin(*_: Any) -> None:
            self._began = time.perf_counter()

        def end(*_: Any) -> None:
            self.seconds += time.perf_counter() - self._began
            self.calls += 1

        self._hooks = [self._module.register_forward_pre_hook(begin), self._module.register_forward_hook(end)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()


def requests(studio: Studio, jobs: int, steps: int, method: str) -> list[dict[str, Any]]:
    """So many jobs, a prompt and a seed each."""
    prompts = studio.card.example_prompts
    return [
        {"prompt": prompts[n % len(prompts)], "seed": 100 + n, "steps": steps, "method": method} for n in range(jobs)
    ]


def shares(widths: Sequence[int], steps: Sequence[int], runs: int) -> list[dict[str, Any]]:
    """Share of the wall time inside the network for each N, width, method and number of jobs."""
    found: list[dict[str, Any]] = []
    for width in widths:
        studio = Studio(load_catalog(SHIPPED_CATALOG).default, width, "cpu")
        warm(studio)
        model: Any = studio.engine.model
        for n, method, jobs in product(steps, METHODS, (1, JOBS) if width > 1 else (1,)):
            rows: list[tuple[float, float, int, int]] = []
            for _ in range(runs):
                before = studio.engine.statistics
                with Inside(getattr(model.pipeline, model.network)) as inside:
                    began = time.perf_counter()
                    studio.make(requests(studio, jobs, n, method), decode=False)
                    wall = time.perf_counter() - began
                evaluations = studio.engine.statistics["evaluations"] - before["evaluations"]
                rows.append((inside.seconds / wall, (wall - inside.seconds) / evaluations, evaluations, inside.calls))
            share, outside = (middle(row[n] for row in rows) for n in range(2))
            row = {"steps": n, "width": width, "method": method, "jobs": jobs, "share": share, "outside": outside}
            found.append(row | {"evaluations": rows[0][2], "rounds": rows[0][3]})
        studio.close()
    return found


def together(steps: Sequence[int], pairs: int) -> list[dict[str, Any]]:
    """Jobs at once, beside diffusers in one batch and one after another: seconds and ratios for each N and method."""
    studio = Studio(load_catalog(SHIPPED_CATALOG).default, None, "cpu")
    warm(studio)
    diffusers = Diffusers(studio)
    found: list[dict[str, Any]] = []
    for n in steps:
        prompts = [request["prompt"] for request in requests(studio, JOBS, n, REFERENCE)]
        rows = {method: {"steps": n, "method": method, "batch": [], "alone": []} for method in METHODS}
        for pair in range(pairs):
            alone = sum(diffusers.serial(prompt, 100 + each, n) for each, prompt in enumerate(prompts))
            for method in METHODS[pair % len(METHODS) :] + METHODS[: pair % len(METHODS)]:
                batch = diffusers.serial(prompts, 100, n)
                before = studio.engine.statistics["evaluations"]
                made = studio.make(requests(studio, JOBS, n, method))
                ours = max(picture.seconds for picture in made)
                rows[method]["batch"].append(batch / ours)
                rows[method]["alone"].append(alone / ours)
                rows[method]["evaluations"] = studio.engine.statistics["evaluations"] - before
                rows[method]["pictures"] = sum(picture.iterate.number + 1 for picture in made)
        found += rows.values()
    studio.close()
    return found


def page(found: dict[str, Any]) -> str:
    """The figures for people."""
    inside = [
        (row["steps"], row["width"], row["jobs"], row["method"], row["rounds"], row["evaluations"],
         f"{row['share']['median']:.1%}", f"{row['outside']['median'] * 1e6:.0f}")
        for row in found["inside"]
    ]  # fmt: skip
    together = [
        (row["steps"], row["method"], shown(middle(row["batch"])), shown(middle(row["alone"])), row["evaluations"],
         row["pictures"])
        for row in found["together"]
    ]  # fmt: skip
    head = ("N", "width", "jobs", "method", "rounds", "evaluations", "inside the network", "outside, µs an evaluation")
    beside = ("N", "method", "over diffusers' batch", "over diffusers one after another", "evaluations", "pictures")
    return TEXT.format(
        machine=about(found), jobs=JOBS, inside=table(head, inside), together=table(beside, together),
        **found["settings"],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--widths", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    card = load_catalog(SHIPPED_CATALOG).default
    found = {
        "about": machine(options.threads),
        "settings": {"tolerance": card.defaults.tolerance, "width": card.width},
        "inside": shares(options.widths, options.steps, options.runs),
        "together": together(options.steps, options.pairs),
    }
    write(options.out, "engine", found, page(found))


if __name__ == "__main__":
    main()
