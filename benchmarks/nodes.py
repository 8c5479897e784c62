"""Draw what collocation evaluates along a real trajectory: `python -m benchmarks.nodes docs/nodes.png`.

Everything drawn is recorded from one run on the shipped model, beside the serial sampler's run from the same noise.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from benchmarks.shipped import PROMPTS, error, noises, shipped_model
from sampler import Collocation, Iterate, Model, Serial, Trajectory
from sampler.methods.collocation import tuning
from sampler.methods.collocation.nodes import coordinate, interpolation
from sampler.solvers import Solver
from sampler.solvers.base import x0_from

STEPS, WIDTH, GUIDANCE, TOLERANCE = 50, 4, 3.0, 1e-2


@dataclass(frozen=True)
class Run:
    """One trajectory.

    Attributes:
        rounds: for each round, the images D that the network predicted (c, h, w), by grid point.
        iterates: the whole images.
    """

    rounds: list[dict[int, Tensor]]
    iterates: list[Iterate]


def record(model: Model, solver: Solver, trajectory: Trajectory) -> Run:
    """Run a trajectory alone, and keep what the network predicted."""
    condition = model.encode(PROMPTS[0], "", GUIDANCE)
    rounds: list[dict[int, Tensor]] = []
    iterates: list[Iterate] = []
    while asked := trajectory.ready()[:WIDTH]:
        timesteps = torch.tensor([each.timestep for each in asked])
        outputs = model.denoise(torch.stack([each.x for each in asked]), timesteps, [condition] * len(asked))
        images: dict[int, Tensor] = {}
        for each, output in zip(asked, outputs, strict=True):
            point = int(each.key)  # pyright: ignore[reportArgumentType]
            images[point] = x0_from(each.x, output, *solver.grid.departs[point], solver.prediction)
        rounds.append(images)
        iterates += trajectory.take(asked, outputs)
    return Run(rounds, iterates)


def errors_of_images(solver: Solver, found: dict[int, Tensor], exact: list[Tensor]) -> list[float]:
    """The relative error of D at every grid point, with D interpolated between those that were found."""
    points = np.array(sorted(found))
    weights = torch.tensor(interpolation(coordinate(solver.grid), points, tuning.ORDER, tuning.TREND)).float()
    images = torch.tensordot(weights, torch.stack([found[int(point)] for point in points]), 1)
    return [error(image, at) for image, at in zip(images, exact, strict=True)]


def draw(out: Path) -> None:
    """Draw the evaluations by round, the errors of D by grid point, and the errors of the image by round."""
    model = shipped_model()
    solver = model.solver(STEPS, "ddim")
    start = noises(model, 1)[0]
    serial = record(model, solver, Serial(solver, start))
    run = record(model, solver, Collocation(solver, start, width=WIDTH, tolerance=TOLERANCE))
    exact = [images[point] for point, images in enumerate(serial.rounds)]
    image = serial.iterates[-1].sample

    mpl.use("Agg")
    figure, (where, predicted, whole) = plt.subplots(
        3, 1, figsize=(9, 9), height_ratios=[1, 1.2, 1], layout="constrained"
    )
    found: dict[int, Tensor] = {}
    drawn = {len(run.rounds) // 2, len(run.rounds) - 1}
    for number, images in enumerate(run.rounds):
        again = [point for point in images if point in found]
        first = [point for point in images if point not in found]
        where.scatter(first, [number + 1] * len(first), color="C0", label=None if number else "first evaluation")
        where.scatter(again, [number + 1] * len(again), facecolors="none", edgecolors="C3")
        found |= images
        if number in drawn:
            name = f"after round {number + 1}, {len(found)} nodes"
            line = predicted.plot(range(STEPS), errors_of_images(solver, found, exact), label=name)[0]
            at = sorted(found)
            values = line.get_ydata()
            predicted.scatter(at, [values[point] for point in at], color=line.get_color(), s=24)  # pyright: ignore
    where.scatter([], [], facecolors="none", edgecolors="C3", label="evaluated again, at its new state")
    where.invert_yaxis()
    where.set(ylabel="round", xlim=(-1, STEPS), title=f"Where the network is evaluated: {len(found)} of {STEPS} points")
    where.legend(fontsize=9)
    predicted.set(yscale="log", ylim=(1e-3, 0.5), xlim=(-1, STEPS), xlabel="grid point", ylabel="relative error of D")
    predicted.set_title("D against that of the serial sampler: nodes are dots, gaps are interpolated")
    predicted.legend(fontsize=9)
    rounds = [iterate.rounds for iterate in run.iterates]
    whole.plot(rounds, [each.error_estimate for each in run.iterates], "o--", color="C1", label="estimated")
    whole.plot(rounds, [error(each.sample, image) for each in run.iterates], "o-", color="C2", label="true")
    whole.axhline(TOLERANCE, color="#888", linestyle=":", label="tolerance")
    whole.set(
        yscale="log", xlabel="round", ylabel="relative error of the image", title="The whole images that are shown"
    )
    whole.set_xticks(range(1, len(run.rounds) + 1))
    whole.legend(fontsize=9)
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    draw(parser.parse_args().out)


if __name__ == "__main__":
    main()
