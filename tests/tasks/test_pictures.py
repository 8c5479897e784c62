"""Samples that are decoded together: each gets its own picture, or its own error."""

import pytest
import torch
from torch import Tensor

from tasks.pictures import TOGETHER, decode

LARGE = round(TOGETHER**0.5)


def sample(value: float, side: int = 8) -> Tensor:
    return torch.full((4, side, side), value)


@pytest.mark.parametrize(
    ("samples", "calls"),
    [
        ([], []),
        ([sample(n) for n in range(9)], [9]),
        ([sample(0), sample(1), sample(2, side=16), sample(3)], [2, 1, 1]),
        ([sample(n, LARGE) for n in range(3)], [1, 1, 1]),
        ([sample(0, 2 * LARGE)], [1]),
        ([sample(0), sample(-1), sample(2)], [3, 1, 1, 1]),
    ],
)
def test_each_gets_its_own(samples: list[Tensor], calls: list[int]) -> None:
    made: list[int] = []

    def call(together: Tensor) -> Tensor:
        """Decodes a sample to its first number."""
        made.append(len(together))
        if bool((together < 0).any()):
            raise ValueError("a negative sample")
        return together[:, :1, :1, :1].expand(-1, 2, 2, 3)

    found = [str(one) if isinstance(one, Exception) else float(one[0, 0, 0]) for one in decode(call, samples)]
    assert found == ["a negative sample" if bool((one < 0).any()) else float(one[0, 0, 0]) for one in samples]
    assert made == calls
