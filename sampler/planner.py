"""What `auto` chooses: the method, the blocks, and how wide, by what a round costs and how fast SRDS has converged."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from sampler.cost import Curve, flat, has_room
from sampler.grid import root_blocks
from sampler.parareal import Parareal
from sampler.plan import (
    Convergence,
    Plan,
    at_least,
    candidates,
    choose_blocks,
    expected_iterates,
    predict,
    predict_window,
)
from sampler.solvers import Solver
from sampler.trajectory import Checkpoint, Trajectory
from sampler.window import SHOWN, Window, crowded

Method = Literal["auto", "srds", "window", "serial"]
Wish = Literal["latency", "cost"]

# The share of the serial sampler's evaluations that a coarse grid may take where they delay the image: where a window
# gains more than that, and where nothing does. In fewer blocks it tells hardly more than the window's first point.
PREVIEW_SHARE, LOST_SHARE, FEWEST_BLOCKS = 1 / 15, 1 / 30, 4
# From this width on a coarse grid saves as many evaluations as it takes: nobody need want its preview.
GUIDED_WIDTH = 8
# Where pictures delay the image, the steps for each that is shown: to decode one takes about as long as an evaluation.
STEPS_SHOWN = 24
# What anything but the serial path must be expected to need of that one's time, and in how many iterates at the least:
# where it converges badly it loses more than that.
WORTHWHILE, FEWEST_ITERATES = 0.85, 2
# What SRDS may take of the serial sampler's time where its previews are wanted on the way to the exact image.
PREVIEWS_WORTH = 1.05
# How much more than the fewest evaluations the wish "cost" lets a plan take.
TOLERABLE = 1.05


def choose(
    steps: int,
    slots: int,
    *,
    tolerance: float,
    cost: Curve = flat,
    max_iterations: int | None = None,
    wish: Wish = "latency",
    convergence: Convergence | None = None,
    busy: bool = False,
    previews: bool = True,
    begun: tuple[str, int] | None = None,
) -> Plan:
    """The plan for one image: the window, but for drafts and where every iterate down to the exact one is wanted.

    Args:
        steps: N.
        slots: evaluations that a round of the engine may hold.
        tolerance, max_iterations: when the image is finished, see `Parareal`.
        cost: of a round by its width.
        wish: "latency": the plan that is expected to be finished first. "cost": of those that take hardly more
            evaluations than the fewest, the one that is finished first.
        convergence: what SRDS is expected to do; None is the rule of thumb.
        busy: whether so many images share the rounds that none gets a second evaluation. Previews then delay all of
            them: a window has no coarse grid, and shows what it can predict without one, if it is long enough for
            that. It begins narrow, and widens when there is room again.
        previews: whether anybody wants to see pictures before the last one.
        begun: method and blocks of a checkpoint to go on from: the plan keeps them.
    """
    method, blocks = begun or (None, None)
    draft = max_iterations is not None
    plans: list[tuple[float, Plan]] = []
    if method == Window.method or (method is None and not draft):
        plans += _windows(steps, slots, tolerance, cost, previews, blocks)
    shown = tolerance == 0 and previews and not busy
    if method == Parareal.method or (method is None and (draft or shown)):
        plans += _srds(steps, slots, tolerance, max_iterations, cost, convergence, blocks)
    if wish == "cost":
        fewest = min(plan.evaluations for _, plan in plans)
        plans = [(time, plan) for time, plan in plans if plan.evaluations <= TOLERABLE * fewest]
    made = min(plans, key=lambda pair: (pair[0], pair[1].evaluations))[1]
    if made.method != "window":
        return made
    pictures = steps // STEPS_SHOWN
    if busy:
        shown = min(SHOWN, pictures) if pictures > 1 else 0
        return Plan(blocks or 1, steps, steps, "window", made.width, shown=shown, slots=1)
    if made.blocks == 1:
        return replace(made, shown=max(1, min(SHOWN, pictures)))
    if made.width == 1:  # one of the pictures is the coarse grid's
        return replace(made, shown=max(1, min(SHOWN, pictures - 1)))
    return made


def plan(
    method: Method,
    solver: Solver,
    slots: int,
    *,
    tolerance: float,
    blocks: int | None = None,
    max_iterations: int | None = None,
    cost: Curve = flat,
    wish: Wish = "latency",
    convergence: Convergence | None = None,
    busy: bool = False,
    previews: bool = True,
    checkpoint: Checkpoint | None = None,
) -> Plan:
    """The plan for one image by a method; see `choose`.

    Only "auto" regards what rounds cost, whether the engine is busy, and whether previews are wanted: what is asked for
    by name gives the same iterates on any machine. `blocks` are for "srds", which "auto" is where they are given. With
    a `checkpoint` to go on from, "auto" is what that one is.
    """
    steps = solver.grid.steps
    if method == "serial":
        return predict(steps, 1, 1, slots)
    if method == "window":
        return predict_window(steps, slots, root_blocks(steps), preview_first=True)
    if method == "auto" and blocks is None:
        how: Any = {"tolerance": tolerance, "max_iterations": max_iterations, "convergence": convergence}
        how |= {"busy": busy, "previews": previews}
        if checkpoint is not None:
            how["begun"] = checkpoint.description["method"], len(checkpoint.description["edges"]) - 1
        return choose(steps, slots, cost=cost, wish=wish, **how)
    expected = expected_iterates(tolerance)
    blocks = blocks or choose_blocks(steps, slots, expected, max_iterations)
    return predict(steps, blocks, blocks if tolerance == 0 else expected, slots, max_iterations)


def start(
    plan: Plan,
    solver: Solver,
    noise: Tensor,
    *,
    tolerance: float,
    max_iterations: int | None = None,
    shown: int = SHOWN,
    cost: Curve = flat,
) -> Trajectory:
    """The trajectory that a plan describes, from noise (c, h, w); `shown` is the window's.

    Raises:
        ValueError: an argument out of range.
    """
    how: Any = {"tolerance": tolerance, "preview_first": plan.preview_first, "cost": cost}
    if plan.method == "window":
        blocks = crowded(solver.grid.steps, plan.blocks)
        shown = shown if plan.shown is None else plan.shown
        how |= {"shown": shown, "preview": shown > 0, "slots": plan.slots}
        return Window(solver, noise, width=plan.width or solver.grid.steps, blocks=blocks, **how)
    return Parareal(solver, noise, blocks=plan.blocks, max_iterations=max_iterations, width=plan.width, **how)


def resume(
    plan: Plan,
    solver: Solver,
    checkpoint: Checkpoint,
    *,
    device: torch.device | str = "cpu",
    tolerance: float,
    max_iterations: int | None = None,
    cost: Curve = flat,
) -> Trajectory:
    """Go on from a checkpoint of whichever method, as wide as a plan says.

    Raises:
        InvalidCheckpoint: see `Trajectory`.
    """
    how: Any = {"device": device, "tolerance": tolerance, "cost": cost}
    if checkpoint.description.get("method") == Window.method:
        return Window.resume(solver, checkpoint, width=plan.width or solver.grid.steps, **how)
    return Parareal.resume(solver, checkpoint, width=plan.width, max_iterations=max_iterations, **how)


def _draft_blocks(steps: int, cost: Curve) -> int:
    """About sqrt(N); fewer where the coarse solution delays the image."""
    root = root_blocks(steps)
    return root if has_room(cost, 2) else min(root, max(FEWEST_BLOCKS, round(PREVIEW_SHARE * steps)))


def _coarse_blocks(steps: int, width: int, cost: Curve, previews: bool) -> int:
    """Of a window's coarse grid; 1 is none."""
    root = root_blocks(steps)
    if not previews and width < GUIDED_WIDTH:
        return 1
    if width > 1 and has_room(cost, width):
        return root
    blocks = min(root, 1 + int((LOST_SHARE if width == 1 else PREVIEW_SHARE) * steps))
    return blocks if blocks >= FEWEST_BLOCKS else 1


def _windows(
    steps: int, slots: int, tolerance: float, cost: Curve, previews: bool, given: int | None
) -> Iterator[tuple[float, Plan]]:
    """The window at every width, with the time that it is expected to take, in rounds of one evaluation."""
    serial = 0.0
    for width in range(1, (1 if tolerance == 0 else min(slots, steps)) + 1):
        blocks = given or _coarse_blocks(steps, width, cost, previews)
        # Where there is room the fine sweep goes on in what the coarse one leaves.
        alone = not has_room(cost, width) or width == 1
        made = predict_window(steps, width, blocks, preview_first=alone)
        coarse = alone * (blocks - 1)
        time = (made.rounds - coarse) * cost(width) + coarse * cost(1)
        serial = serial or time
        if width == 1 or time < WORTHWHILE * serial:
            yield time, made


def _srds(
    steps: int,
    slots: int,
    tolerance: float,
    max_iterations: int | None,
    cost: Curve,
    seen: Convergence | None,
    given: int | None,
) -> Iterator[tuple[float, Plan]]:
    """SRDS in a given or any number of blocks, refined in parallel as widely as the engine lets it, or not at all."""
    preview = given or _draft_blocks(steps, cost)
    serial = steps + preview - 1
    yield serial * cost(1), Plan(preview, serial, serial, width=1, preview_first=True)
    expected = max(FEWEST_ITERATES, expected_iterates(tolerance, seen))
    exact = tolerance == 0 and max_iterations is None
    if exact:
        # It is certain by then, and its previews are better than what the serial sampler can tell.
        best, wanted = PREVIEWS_WORTH * steps * cost(1), [(0.0, given or choose_blocks(steps, slots, expected))]
    else:
        best = WORTHWHILE * serial * cost(1)
        tried = [b for b in candidates(steps) if b >= min(FEWEST_BLOCKS, steps)] if given is None else [given]
        wanted = sorted((_time(*at_least(steps, blocks, expected, slots), cost), blocks) for blocks in tried)
    found = None
    for least, blocks in wanted:
        if least >= best:
            break
        time, plan = _refined(steps, blocks, blocks if exact else expected, slots, cost)
        if time < best:
            best, found = time, plan
    if found is None:
        return
    if max_iterations is not None:
        counted = predict(
            steps, found.blocks, min(expected, max_iterations), slots, max_iterations, found.preview_first
        )
        found = replace(counted, width=slots, preview_first=found.preview_first)
    yield best / PREVIEWS_WORTH if exact else best, found


def _refined(steps: int, blocks: int, iterates: int, slots: int, cost: Curve) -> tuple[float, Plan]:
    """The time of an iterate in so many blocks, refined as widely as the engine lets it; the coarse chain goes alone
    where that makes its rounds cheaper."""
    made = predict(steps, blocks, iterates, slots)
    if has_room(cost, round(made.evaluations / made.rounds)):
        return _time(made.rounds, made.evaluations, cost), replace(made, width=slots)
    made = predict(steps, blocks, iterates, slots, preview_first=True)
    rest = _time(made.rounds - blocks, made.evaluations - blocks, cost)
    return blocks * cost(1) + rest, replace(made, width=slots, preview_first=True)


def _time(rounds: int, evaluations: int, cost: Curve) -> float:
    """Of rounds that are about equally wide."""
    return rounds * cost(max(1, round(evaluations / max(1, rounds))))
