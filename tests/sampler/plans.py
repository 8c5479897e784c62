"""Shortcuts for plans and their trajectories, for tests that vary one circumstance at a time."""

from typing import Any

from torch import Tensor

from sampler import Checkpoint, Circumstances, Plan, Solver, Stopping, Trajectory, planner
from sampler.cost import Curve, flat
from sampler.methods import new_methods


def choose(steps: int, width: int, *, tolerance: float, max_iterations: int | None = None, **others: Any) -> Plan:
    """The plan of "auto"; `others` are circumstances."""
    return planner.choose(new_methods(), steps, Stopping(tolerance, max_iterations), Circumstances(width, **others))


def plan(
    method: str,
    solver: Solver,
    width: int,
    *,
    tolerance: float,
    blocks: int | None = None,
    checkpoint: Checkpoint | None = None,
    **others: Any,
) -> Plan:
    """The plan of a method; `others` are circumstances."""
    circumstances = Circumstances(width, **others)
    stopping, steps = Stopping(tolerance), solver.grid.steps
    return planner.plan(method, new_methods(), steps, stopping, circumstances, blocks=blocks, checkpoint=checkpoint)


def start(
    plan: Plan,
    solver: Solver,
    noise: Tensor,
    *,
    tolerance: float,
    max_iterations: int | None = None,
    cost: Curve = flat,
) -> Trajectory:
    """The trajectory of a plan, from noise."""
    return plan.start(solver, noise, Stopping(tolerance, max_iterations), cost)


def resume(plan: Plan, solver: Solver, checkpoint: Checkpoint, *, tolerance: float, cost: Curve = flat) -> Trajectory:
    """The trajectory of a plan, from a checkpoint."""
    return plan.resume(solver, checkpoint, Stopping(tolerance), cost)
