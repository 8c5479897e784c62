"""Estimated against true errors: `python -m benchmarks.estimates docs/estimates.md`.

Every run is a sample at one setting, by a method as a request names it, driven alone to its end. The prompts and seeds
are not used to tune anything. `--methods` measures others; the results (`--results`, a JSON file) keep what was
measured before. Counts and errors do not depend on the machine.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, pairwise, product
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.drive import BATCH, Denoiser
from benchmarks.problems import Anything, Tree
from benchmarks.shipped import error, shipped_model
from sampler import Circumstances, Iterate, Solver, Stopping, Trajectory, planner
from sampler.methods import METHODS, new_methods

PROMPTS = ("strawberry", "elephant", "airplane", "crescent moon")
FIRST_SEED = 7000
WIDTHS = (4, 16)
TOLERANCES = (2e-3, 5e-3, 2e-2)
DEFAULT = (5e-3,)
# An error that is not visible: an iterate below it does not count as a worse preview.
WORTH_COUNTING = 1e-3


class Case(NamedTuple):
    """A problem with the samples, widths and tolerances that are run; `modes` 0 is the shipped model."""

    modes: float
    guidance: float
    solver: str
    steps: int
    samples: int
    tolerances: tuple[float, ...] = TOLERANCES

    @property
    def problem(self) -> str:
        """The problem in the page."""
        return f"modes {self.modes:g}" if self.modes else f"guidance {self.guidance:g}"


CASES = [
    *(Case(modes, 0, "ddim", steps, 4) for modes, steps in product((0.5, 0.2, 0.05), (25, 50, 100))),
    *(Case(0, *each, 2) for each in product((1.0, 3.0, 7.5, 15.0), ("ddim", "dpm++"), (20, 28, 50, 100))),
    *(Case(0, *each, 4, DEFAULT) for each in product((3.0, 7.5), ("ddim",), (25,))),
    *(Case(0, guidance, "ddim", 250, 2, DEFAULT) for guidance in (3.0, 7.5)),
    *(Case(0, guidance, "ddim", 1000, 1, DEFAULT) for guidance in (3.0, 7.5)),
]
Row = dict[str, Any]


def drive(model: Denoiser, trajectories: Sequence[tuple[Trajectory, int, Any]]) -> list[list[Iterate]]:
    """Run trajectories, each of a width and a condition, to their ends. Batches are shared, which changes no count."""
    iterates: list[list[Iterate]] = [[] for _ in trajectories]
    while True:
        chosen = [list(islice(trajectory.offers(), width)) for trajectory, width, _ in trajectories]
        asked = [
            (evaluation, condition)
            for part, (_, _, condition) in zip(chosen, trajectories, strict=True)
            for evaluation in part
        ]
        if not asked:
            return iterates
        outputs: list[Tensor] = []
        for first in range(0, len(asked), BATCH):
            batch = asked[first : first + BATCH]
            x = torch.stack([evaluation.x for evaluation, _ in batch])
            timestep = torch.tensor([evaluation.timestep for evaluation, _ in batch], dtype=torch.float64)
            with torch.inference_mode():
                outputs += model.denoise(x, timestep, [condition for _, condition in batch]).float().unbind()
        taken = 0
        for part, found, (trajectory, _, _) in zip(chosen, iterates, trajectories, strict=True):
            if part:
                found += trajectory.take(part, torch.stack(outputs[taken : taken + len(part)]))
                taken += len(part)


def measure(method: str, case: Case, shipped: Callable[[], Any]) -> list[Row]:
    """The runs of one method at one case, with all that they show."""
    seeds = range(FIRST_SEED, FIRST_SEED + case.samples)
    model: Any
    solver: Solver
    if case.modes:
        model = Tree(case.modes)
        solver, conditions = model.solver(case.steps), [Anything()] * case.samples
        starts = [model.noise(seed) for seed in seeds]
    else:
        model = shipped()
        solver = model.solver(case.steps, case.solver)
        conditions = [model.encode(prompt, "", case.guidance) for prompt in PROMPTS[: case.samples]]
        starts = [model.noise(seed, height=64, width=64) for seed in seeds]

    def start(name: str, noise: Tensor, width: int, stopping: Stopping) -> Trajectory:
        plan = planner.plan(name, new_methods(), solver.grid.steps, stopping, Circumstances(width))
        return plan.start(solver, noise, stopping)

    samples = list(zip(starts, conditions, strict=True))
    serial = drive(model, [(start("serial", noise, 1, Stopping()), 1, condition) for noise, condition in samples])
    exact = [iterates[-1].sample for iterates in serial]
    settings = list(product(WIDTHS, case.tolerances, range(case.samples)))
    made = [
        (start(method, starts[n], width, Stopping(tolerance)), width, conditions[n]) for width, tolerance, n in settings
    ]
    return [
        {
            "method": method,
            "case": list(case),
            "width": width,
            "tolerance": tolerance,
            "iterates": [
                [each.number, each.rounds, each.evaluations, each.error_estimate, error(each.sample, exact[n])]
                for each in iterates
            ],
        }
        for (width, tolerance, n), iterates in zip(settings, drive(model, made), strict=True)
    ]


def line(about: str, rows: Sequence[Row]) -> str:
    """One line of the table."""
    ends = sorted(row["iterates"][-1][4] / row["tolerance"] for row in rows)
    shown = [(each[4], each[3]) for row in rows for each in row["iterates"] if each[3]]
    ratios = sorted(true / estimate for true, estimate in shown) or [0.0]
    pairs = [(one[4], other[4]) for row in rows for one, other in pairwise(row["iterates"])]
    worse = sum(other > max(one, WORTH_COUNTING) for one, other in pairs)
    return (
        f"| {about} | {len(rows)} | {median(ends):.2f} | {at(ends, 95):.2f} | {ends[-1]:.2f} "
        f"| {share(end <= 1 for end in ends)} | {share(end <= 3 for end in ends)} "
        f"| {median(ratios):.2f} | {at(ratios, 95):.2f} | {worse} of {len(pairs)} |"
    )


def at(values: Sequence[float], percent: int) -> float:
    """A percentile."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def share(true: Iterable[bool]) -> str:
    """A share in percent."""
    values = list(true)
    return f"{100 * sum(values) / len(values):.1f} %"


HEAD = (
    "| method | problem | N | runs | error / tolerance: median | 95 % | worst | within 1x | within 3x "
    "| previews, error / estimate: median | 95 % | worse than the one before |\n" + "|---" * 12 + "|\n"
)
TEXT = """# Estimated and true errors

Written by `python -m benchmarks.estimates docs/estimates.md`. Each run is one sample by a method as a request names
it, driven alone. The true error is the relative RMS error of the final latents against the serial sampler's with the
same N, solver and noise. **Error / tolerance** is that of the image with which the run ended; **previews** are all
iterates that have an estimate other than 0. An iterate counts as worse than the one before if its true error is larger,
and above {worth:g}.

No prompt or seed here was used to tune anything. `guidance G` is the shipped model, with DDIM and DPM-Solver++(2M);
`modes W` is the exact denoiser of a tree of 512 narrow modes of width W, which is stiff (`benchmarks/problems.py`).
Widths: {widths}; tolerances: {tolerances}; on the shipped model with N = 25, 250 and 1000 only {default}.

All runs:

{head}{totals}

By problem and N:

{head}{lines}

**What an estimate cannot see.** It is local: it knows how the iterates have moved. Close to the border between two
modes of the data, a small change at one noise level changes the whole image, without a sign before. Runs far beyond
their tolerance are of this kind. Tolerance 0 has no such error.
"""


def page(rows: Sequence[Row]) -> str:
    """The whole page."""

    def grouped(key: Callable[[Row], tuple[Any, ...]]) -> str:
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(key(row), []).append(row)
        return "\n".join(line(" | ".join(map(str, about)), group) for about, group in groups.items())

    return TEXT.format(
        worth=WORTH_COUNTING,
        widths=", ".join(map(str, WIDTHS)),
        tolerances=", ".join(f"{each:g}" for each in TOLERANCES),
        default=f"{DEFAULT[0]:g}",
        head=HEAD,
        totals=grouped(lambda row: (row["method"], "all", "all")),
        lines=grouped(lambda row: (row["method"], Case(*row["case"]).problem, row["case"][3])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--results", type=Path, default=Path("build/benchmarks/estimates.json"))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=["srds"])
    parser.add_argument("--again", action="store_true", help="measure what was measured before, too")
    options = parser.parse_args()
    rows: list[Row] = json.loads(options.results.read_text()) if options.results.exists() and not options.again else []
    have = {(row["method"], *map(str, row["case"])) for row in rows}
    loaded: list[Any] = []

    def shipped() -> Any:
        if not loaded:
            loaded.append(shipped_model())
        return loaded[0]

    options.results.parent.mkdir(parents=True, exist_ok=True)
    for method, case in product(options.methods, CASES):
        if (method, *map(str, json.loads(json.dumps(case)))) in have:
            continue
        rows += measure(method, case, shipped)
        options.results.write_text(json.dumps(rows) + "\n")
        print(method, *case, flush=True)
    names = list(METHODS)
    order = {tuple(map(str, json.loads(json.dumps(case)))): n for n, case in enumerate(CASES)}
    rows = [row for row in rows if tuple(map(str, row["case"])) in order]
    rows.sort(key=lambda row: (names.index(row["method"]), order[tuple(map(str, row["case"]))]))
    options.out.write_text(page(rows))


if __name__ == "__main__":
    main()
