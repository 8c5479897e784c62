"""How fast the iterates of SRDS converge: as observed in an engine, and before that as a rule of thumb."""

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


def expected_iterates(tolerance: float, convergence: Convergence | None = None) -> int:
    """The number of the first iterate whose residual is expected to be at most `tolerance`.

    With tolerance 0 all iterates run; the plan is then made for one that is a good picture.
    """
    if tolerance == 0:
        return tuning.FEWEST_ITERATES
    known = convergence or Convergence()
    return 1 + max(0, math.ceil(math.log(tolerance / known.first, known.contraction) - 1e-9))
