"""CHORDS: cores that start at staggered points, where slower ones rectify faster ones.

Han, Ye, Li, Xu, Zou, Ermon, "CHORDS: Diffusion Sampling Accelerator with Multi-core Hierarchical ODE Solvers", ICCV
2025 (arXiv 2507.15260), algorithm 1; details are those of the authors' repository.

Core k starts at point i_k, where core k - 1 jumped to in one step when it started; core 0 is the serial sampler. All
cores take a fine step a round. When core k - 1 reaches the point where core k started, core k is rectified there,

    x_k = F(x_k) - G(x_k's start) + G(x_{k-1}),

F its fine step and G one step from its start to where F ends, and that is its start from then on. A core that ends at
point N is an output; each is better than the one before, and that of core 0 is the serial solution.

The authors publish the starts of eight cores for N = 50 (0 2 4 8 16 24 32 40). Those for other numbers of cores could
not be ascertained: eight are scaled to N here, and fewer take the last ones of them. The search for the best settings
is over starts i_k = N (k / K)^power for every K up to the width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from benchmarks.peers.base import Published, Rounds
from sampler import DDIM

PUBLISHED_STARTS, PUBLISHED_STEPS = (0, 2, 4, 8, 16, 24, 32, 40), 50


def published_starts(steps: int, cores: int) -> list[int]:
    """The authors' starts, scaled to N; with fewer than eight cores, point 0 and the last ones."""
    chosen = [0, *PUBLISHED_STARTS[-(min(cores, 8) - 1) :]] if cores > 1 else [0]
    return _apart([round(point * steps / PUBLISHED_STEPS) for point in chosen])


def power_starts(steps: int, cores: int, power: float) -> list[int]:
    """i_k = N (k / K)^power, as far as they lie apart."""
    return _apart([round(steps * (k / cores) ** power) for k in range(cores)])


def _apart(points: Sequence[int]) -> list[int]:
    """Those of some ascending points that are two from the one before: nearer cores would do the same work twice."""
    kept = [points[0]]
    for point in points:
        if point >= kept[-1] + 2:
            kept.append(point)
    return kept


@dataclass
class Core:
    """One core.

    Attributes:
        point, x: where it is.
        start, start_x, start_output: where its coarse step leaves from, and what the network said there.
        steps: fine steps taken.
    """

    point: int
    x: Tensor
    start: int
    start_x: Tensor
    start_output: Tensor | None = None
    steps: int = 0


class Chords(Published):
    """CHORDS of one sample; it goes on until core 0 ends, or `outputs` cores have.

    The image shown before a core has ended: one DDIM step to the end from the fastest core.
    """

    def __init__(
        self,
        solver: DDIM,
        noise: Tensor,
        width: int,
        *,
        starts: Sequence[int] | None = None,
        outputs: int | None = None,
    ) -> None:
        """Start from noise; see `Published`.

        Args:
            starts: i_k, from 0 up, at most `width`; None for the published ones.
            outputs: stop when so many cores have ended; the authors recommend 1 or 2. None for all.
        """
        self.starts = list(starts or published_starts(solver.grid.steps, width))
        self.outputs = outputs or len(self.starts)
        super().__init__(solver, noise, width)

    def _sample(self) -> Rounds:
        cores = [Core(0, self.start, 0, self.start)]
        started = 1
        ended = 0
        while ended < self.outputs:
            outputs = yield [self.at(core.point, core.x) for core in cores]
            new = None
            here = [(core.point, core.x, output) for core, output in zip(cores, outputs, strict=True)]
            for n, (core, output) in enumerate(zip(cores, outputs, strict=True)):
                if core.start_output is None:
                    core.start_output = output
                if n == len(cores) - 1 and core.steps == 0 and started < len(self.starts):
                    jump = self.step(core.x, output, core.point, self.starts[started])
                    new = Core(self.starts[started], jump, self.starts[started], jump)
                self._advance(core, output, here[n - 1] if n else None)
            if new:
                cores.append(new)
                started += 1
            if cores[-1].point == self.steps:
                self.estimate = cores.pop().x
                ended += 1
            elif not ended:
                point, x, output = here[-1]
                self.estimate = self.step(x, output, point, self.steps)

    def _advance(self, core: Core, output: Tensor, slower: tuple[int, Tensor, Tensor] | None) -> None:
        """A fine step, rectified where the slower core has come to this core's start."""
        end = core.point + 1
        x = self.step(core.x, output, core.point, end)
        if slower is not None and slower[0] == core.start:
            assert core.start_output is not None
            coarse = self.step(core.start_x, core.start_output, core.start, end)
            x = x - coarse + self.step(slower[1], slower[2], core.start, end)
            core.start, core.start_x, core.start_output = end, x, None
        core.point, core.x, core.steps = end, x, core.steps + 1
