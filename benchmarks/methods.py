"""The methods that the frontier compares, each with its published settings and with those that are searched."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from benchmarks.peers import SRDS, Chords, ParaDiGMS, ParaTAA, Peer, SRDSPipelined, Underpaint
from benchmarks.peers.chords import power_starts
from benchmarks.peers.srds import Distance
from sampler import DDIM, Circumstances, Parareal, Stopping, choose_blocks
from sampler.methods import new_methods
from sampler.planner import choose

AUTO, UNSEEN = "auto", "auto, no previews"
AUTO_TOLERANCES = (0.5, 0.1, 0.02, 0.005, 0.001, 0.0002, 0.0)
CHEAP_TOLERANCES = (0.1, 0.02, 0.005)  # with the wish for low cost, which hardly depends on it
MOST_CORES = 32


@dataclass(frozen=True)
class Setting:
    """One method with one choice of its parameters.

    Attributes:
        method, name: of the method, and of the parameters.
        published: whether the authors (or Underpaint's defaults) chose them; it then runs to its own end.
        make: the method on a solver, from noise (c, h, w).
    """

    method: str
    name: str
    published: bool
    make: Callable[[DDIM, Tensor], Peer]


def settings(steps: int, width: int, distance: Distance) -> Iterator[Setting]:
    """Every method and setting for a grid of N steps and a width; `distance` is what SRDS's tolerance is about."""
    yield from _underpaint(steps, width)
    root = round(steps**0.5)
    yield Setting(
        "SRDS", f"B={root}", True, lambda solver, noise: SRDS(solver, noise, width, blocks=root, distance=distance)
    )
    for blocks in dict.fromkeys((root, round((2 * steps) ** 0.5))):
        yield Setting(
            "SRDS pipelined",
            f"B={blocks}",
            blocks == root,
            lambda solver, noise, blocks=blocks: SRDSPipelined(solver, noise, width, blocks=blocks, distance=distance),
        )
    for tolerance in (0.1, 0.5, 0.02):
        yield Setting(
            "ParaDiGMS",
            f"tolerance={tolerance:g}",
            tolerance == 0.1,
            lambda solver, noise, tolerance=tolerance: ParaDiGMS(solver, noise, width, tolerance=tolerance),
        )
    for order, memory, tolerance in ((20, 2, 1e-3), (20, 2, 1e-2), (steps, 1, 1e-2)):
        yield Setting(
            "ParaTAA",
            f"k={'N' if order == steps else order}, m={memory}, tolerance={tolerance:g}",
            (order, memory, tolerance) == (20, 2, 1e-3),
            lambda solver, noise, order=order, memory=memory, tolerance=tolerance: ParaTAA(
                solver, noise, width, order=order, memory=memory, tolerance=tolerance
            ),
        )
    yield Setting("CHORDS", "published starts", True, lambda solver, noise: Chords(solver, noise, width))
    cores = min(width, steps // 2, MOST_CORES)
    for power in (1.0, 2.0):
        starts = power_starts(steps, cores, power)
        yield Setting(
            "CHORDS",
            f"K={cores}, power={power:g}",
            False,
            lambda solver, noise, starts=starts: Chords(solver, noise, width, starts=starts),
        )


def _underpaint(steps: int, width: int) -> Iterator[Setting]:
    for tolerance in AUTO_TOLERANCES:
        yield _auto(AUTO, width, tolerance)
    yield _auto(UNSEEN, width, 0.0, previews=False)  # for other tolerances it is the same
    for tolerance in CHEAP_TOLERANCES:
        yield _auto(UNSEEN, width, tolerance, previews=False, wish="cost")
    blocks = choose_blocks(steps, width)
    yield Setting(
        "srds", f"B={blocks}", False, lambda solver, noise: Underpaint(Parareal(solver, noise, blocks=blocks), width)
    )


def _auto(method: str, width: int, tolerance: float, **wishes: Any) -> Setting:
    """What the planner chooses where rounds have room."""

    def make(solver: DDIM, noise: Tensor) -> Peer:
        steps, stopping = solver.grid.steps, Stopping(tolerance)
        plan = choose(new_methods(), steps, stopping, Circumstances(width, **wishes))
        return Underpaint(plan.start(solver, noise, stopping), width)

    name = f"tolerance={tolerance:g}" + (", wish=cost" if "wish" in wishes else "")
    return Setting(method, name, True, make)
