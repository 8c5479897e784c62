"""Which iterates become partial images."""

from typing import Any

import pytest

from api.surfaces.openai.partials import Partials


def event(rounds: int, picture: str | None = None, final: bool = False) -> dict[str, Any]:
    return {"rounds": rounds, "etag": picture or f"picture {rounds}", "final": final}


def picked(most: int, expected: int | None, iterates: list[dict[str, Any]]) -> list[int]:
    partials = Partials(most)
    if expected is not None:
        partials.planned({"state": "running", "image": {"number": 0, "predicted_rounds": expected}})
    partials.planned({"state": "running"})  # most of them tell nothing of the image
    return [iterate["rounds"] for iterate in iterates if partials.pick(iterate)]


EXACT = [event(rounds) for rounds in range(10, 50, 4)] + [event(50, final=True)]


@pytest.mark.parametrize(("most", "expected"), [(0, []), (1, [10]), (2, [10, 26]), (3, [10, 18, 34])])
def test_they_are_spread_over_the_rounds(most: int, expected: list[int]) -> None:
    assert picked(most, 50, EXACT) == expected


def test_more_rounds_than_expected_make_no_more_of_them() -> None:
    assert picked(3, 12, EXACT) == [10, 14, 18]


def test_without_a_plan_the_first_ones_are_taken() -> None:
    assert picked(2, None, EXACT) == [10, 14]


def test_fewer_iterates_make_fewer() -> None:
    assert picked(3, 20, [event(10), event(14), event(18, final=True)]) == [10, 14]


def test_what_has_no_picture_of_its_own_is_left_out() -> None:
    none = {**event(10), "etag": None}
    assert picked(3, 20, [none, event(11, "a"), event(14, "a"), event(18, "b")]) == [11, 18]
