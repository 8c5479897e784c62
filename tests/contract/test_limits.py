"""A value is held against the bounds that its field has, on either side."""

from dataclasses import replace

import pytest

from contract.annotations import RequestField
from contract.problems import Code
from contract.resolve import out_of_limits
from contract.table import GENERATION, Bounds
from store.catalog import Catalog


@pytest.mark.parametrize(
    ("bounds", "value", "message"),
    [
        (Bounds(least=1), 0, "must be at least 1"),
        (Bounds(least=1), 1, None),
        (Bounds(most=4), 5, "must be at most 4"),
        (Bounds(most=4), 4, None),
        (Bounds(least=1, most=4), 5, "must be from 1 to 4"),
        (Bounds(least=3, most=3), 4, "must be 3"),
        (Bounds(), 10**9, None),
    ],
)
def test_each_bound_counts_by_itself(catalog: Catalog, bounds: Bounds, value: int, message: str | None) -> None:
    row = replace(GENERATION["steps"], fixed=bounds, about=RequestField(help="", description=""))
    problem = out_of_limits(row, value, catalog.default.limits)
    assert (problem and problem.message) == message
    assert problem is None or (problem.field, problem.code) == ("steps", Code.RANGE)
