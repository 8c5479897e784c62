"""The window trajectory: for narrow width, where refining far blocks from wrong starts would waste most of it.

First the coarse grid of about sqrt(N) points is swept: iterate 0. Then the fine grid; each time another quarter of it
is known, the rest is predicted from the coarse grid's outputs, which costs no evaluation: the next iterate. The last
iterate is the image. See `sampler.sweep` for the algorithm.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sampler.grid import Grid, block_edges
from sampler.solvers import DDIM, Solver
from sampler.sweep import Seen, Sweep
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory, residual

PREVIEWS = 4
# The coarse grid is a preview and a source of predictions: being a tenth of the noise away does it no harm.
COARSE_TOLERANCE = 0.1


class Window(Trajectory):
    """The sliding-window trajectory of one sample."""

    method = "window"

    def __init__(
        self,
        solver: Solver,
        noise: Tensor,
        *,
        width: int,
        tolerance: float = 0.0,
        preview: bool = True,
    ) -> None:
        """Start from noise.

        Args:
            solver: DDIM, over the grid of N steps.
            noise: (c, h, w), unit normal; also fixes the device of all states.
            width: evaluations a round that this sample asks for at the most.
            tolerance: how far from where it came to lie a point may have been evaluated, RMS over that of the noise
                there; 0 is the serial sampler. On the shipped model the relative error of the image is about a tenth
                of it.
            preview: whether to sweep the coarse grid first; without it the image is the only iterate.

        Raises:
            ValueError: an argument out of range, or a solver that is not DDIM; the message says which.
        """
        super().__init__()
        if not isinstance(solver, DDIM):
            raise ValueError(f"the window method needs the DDIM solver, not {type(solver).__name__}")
        if width < 1:
            raise ValueError(f"width must be 1 or more, not {width}")
        if not tolerance >= 0:
            raise ValueError(f"tolerance must be 0 or more, not {tolerance}")
        start = solver.initial(noise)[0]
        steps = solver.grid.steps
        self.edges = block_edges(steps, max(1, round(steps**0.5)))
        self._fine = Sweep(solver, start, width=width, tolerance=tolerance)
        coarse = replace(solver, grid=coarsened(solver.grid, self.edges))
        self._coarse = Sweep(coarse, start, width=width, tolerance=COARSE_TOLERANCE)
        self._preview = preview

    @property
    def drift(self) -> float:
        """The farthest that an accepted state lay from where its output was taken; at most the tolerance."""
        return self._fine.drift

    def ready(self) -> list[Evaluation]:
        """See `Trajectory.ready`."""
        if self.status is not Status.RUNNING:
            return []
        sweep = self._sweep
        timestep = sweep.solver.grid.timestep
        return [Evaluation(point, sweep.x[point], float(timestep[point])) for point in sweep.ready()]

    def take(self, evaluations: Sequence[Evaluation], outputs: Tensor) -> list[Iterate]:
        """See `Trajectory.take`."""
        self.rounds += 1
        self.evaluations += len(evaluations)
        points: list[int] = [evaluation.key for evaluation in evaluations]  # pyright: ignore[reportAssignmentType]
        sweep = self._sweep
        sweep.take(points, outputs)
        if sweep is self._coarse:
            if points[0] == 0:  # the fine grid starts at the same point
                self._fine.take([0], outputs[:1])
            return self._complete(sweep.x[len(self.edges) - 1]) if sweep.done else []
        sweep.forget()
        if sweep.done:
            return self._complete(sweep.x[sweep.solver.grid.steps])
        shown = self.newest.number if self.newest else 0
        if self._preview and PREVIEWS * sweep.frontier >= (shown + 1) * sweep.solver.grid.steps:
            return self._complete(self._predicted(points[-1]))
        return []

    def checkpoint(self) -> Checkpoint:
        """See `Trajectory.checkpoint`."""
        tensors: dict[str, Tensor] = {}
        thetas: dict[str, float] = {}
        for name, sweep in (("coarse", self._coarse), ("fine", self._fine)):
            tensors |= {f"{name}/{point}/x": x for point, x in sweep.x.items()}
            for point, seen in sweep.seen.items():
                tensors |= {f"{name}/{point}/seen": seen.x, f"{name}/{point}/output": seen.output}
                thetas[f"{name}/{point}"] = seen.theta
        return self._checkpoint(
            tensors,
            edges=self.edges,
            preview=self._preview,
            frontiers=(self._coarse.frontier, self._fine.frontier),
            drift=self._fine.drift,
            thetas=thetas,
        )

    @classmethod
    def resume(
        cls,
        solver: Solver,
        checkpoint: Checkpoint,
        *,
        width: int,
        device: torch.device | str = "cpu",
        tolerance: float = 0.0,
    ) -> "Window":
        """Go on from a checkpoint. What was accepted stays; the tolerance holds for what follows.

        Raises:
            InvalidCheckpoint: another version or method, or a grid of another length.
        """
        checkpoint = checkpoint.on(device, cls.method, solver.grid.steps)
        about, tensors = checkpoint.description, checkpoint.tensors
        any_state = next(iter(tensors.values()))
        self = cls(solver, torch.zeros_like(any_state), width=width, tolerance=tolerance, preview=about["preview"])
        for name, sweep, frontier in zip(
            ("coarse", "fine"), (self._coarse, self._fine), about["frontiers"], strict=True
        ):
            sweep.frontier = frontier
            parts = [key.split("/") for key in tensors if key.startswith(name)]
            sweep.x = {int(point): tensors[f"{name}/{point}/x"] for _, point, what in parts if what == "x"}
            sweep.seen = {
                int(point): Seen(
                    tensors[f"{name}/{point}/seen"],
                    tensors[f"{name}/{point}/output"],
                    about["thetas"][f"{name}/{point}"],
                )
                for _, point, what in parts
                if what == "seen"
            }
        self._fine.drift = about["drift"]
        self._restore(checkpoint)
        if self._fine.done:
            self._end(Status.CONVERGED if self.drift > 0 else Status.EXACT)
        return self

    @property
    def _sweep(self) -> Sweep:
        return self._coarse if self._preview and not self._coarse.done else self._fine

    def _predicted(self, point: int) -> Tensor:
        """The image, from the newest point that was evaluated on and through the coarse grid's outputs."""
        ahead = [n for n, edge in enumerate(self.edges) if edge > point]
        x = self._fine.x[point + 1] if point + 1 == self.edges[ahead[0]] else None
        if x is None:
            x = self._fine.step(self._reached(point), point, self.edges[ahead[0]])
        for n in ahead[:-1]:
            x = self._coarse.step(x, n, n + 1)
        return x

    def _reached(self, point: int) -> Tensor:
        """Where the fine sweep came to lie at its newest evaluated point."""
        return self._fine.x.get(point, self._fine.seen[point].x)

    def _complete(self, sample: Tensor) -> list[Iterate]:
        if not bool(torch.isfinite(sample).all()):
            self.fail("the image is not finite: try a lower guidance scale, or float32")
            return []
        before = self.newest
        number, change = (0, None) if before is None else (before.number + 1, residual(sample, before.sample))
        self.newest = Iterate(number, sample, change, self.rounds, self.evaluations)
        if self._fine.done:
            # Every output was taken exactly where its point came to lie.
            self._end(Status.CONVERGED if self.drift > 0 else Status.EXACT)
        elif self._accepted:
            self._end(Status.ACCEPTED)
        return [self.newest]


def coarsened(grid: Grid, edges: Sequence[int]) -> Grid:
    """The grid that visits only the points `edges` (the first 0, the last N) of a grid."""
    starts, ends = torch.tensor(edges[:-1]), torch.tensor(edges[1:]) - 1
    return replace(
        grid,
        timestep=grid.timestep[starts],
        alpha=grid.alpha[starts],
        sigma=grid.sigma[starts],
        alpha_to=grid.alpha_to[ends],
        sigma_to=grid.sigma_to[ends],
    )
