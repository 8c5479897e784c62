"""What the engine costs beside the network, and several jobs at once: `python -m benchmarks.engine docs/benchmarks`.

The engine is a worker's own (`tasks.engines`), on the shipped model. Time inside the network is taken by hooks on the
network's own module; all the rest is the prompt's encoding, guidance, solvers and bookkeeping.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from benchmarks.clock import Diffusers, warm
from benchmarks.report import about, machine, middle, shown, table, write
from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG
from tasks.bench import Studio

JOBS = 16
METHODS = ("serial", "srds", "window", "auto")

TEXT = """# The engine, and several jobs at once

Written by `python -m benchmarks.engine docs/benchmarks` from [engine.json](engine.json), {machine}.

## Time inside the network

Shipped model, N = {steps}, tolerance {tolerance:g}, by the width of a round. *Inside* is the network's own module, by
hooks; *outside* is everything else from the request to the last latents: encoding the prompt, guidance, solver steps,
bookkeeping. Pictures are not decoded here. The target is 95 % at width 8 and above.

{inside}
## {jobs} jobs at once

{jobs} jobs of N = {steps}, a prompt and a seed each, in one worker's engine, {width} evaluations a round. Each run goes
right after diffusers' pipeline for the same {jobs} pictures; times what it makes a second. The targets are 1.5 times
diffusers one after another, and 0.9 of its own batch of {jobs}.

{together}
diffusers' batch of {jobs}, over one after another: {batch}.
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


def shares(widths: Sequence[int], steps: int, runs: int) -> list[dict[str, Any]]:
    """Share of the wall time inside the network for each width, method and number of jobs."""
    found: list[dict[str, Any]] = []
    for width in widths:
        studio = Studio(load_catalog(SHIPPED_CATALOG).default, width, "cpu")
        warm(studio)
        model: Any = studio.engine.model
        for method in METHODS:
            for jobs in (1, JOBS) if width > 1 else (1,):
                rows: list[tuple[float, float, int, int]] = []
                for _ in range(runs if jobs == 1 else 1):
                    before = studio.engine.statistics
                    with Inside(getattr(model.pipeline, model.network)) as inside:
                        began = time.perf_counter()
                        studio.make(requests(studio, jobs, steps, method), decode=False)
                        wall = time.perf_counter() - began
                    after = studio.engine.statistics
                    evaluations = after["evaluations"] - before["evaluations"]
                    rows.append(
                        (inside.seconds / wall, (wall - inside.seconds) / evaluations, evaluations, inside.calls)
                    )
                share, outside = (middle(row[n] for row in rows) for n in range(2))
                row = {"width": width, "method": method, "jobs": jobs, "share": share, "outside": outside}
                found.append(row | {"evaluations": rows[0][2], "rounds": rows[0][3]})
        studio.engine.close()
    return found


def together(steps: int, pairs: int) -> dict[str, Any]:
    """Jobs at once, beside diffusers one after another and in one batch: seconds and ratios."""
    studio = Studio(load_catalog(SHIPPED_CATALOG).default, None, "cpu")
    warm(studio)
    diffusers = Diffusers(studio)
    prompts = [request["prompt"] for request in requests(studio, JOBS, steps, "serial")]
    found: dict[str, Any] = {"alone": [], "batch": [], "ours": {method: [] for method in METHODS}}
    for _ in range(pairs):
        alone = sum(diffusers.serial(prompt, 100 + n, steps) for n, prompt in enumerate(prompts))
        found["alone"].append(alone)
        for method in METHODS:
            batch = diffusers.serial(prompts, 100, steps)
            ours = max(made.seconds for made in studio.make(requests(studio, JOBS, steps, method)))
            found["batch"].append(alone / batch)
            found["ours"][method].append({"over_alone": alone / ours, "over_batch": batch / ours, "seconds": ours})
    studio.engine.close()
    return found


def page(found: dict[str, Any]) -> str:
    """The figures for people."""
    inside = [
        (row["width"], row["jobs"], row["method"], row["rounds"], row["evaluations"], f"{row['share']['median']:.1%}",
         f"{row['outside']['median'] * 1e6:.0f}")
        for row in found["inside"]
    ]  # fmt: skip
    ours = [
        (method, *(shown(middle(run[name] for run in runs)) for name in ("over_alone", "over_batch")))
        for method, runs in found["together"]["ours"].items()
    ]
    head = ("width", "jobs", "method", "rounds", "evaluations", "inside the network", "outside, µs an evaluation")
    return TEXT.format(
        machine=about(found), jobs=JOBS, inside=table(head, inside),
        together=table(("method", "over diffusers one after another", "over diffusers' batch"), ours),
        batch=shown(middle(found["together"]["batch"])), **found["settings"],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    card = load_catalog(SHIPPED_CATALOG).default
    found = {
        "about": machine(options.threads),
        "settings": {"steps": options.steps, "tolerance": card.defaults.tolerance, "width": card.width},
        "inside": shares(options.widths, options.steps, options.runs),
        "together": together(options.steps, options.runs),
    }
    write(options.out, "engine", found, page(found))


if __name__ == "__main__":
    main()
