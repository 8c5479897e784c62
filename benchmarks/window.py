"""The window method's rounds, evaluations and error on the shipped model: `python -m benchmarks.window docs/window.md`.

Counts do not depend on the machine. Every row is the mean over ten prompts, each with its own seed; the error is the
relative error (RMS over RMS, latent space) against the serial sampler.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sampler import Engine, Model, Parareal, Trajectory, Window, load_model

PROMPTS = [
    "red heart", "cat face", "pizza", "rocket", "grinning face",
    "tropical fish", "house", "guitar", "sunflower", "soccer ball",
]  # fmt: skip
FIRST_SEED = 100
# (guidance, N, width, tolerance)
SETTINGS = [
    (3.0, 25, 4, 0.02), (3.0, 25, 8, 0.02),
    (3.0, 50, 8, 0.02), (3.0, 50, 16, 0.02),
    (3.0, 100, 4, 0.05), (3.0, 100, 8, 0.03), (3.0, 100, 16, 0.02), (3.0, 100, 32, 0.023),
    (3.0, 1000, 32, 0.02),
    (7.5, 25, 4, 0.01), (7.5, 25, 4, 0.02), (7.5, 100, 4, 0.02), (7.5, 100, 16, 0.02),
]  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """Means over the prompts."""

    rounds: float
    evaluations: float
    error: float
    worst: float


def run(model: Model, guidance: float, trajectories: Sequence[Trajectory]) -> Sequence[Trajectory]:
    """Run one trajectory a prompt, all in one engine wide enough that none waits for another."""
    engine = Engine(model, 10**6)
    for prompt, trajectory in zip(PROMPTS, trajectories, strict=True):
        engine.add(trajectory, model.encode(prompt, "", guidance))
    while engine.active:
        engine.round()
    return trajectories


def figures(trajectories: Sequence[Trajectory], serial: Sequence[Trajectory]) -> Figures:
    """Means of the figures of `trajectories`, against the images of `serial`."""
    errors = [_error(trajectory, exact) for trajectory, exact in zip(trajectories, serial, strict=True)]
    count = len(trajectories)
    return Figures(
        sum(trajectory.rounds for trajectory in trajectories) / count,
        sum(trajectory.evaluations for trajectory in trajectories) / count,
        sum(errors) / count,
        max(errors),
    )


def _error(trajectory: Trajectory, exact: Trajectory) -> float:
    assert trajectory.newest is not None
    assert exact.newest is not None
    return float((trajectory.newest.sample - exact.newest.sample).norm() / exact.newest.sample.norm())


def table(model: Model) -> str:
    """The figures of all settings, as Markdown."""
    serial: dict[tuple[float, int], Sequence[Trajectory]] = {}
    lines = [
        "| guidance | N | width | tolerance | rounds | evaluations | error, mean | error, worst |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for guidance, steps, width, tolerance in SETTINGS:
        solver = model.solver(steps)
        noises = [model.noise(FIRST_SEED + n, height=64, width=64) for n in range(len(PROMPTS))]
        if (guidance, steps) not in serial:
            serial[guidance, steps] = run(model, guidance, [Parareal(solver, noise, blocks=1) for noise in noises])
        near = [Window(solver, noise, width=width, tolerance=tolerance, preview=False) for noise in noises]
        seen = figures(run(model, guidance, near), serial[guidance, steps])
        lines.append(
            f"| {guidance:g} | {steps} | {width} | {tolerance:g} | {seen.rounds:.1f} | {seen.evaluations:.1f} "
            f"| {seen.error:.1e} | {seen.worst:.1e} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    model = load_model(Path(__file__).parents[1] / "models" / "emoji")
    out.write_text(
        "# The window method, by counts\n\n"
        "Written by `python -m benchmarks.window docs/window.md`, on the shipped model: means over "
        f"{len(PROMPTS)} prompts with a seed each. The error is relative to the serial sampler's image (RMS over RMS, "
        "latent space). The coarse grid's preview (`preview=True`, as in jobs) comes on top: about sqrt(N) evaluations "
        "in at most as many rounds.\n\n" + table(model) + "\n"
    )


if __name__ == "__main__":
    main()
