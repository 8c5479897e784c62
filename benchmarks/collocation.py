"""Collocation's rounds, evaluations and errors: `python -m benchmarks.collocation docs/collocation.md`.

Everything is counted, so the same run gives the same page. The prompts and seeds are not those that the constants of
`sampler.methods.collocation.tuning` come from.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from benchmarks.report import table
from benchmarks.shipped import PROMPTS, error, noises, run, shipped_model
from sampler import Serial
from sampler.denoiser import Model
from sampler.methods.collocation.collocation import Collocation

CASES = [
    (3.0, 25, (1, 4)), (3.0, 28, (1, 2, 4)), (3.0, 50, (1, 2, 4, 16)), (3.0, 100, (1, 4, 16)), (3.0, 1000, (1, 4)),
    (7.5, 28, (1, 4)), (7.5, 50, (1, 4)), (7.5, 100, (1, 4)),
]  # fmt: skip
TOLERANCE = 1e-2
HEADER = ("solver", "guidance", "N", "width", "rounds", "evaluations", "mean error", "worst error", "iterates")

PAGE = """# Collocation, by counts

Written by `python -m benchmarks.collocation docs/collocation.md`, on the shipped model at tolerance {tolerance:g}:
means over {count} prompts with a seed each. The error is that of the final latents against the serial sampler's,
relative. The serial sampler takes N rounds and N evaluations.

{table}
"""


def measure(model: Model, solver_name: str, guidance: float, steps: int, widths: Sequence[int], count: int):
    """A row of the table for each width."""
    solver, starts = model.solver(steps, solver_name, height=64, width=64), noises(model, count)
    exact = [iterates[-1].sample for iterates in run(model, guidance, [Serial(solver, n) for n in starts])]
    for width in widths:
        ran = run(model, guidance, [Collocation(solver, n, width=width, tolerance=TOLERANCE) for n in starts])
        last = [iterates[-1] for iterates in ran]
        errors = [error(iterate.sample, sample) for iterate, sample in zip(last, exact, strict=True)]
        yield (
            solver_name,
            f"{guidance:g}",
            str(steps),
            str(width),
            f"{mean(iterate.rounds for iterate in last):.1f}",
            f"{mean(iterate.evaluations for iterate in last):.1f}",
            f"{mean(errors):.1e}",
            f"{max(errors):.1e}",
            f"{mean(map(len, ran)):.1f}",
        )


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    options = parser.parse_args()
    model, rows = shipped_model(), list[tuple[str, ...]]()
    for solver, cases in (("ddim", CASES), ("dpm++", [case for case in CASES if case[0] == 3 and case[1] < 1000])):
        for guidance, steps, widths in cases:
            for row in measure(model, solver, guidance, steps, widths, options.prompts):
                print(*row, flush=True)
                rows.append(row)
    options.page.write_text(PAGE.format(tolerance=TOLERANCE, count=options.prompts, table=table(HEADER, rows)))


if __name__ == "__main__":
    main()
