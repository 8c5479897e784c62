"""The window method's rounds, evaluations and error on the shipped model: `python -m benchmarks.window docs/window.md`.

Counts do not depend on the machine. Every row is the mean over ten prompts, each with its own seed; the error is the
relative error (RMS over RMS, latent space) against the serial sampler. The coarse grid is swept in the rounds of the
fine one (`preview_first=False`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from torch import Tensor

from benchmarks.shipped import PROMPTS, error, noises, run, shipped_model
from sampler import Model, Parareal, Window

# (solver, guidance, N, width, tolerance)
SETTINGS = [
    ("ddim", 3.0, 25, 4, 0.04), ("ddim", 3.0, 25, 8, 0.03), ("ddim", 3.0, 25, 16, 0.03),
    ("ddim", 3.0, 50, 4, 0.08), ("ddim", 3.0, 50, 8, 0.04), ("ddim", 3.0, 50, 16, 0.03), ("ddim", 3.0, 50, 32, 0.03),
    ("ddim", 3.0, 100, 4, 0.1), ("ddim", 3.0, 100, 8, 0.06), ("ddim", 3.0, 100, 16, 0.04),
    ("ddim", 3.0, 100, 32, 0.04), ("ddim", 3.0, 100, 64, 0.03), ("ddim", 3.0, 1000, 32, 0.1),
    ("ddim", 7.5, 25, 4, 0.03), ("ddim", 7.5, 25, 8, 0.02), ("ddim", 7.5, 25, 16, 0.02),
    ("ddim", 7.5, 50, 4, 0.03), ("ddim", 7.5, 50, 16, 0.02),
    ("ddim", 7.5, 100, 4, 0.06), ("ddim", 7.5, 100, 16, 0.03), ("ddim", 7.5, 100, 32, 0.02),
    *((solver, 3.0, 25, 4, 0.04) for solver in ("dpm++", "heun", "ddpm")),
    *((solver, 3.0, 50, 16, 0.03) for solver in ("dpm++", "heun", "ddpm")),
]  # fmt: skip
# The same without the coarse grid and what it tells.
BARE = [("ddim", 3.0, 25, 4, 0.02), ("ddim", 3.0, 100, 4, 0.05), ("ddim", 3.0, 100, 16, 0.02)]


def table(model: Model, settings: Sequence[tuple[str, float, int, int, float]], *, preview: bool) -> str:
    """The figures of some settings, as Markdown."""
    serial: dict[tuple[str, float, int], list[Tensor]] = {}
    starts = noises(model, len(PROMPTS))
    lines = [
        "| solver | guidance | N | width | tolerance | rounds | evaluations | error, mean | error, worst |"
        + preview * " first preview: rounds | its error |",
        "|---" * (9 + 2 * preview) + "|",
    ]
    for name, guidance, steps, width, tolerance in settings:
        solver = model.solver(steps, name)
        where = name, guidance, steps
        if where not in serial:
            exact = run(model, guidance, [Parareal(solver, noise, blocks=1) for noise in starts])
            serial[where] = [iterates[-1].sample for iterates in exact]
        how: Any = {"width": width, "tolerance": tolerance, "preview": preview, "preview_first": False}
        windows = [Window(solver, noise, **how) for noise in starts]
        ran = run(model, guidance, windows)
        first, last = ([iterates[n] for iterates in ran] for n in (0, -1))
        previews, errors = (
            [error(iterate.sample, exact) for iterate, exact in zip(made, serial[where], strict=True)]
            for made in (first, last)
        )
        lines.append(
            f"| {name} | {guidance:g} | {solver.grid.steps} | {width} | {tolerance:g} "
            f"| {mean(iterate.rounds for iterate in last):.1f} | {mean(iterate.evaluations for iterate in last):.1f} "
            f"| {mean(errors):.1e} | {max(errors):.1e} |"
            + preview
            * f" {mean(iterate.rounds for iterate in first):.1f} | {mean(previews):.1e} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    model = shipped_model()
    out.write_text(
        "# The window method, by counts\n\n"
        "Written by `python -m benchmarks.window docs/window.md`, on the shipped model: means over "
        f"{len(PROMPTS)} prompts with a seed each. The error is relative to the serial sampler's image (RMS over RMS, "
        "latent space). N is the number of evaluations that the serial sampler takes (Heun's 25 steps are 49).\n\n"
        "The coarse grid, which gives the first preview and guides the window, is part of the figures: it is swept in "
        "the rounds of the fine one, as `auto` does where rounds have room.\n\n"
        f"{table(model, SETTINGS, preview=True)}\n\nWithout the coarse grid (`preview=False`):\n\n"
        f"{table(model, BARE, preview=False)}\n"
    )


if __name__ == "__main__":
    main()
