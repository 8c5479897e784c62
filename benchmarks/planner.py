"""What `auto` loses at the worst: `python -m benchmarks.planner`.

Counts, on devices whose rounds of w evaluations take 1 + s (w - 1) times one of a single evaluation; nothing is timed.
Every choice of problem, N, s, tolerance and width runs alone in an engine. Shown is the time to the image over that of
the serial sampler: with the preview's own cost, and without it.
"""

from itertools import product
from statistics import mean
from typing import Any

import torch

from benchmarks.problems import Anything, Tree
from sampler import Circumstances, Plan, Stopping
from sampler.cost import Curve
from sampler.methods import new_methods
from sampler.planner import choose

STEPS = (10, 25, 50, 100)
SLOPES = (0.0, 0.05, 0.2, 0.4, 0.7, 1.0)
TOLERANCES = (0.0, 1e-4, 5e-3, 0.05)
WIDTHS = (4, 16)
MODES = (0.05, 0.2)
WORST = 12


def spent(problem: Tree, steps: int, plan: Plan, stopping: Stopping, slots: int, cost: Curve) -> float:
    """What a plan takes to the image, in rounds of one evaluation."""
    trajectory = plan.start(problem.solver(steps), problem.noise(3), stopping, cost)
    total = 0.0
    while chosen := trajectory.ready()[:slots]:
        x = torch.stack([evaluation.x for evaluation in chosen])
        timestep = torch.tensor([evaluation.timestep for evaluation in chosen], dtype=torch.float64)
        trajectory.take(chosen, problem.denoise(x, timestep, [Anything()] * len(chosen)).float())
        total += cost(len(chosen))
    return total


def main() -> None:
    rows: list[tuple[float, float, Any]] = []
    for modes, steps, slope, tolerance, slots in product(MODES, STEPS, SLOPES, TOLERANCES, WIDTHS):

        def cost(width: int, slope: float = slope) -> float:
            return 1 + slope * (width - 1)

        stopping = Stopping(tolerance)
        plan = choose(new_methods(), steps, stopping, Circumstances(slots, cost))
        took = spent(Tree(modes), steps, plan, stopping, slots, cost)
        about = f"modes {modes:g} | {steps} | {slope:g} | {tolerance:g} | {slots} | {plan.method} | {plan.width}"
        rows.append((took / steps, (took - plan.blocks + 1) / steps, about))
    print(f"{len(rows)} cases; with the preview, mean: {mean(row[0] for row in rows):.3f}")
    print(f"without the preview, above 1.05: {sum(row[1] > 1.05 for row in rows)} cases; the worst:\n")
    print("| with | without the preview | problem | N | s | tolerance | slots | method | width |\n" + "|---" * 9 + "|")
    for whole, image, about in sorted(rows, key=lambda row: -row[1])[:WORST]:
        print(f"| {whole:.2f} | {image:.2f} | {about} |")


if __name__ == "__main__":
    main()
