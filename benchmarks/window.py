"""The window method's rounds, evaluations and error on the shipped model: `python -m benchmarks.window docs/window.md`.

Counts do not depend on the machine. Every row is the mean over ten prompts, each with its own seed; the error is the
relative error (RMS over RMS, latent space) against the serial sampler.
"""

import argparse
from pathlib import Path

from torch import Tensor

from benchmarks.shipped import PROMPTS, error, noises, run, shipped_model
from sampler import Model, Parareal, Window

# (guidance, N, width, tolerance)
SETTINGS = [
    (3.0, 25, 4, 0.02), (3.0, 25, 8, 0.02),
    (3.0, 50, 8, 0.02), (3.0, 50, 16, 0.02),
    (3.0, 100, 4, 0.05), (3.0, 100, 8, 0.03), (3.0, 100, 16, 0.02), (3.0, 100, 32, 0.023),
    (3.0, 1000, 32, 0.02),
    (7.5, 25, 4, 0.01), (7.5, 25, 4, 0.02), (7.5, 100, 4, 0.02), (7.5, 100, 16, 0.02),
]  # fmt: skip


def table(model: Model) -> str:
    """The figures of all settings, as Markdown."""
    serial: dict[tuple[float, int], list[Tensor]] = {}
    starts = noises(model, len(PROMPTS))
    lines = [
        "| guidance | N | width | tolerance | rounds | evaluations | error, mean | error, worst |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for guidance, steps, width, tolerance in SETTINGS:
        solver = model.solver(steps)
        if (guidance, steps) not in serial:
            exact = run(model, guidance, [Parareal(solver, noise, blocks=1) for noise in starts])
            serial[guidance, steps] = [iterates[-1].sample for iterates in exact]
        windows = [Window(solver, noise, width=width, tolerance=tolerance, preview=False) for noise in starts]
        last = [iterates[-1] for iterates in run(model, guidance, windows)]
        errors = [error(iterate.sample, exact) for iterate, exact in zip(last, serial[guidance, steps], strict=True)]
        rounds = sum(iterate.rounds for iterate in last) / len(last)
        evaluations = sum(iterate.evaluations for iterate in last) / len(last)
        lines.append(
            f"| {guidance:g} | {steps} | {width} | {tolerance:g} | {rounds:.1f} | {evaluations:.1f} "
            f"| {sum(errors) / len(errors):.1e} | {max(errors):.1e} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.write_text(
        "# The window method, by counts\n\n"
        "Written by `python -m benchmarks.window docs/window.md`, on the shipped model: means over "
        f"{len(PROMPTS)} prompts with a seed each. The error is relative to the serial sampler's image (RMS over RMS, "
        "latent space). The coarse grid's preview (`preview=True`, as in jobs) comes on top: about sqrt(N) evaluations "
        "in at most as many rounds.\n\n" + table(shipped_model()) + "\n"
    )


if __name__ == "__main__":
    main()
