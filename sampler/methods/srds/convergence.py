"""How fast the iterates of SRDS converge.

`error_estimate` predicts the error of an iterate from residuals. The residual of iterate p is mostly the error of
iterate p - 1. The error of p is about the residual that p + 1 would have: that of p times the next contraction. Let r
be the residual of p over that of p - 1.

- Iterate 2: the contraction is r. For a smooth problem Parareal's next contraction is smaller, about
  r (B - p) p / ((p + 1) (B - p + 1)) (superlinear convergence, Gander and Hairer 2008).
- Later iterates: sqrt(r), halfway between r and no contraction, since the secant correction makes r vary.
- Iterate 1: there is no r yet. If a coarse step misses little, it also misses little of a change of its start, so
  the contraction is `FIRST_ERROR` sqrt(residual), at most 1.

`Convergence` is what an engine has observed; `expected_iterates` plans with it.
"""

import math
from dataclasses import dataclass, field

from sampler.methods.srds import tuning


@dataclass(slots=True)
class Convergence:
    """Moving averages (geometric) over the iterates that were observed.

    Attributes:
        first: the residual of iterate 1.
        contraction: each later residual over the one before.
    """

    first: float = field(default_factory=lambda: tuning.FIRST_RESIDUAL)
    contraction: float = field(default_factory=lambda: tuning.CONTRACTION)

    def observe(self, number: int, residual: float, previous: float | None) -> None:
        """Iterate `number` had this residual, and the iterate before it the residual `previous`."""
        if residual <= 0:
            return
        if number == 1:
            self.first *= (residual / self.first) ** tuning.LEARNING_RATE
        elif previous:
            contraction = min(residual / previous, tuning.WORST_CONTRACTION)
            self.contraction *= (contraction / self.contraction) ** tuning.LEARNING_RATE


def error_estimate(number: int, residual: float, previous: float | None) -> float:
    """The estimated relative RMS error of iterate `number`, which is not exact, against the serial sampler's image.

    Args:
        number: from 1 on.
        residual: of the iterate.
        previous: the residual of the iterate before; None for iterate 1.
    """
    if not previous:
        contraction = min(1.0, tuning.FIRST_ERROR * math.sqrt(residual))
    elif number == 2:
        contraction = residual / previous
    else:
        contraction = math.sqrt(residual / previous)
    return max(tuning.LEAST_ERROR, contraction * residual)


def expected_iterates(tolerance: float, convergence: Convergence | None = None) -> int:
    """The number of the first iterate whose estimated error is expected to be at most `tolerance`.

    With tolerance 0 all iterates run; the plan is then made for one that is a good picture.
    """
    if tolerance == 0:
        return tuning.FEWEST_ITERATES
    known = convergence or Convergence()
    number, residual, previous = 1, known.first, None
    while error_estimate(number, residual, previous) > max(tolerance, tuning.LEAST_ERROR):
        number, residual, previous = number + 1, residual * known.contraction, residual
    return number
