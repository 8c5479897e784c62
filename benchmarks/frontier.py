"""Rounds and evaluations until the image is within an error of the serial one, Underpaint beside its peers.

    python -m benchmarks.frontier build/benchmarks                     the small set, some minutes
    python -m benchmarks.frontier build/benchmarks --full              everything, many hours on one core

Counts do not depend on the machine. What is already in the folder's frontier.json is not run again (`--fresh` starts
over, `--again METHOD` for one method), so that a long run can be broken off, and added to.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.drive import Denoiser, Run, drive
from benchmarks.frontier_page import write_pages
from benchmarks.methods import Setting, settings
from benchmarks.peers import Underpaint
from benchmarks.peers.srds import Distance, mean_difference
from benchmarks.problems import Anything, Tree
from benchmarks.report import machine
from benchmarks.shipped import FIRST_SEED, PROMPTS, shipped_model
from sampler import DDIM, Parareal

BOUNDS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
WIDTHS = (4, 8, 16, 32, 64, 0)
# Below this error a searched setting has nothing more to show, and is broken off.
ENOUGH = 2e-4


@dataclass(frozen=True)
class Cell:
    """One problem, N and width (0: unbounded), and how many samples."""

    problem: str
    steps: int
    width: int
    samples: int

    @property
    def key(self) -> str:
        """Names it in the file of results."""
        return f"{self.problem}/{self.steps}/{self.width}/{self.samples}"


@dataclass(frozen=True)
class Problem:
    """A denoiser with some samples to draw from it: a condition and noise each."""

    model: Denoiser
    conditions: Sequence[Any]
    noises: Sequence[Tensor]
    distance: Distance

    def solver(self, steps: int) -> DDIM:
        """DDIM over this problem's grid of N steps."""
        made = self.model.solver(steps)  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(made, DDIM)
        return made


@cache
def problem(name: str, samples: int) -> Problem:
    """`guidance G`: the shipped model, a prompt and a seed each sample. `modes W`: the tree of modes of width W."""
    kind, value = name.split()
    if kind == "modes":
        tree = Tree(float(value))
        noises = [tree.noise(FIRST_SEED + n) for n in range(samples)]
        return Problem(tree, [Anything()] * samples, noises, lambda a, b: 127.5 * mean_difference(a, b))
    model = shipped_model()

    def distance(sample: Tensor, before: Tensor) -> float:
        return mean_difference(*model.decode(torch.stack([sample, before])))

    conditions = [model.encode(prompt, "", float(value)) for prompt in PROMPTS[:samples]]
    noises = [model.noise(FIRST_SEED + n, height=64, width=64) for n in range(samples)]
    return Problem(model, conditions, noises, distance)


def reached(trace: Sequence[tuple[int, int, float]], bound: float) -> tuple[int, int] | None:
    """(rounds, evaluations) from which on the error stays within `bound`; None if it does not."""
    found = None
    for rounds, evaluations, error in trace:
        if error > bound:
            found = None
        elif found is None:
            found = rounds, evaluations
    return found


def missing(made: Problem, cell: Cell, known: Sequence[dict[str, Any]]) -> list[Setting]:
    """The settings that have not been measured on a cell."""
    have = {(result["method"], result["setting"]) for result in known}
    every = settings(cell.steps, cell.width or cell.steps, made.distance)
    return [setting for setting in every if (setting.method, setting.name) not in have]


def measure(made: Problem, cell: Cell, chosen_settings: Sequence[Setting], exact: Sequence[Tensor]) -> list[Any]:
    """Some settings on one cell: for each one and each sample what was reached when, and how it ended."""
    solver = made.solver(cell.steps)
    chosen: list[tuple[Setting, list[Run]]] = []
    for setting in chosen_settings:
        peers = [setting.make(solver, noise) for noise in made.noises]
        enough = 0.0 if setting.published else ENOUGH
        runs = [Run(*row, enough=enough) for row in zip(peers, made.conditions, exact, strict=True)]
        chosen.append((setting, runs))
    # As many rounds as the serial sampler takes: what has not come by then has not come sooner.
    drive(made.model, [run for _, runs in chosen for run in runs], cell.steps)
    return [
        {
            "method": setting.method,
            "setting": setting.name,
            "published": setting.published,
            "reached": {f"{bound:g}": [reached(run.trace, bound) for run in runs] for bound in BOUNDS},
            "ended": [run.trace[-1] for run in runs],
        }
        for setting, runs in chosen
    ]


def cells(arguments: argparse.Namespace, results: dict[str, Any]) -> Iterator[Cell]:
    """What is to be measured, cheap ones first. A width of N or more is the unbounded one."""
    if arguments.known:
        yield from (Cell(**{field.name: known[field.name] for field in fields(Cell)}) for known in results.values())
        return
    for steps in arguments.steps:
        for name in arguments.problems:
            for width in arguments.widths:
                if width < steps:
                    yield Cell(name, steps, width, arguments.samples)


def serial(made: Problem, steps: int) -> list[Tensor]:
    """The serial solution of every sample."""
    solver = made.solver(steps)
    peers = [Underpaint(Parareal(solver, noise, blocks=1), 1) for noise in made.noises]
    drive(made.model, [Run(peer, c, torch.ones(1)) for peer, c in zip(peers, made.conditions, strict=True)], steps)
    return [peer.estimate for peer in peers if peer.estimate is not None]


def main() -> None:
    """Measure what is missing, and write frontier.json, tables and plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[25])
    parser.add_argument("--widths", type=int, nargs="+", default=[4, 16, 0], help="0: unbounded")
    parser.add_argument("--problems", nargs="+", default=["modes 0.05", "guidance 3", "guidance 7.5"])
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--full", action="store_true", help="every N, width and problem, with three samples")
    parser.add_argument("--fresh", action="store_true", help="measure everything anew")
    parser.add_argument("--again", nargs="+", default=[], metavar="METHOD", help="measure these anew, where asked for")
    parser.add_argument("--known", action="store_true", help="what is missing of all that is in the file")
    parser.add_argument("--pages", action="store_true", help="measure nothing, write the pages anew")
    arguments = parser.parse_args()
    if arguments.full:
        arguments.steps, arguments.widths, arguments.samples = [25, 50, 100, 1000], list(WIDTHS), 3
        arguments.problems = ["modes 0.2", "modes 0.05", "guidance 3", "guidance 7.5", "guidance 12"]
    file = arguments.out / "frontier.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {} if arguments.fresh or not file.exists() else json.loads(file.read_text())["cells"]
    solutions: dict[tuple[str, int, int], list[Tensor]] = {}
    for cell in [] if arguments.pages else list(cells(arguments, results)):
        made = problem(cell.problem, cell.samples)
        known = results.setdefault(cell.key, {**asdict(cell), "results": []})["results"]
        known[:] = [result for result in known if result["method"] not in arguments.again]
        wanted = missing(made, cell, known)
        if not wanted:
            continue
        where = cell.problem, cell.steps, cell.samples
        if where not in solutions:
            solutions = {where: serial(made, cell.steps)}
        known += measure(made, cell, wanted, solutions[where])
        file.write_text(json.dumps({"about": machine(torch.get_num_threads()), "cells": results}) + "\n")
        print(cell.key, file=sys.stderr, flush=True)
    write_pages(arguments.out, json.loads(file.read_text()))


if __name__ == "__main__":
    main()
