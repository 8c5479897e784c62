"""What each tuned constant of the sampler is worth: `python -m benchmarks.tuning`.

Multiplies and divides each constant by two (of a factor near 1, its distance from 1), and samples a fixed set of
problems: two trees of modes (`benchmarks.problems`) at N = 40, widths 4 and 16, with SRDS, collocation and `auto` at
several costs and wishes. `--full` has N = 25 and 100, and the shipped model. Everything is counted, nothing timed, so
the table does not depend on the machine. Put the result beside the constant in its `tuning.py`.

Columns: sums over the set against those without the change, of rounds, evaluations, time (by the cost of rounds that
each sample was planned with) and rounds until the first iterate; and the geometric mean of the ratio of the image's
error, and of the earlier iterates' errors (against the serial sampler). `same` is a change that changes nothing.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from benchmarks.problems import Anything, Tree
from benchmarks.shipped import FIRST_SEED, PROMPTS, error, shipped_model
from sampler import Circumstances, Engine, Plan, Solver, Stopping, tuning
from sampler.cost import Curve, flat
from sampler.methods.collocation import tuning as collocation
from sampler.methods.srds import tuning as srds
from sampler.methods.srds.plan import choose_blocks
from sampler.planner import plan
from sampler.trajectory import Iterate, Trajectory

ALL = {"srds", "collocation", "auto"}
MODULES = {"shared": tuning, "srds": srds, "collocation": collocation}
# Constants near 1, of which the distance from 1 is scaled.
NEAR_ONE = {"ROOM", "WORTHWHILE", "AFFORDABLE", "PREVIEWS_WORTH", "WORST_CONTRACTION"}
# What counts do not show: the number of recent rounds whose median is a round's time.
NOT_COUNTED = {"RECENT_ROUNDS"}
# Errors below this are rounding.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Case:
    """One sample: how it is asked for."""

    method: str
    steps: int
    width: int
    stopping: Stopping
    cost: str = "flat"
    previews: bool = True
    busy: bool = False
    wish: Any = "latency"


@dataclass(frozen=True, eq=False)
class Problem:
    """A model with a sample to draw from it: condition and noise."""

    name: str
    model: Any
    condition: Any
    noise: Tensor

    def solver(self, steps: int) -> Solver:
        """The solver that the model has by default."""
        return self.model.solver(steps)


@dataclass(frozen=True)
class Outcome:
    """What a case took, and its errors against the serial sampler."""

    rounds: int
    evaluations: int
    time: float
    first: int
    error: float
    previews: float | None


Every = list[tuple[Problem, list[Case]]]


def guess(width: int) -> float:
    """A small device, whatever the constant that is measured says."""
    return 1 + 0.4 * (width - 1)


def slight(width: int) -> float:
    """A device with room for most of a round."""
    return 1 + 0.02 * (width - 1)


COSTS: dict[str, Curve] = {"flat": flat, "guess": guess, "slight": slight}


def cases(steps: Sequence[int], *, full: bool) -> Iterator[Case]:
    """SRDS first: `auto` has then observed it."""
    for n in steps:
        for width in (4, 16) if full else (8,):
            yield Case("srds", n, width, Stopping(5e-3))
            yield Case("collocation", n, width, Stopping(0.01))
            yield Case("auto", n, width, Stopping(0.02), "guess")
            if not full:
                continue
            yield Case("auto", n, width, Stopping(0.02), "slight")
            yield Case("auto", n, width, Stopping(0.02), "guess", previews=False)
            if width == 16:
                yield Case("auto", n, width, Stopping(0.02), "guess", wish="cost")
            yield Case("auto", n, width, Stopping(0.02), "guess", busy=True)
            yield Case("auto", n, width, Stopping(0.0), "slight")
            yield Case("auto", n, width, Stopping(1e-3, 3), "guess")


def problems(*, full: bool) -> Every:
    """The fixed set, small or full."""
    made: list[tuple[Problem, list[Case]]] = []
    for modes in (0.05, 0.2):
        tree = Tree(modes)
        asked = list(cases((25, 100) if full else (40,), full=True))
        made.append((Problem(f"modes {modes:g}", tree, Anything(), tree.noise(3)), asked))
    if not full:
        return made
    model = shipped_model()
    for n, guidance in enumerate((3.0, 7.5)):
        condition, noise = (
            model.encode(PROMPTS[n], "", guidance),
            model.noise(FIRST_SEED + n, 64, 64),
        )
        made.append(
            (
                Problem(f"guidance {guidance:g}", model, condition, noise),
                list(cases((25,), full=False)),
            )
        )
    return made


@cache
def exact(problem: Problem, steps: int) -> Tensor:
    """The serial solution."""
    engine = Engine(problem.model, 1)
    serial = plan("serial", engine.methods, steps, Stopping(), Circumstances(1))
    trajectory = serial.start(problem.solver(steps), problem.noise, Stopping())
    engine.add(trajectory, problem.condition)
    while engine.active:
        engine.round()
    assert trajectory.newest is not None
    return trajectory.newest.sample


def outcomes(every: Every, methods: set[str]) -> dict[tuple[str, Case], Outcome]:
    """Everything by the given methods, side by side in one engine that is as wide as all of them together."""
    choose_blocks.cache_clear()
    found: dict[tuple[str, Case], Outcome] = {}
    for problem, asked in every:
        engine = Engine(problem.model, 10**6)
        for named in (
            True,
            False,
        ):  # `auto` is planned when the others have been observed
            chosen = [case for case in asked if case.method in methods and (case.method != "auto") == named]
            for case, outcome in zip(chosen, _run(engine, problem, chosen), strict=True):
                found[problem.name, case] = outcome
    return found


def _run(engine: Engine, problem: Problem, chosen: Sequence[Case]) -> list[Outcome]:
    started: list[tuple[Case, Trajectory]] = []
    for case in chosen:
        cost = COSTS[case.cost]
        circumstances = Circumstances(case.width, cost, case.busy, case.previews, case.wish)
        made: Plan = plan(case.method, engine.methods, case.steps, case.stopping, circumstances)
        made = replace(made, width=min(case.width, made.width or case.width))
        trajectory = made.start(problem.solver(case.steps), problem.noise, case.stopping, cost)
        engine.add(trajectory, problem.condition)
        started.append((case, trajectory))
    iterates: dict[Trajectory, list[Iterate]] = {trajectory: [] for _, trajectory in started}
    times = {trajectory: 0.0 for _, trajectory in started}
    spent = {trajectory: 0 for _, trajectory in started}
    while engine.active:
        for progress in engine.round():
            iterates[progress.trajectory] += progress.iterates
        for case, trajectory in started:
            if new := trajectory.evaluations - spent[trajectory]:
                times[trajectory] += COSTS[case.cost](new)
                spent[trajectory] += new
    return [_outcome(problem, case, iterates[trajectory], times[trajectory]) for case, trajectory in started]


def _outcome(problem: Problem, case: Case, iterates: Sequence[Iterate], time: float) -> Outcome:
    errors = [max(ROUNDING, error(iterate.sample, exact(problem, case.steps))) for iterate in iterates]
    last = iterates[-1]
    previews = mean(map(math.log, errors[:-1])) if len(errors) > 1 else None
    return Outcome(
        last.rounds,
        last.evaluations,
        time,
        iterates[0].rounds,
        math.log(errors[-1]),
        previews,
    )


def compare(before: dict[tuple[str, Case], Outcome], after: dict[tuple[str, Case], Outcome]) -> list[str]:
    """The columns of the table."""
    pairs = [(before[key], outcome) for key, outcome in after.items()]
    if all(old == new for old, new in pairs):
        return ["same"] + [""] * 5

    def change(name: str) -> str:
        old, new = (sum(getattr(pair[side], name) for pair in pairs) for side in (0, 1))
        return f"{100 * (new / old - 1):+.1f} %"

    previews = [b.previews - a.previews for a, b in pairs if a.previews is not None and b.previews is not None]
    return [
        *map(change, ("rounds", "evaluations", "time", "first")),
        f"{math.exp(mean(b.error - a.error for a, b in pairs)):.2f}",
        f"{math.exp(mean(previews)):.2f}" if previews else "",
    ]


def scaled(name: str, value: Any, factor: float) -> Any:
    """A constant times the factor; of the constants near 1, what they differ from 1 by."""
    if name in NEAR_ONE:
        return 1 + (value - 1) * factor
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


def constants(module: ModuleType) -> dict[str, Any]:
    """The tuned constants of a module."""
    return {name: value for name, value in vars(module).items() if name.isupper() and name not in NOT_COUNTED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these constants")
    parser.add_argument(
        "--module",
        nargs="+",
        choices=MODULES,
        default=list(MODULES),
        help="those of these modules",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="one row with these values instead",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="more N, and the shipped model: hours instead of minutes",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    every = problems(full=options.full)
    print("| constant | value | rounds | evaluations | time | first iterate | error | previews |\n" + "|---" * 8 + "|")
    if options.set:
        everything = outcomes(every, ALL)
        for setting in options.set:
            name, value = setting.split("=")
            for module in MODULES.values():
                if hasattr(module, name):
                    setattr(module, name, type(getattr(module, name))(float(value)))
        row = compare(everything, outcomes(every, ALL))
        print(f"| {' '.join(options.set)} | | {' | '.join(row)} |")
        return
    for kind in options.module:
        module = MODULES[kind]
        methods = ALL if kind == "shared" else {kind, "auto"}
        before = outcomes(every, methods)
        for name, value in constants(module).items():
            if options.only and name not in options.only:
                continue
            for factor in (2, 0.5):
                changed = scaled(name, value, factor)
                if changed == value:
                    continue
                setattr(module, name, changed)
                try:
                    row = compare(before, outcomes(every, methods))
                finally:
                    setattr(module, name, value)
                print(
                    f"| {kind} {name} | {value:.3g} -> {changed:.3g} | {' | '.join(row)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
