"""What an image is planned by: the request, and who else shares the engine's rounds."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from contract.fields import Generation
from sampler import Engine, Model
from tasks.trajectories import Start, begin

WIDTH = 8


@pytest.mark.parametrize(("images", "free"), [(1, 3), (2, 2), (4, 0)])
def test_an_engine_is_busy_if_two_evaluations_for_each_image_do_not_fit_into_a_round(
    emoji: Model, generation: Callable[..., Generation], images: int, free: int
) -> None:
    """A busy engine plans auto without a coarse grid, which would delay every image."""
    request = generation(method="auto", steps=40, images=images)

    def plans(others: int) -> list[Any]:
        plans: dict[int, Any] = {}
        starts = {image: Start() for image in range(images)}
        begin(uuid4(), request, starts, plans.__setitem__, lambda _: None, emoji, Engine(emoji, WIDTH), others)
        return [plans[image] for image in range(images)]

    assert 2 * (images + free) == WIDTH
    idle, full, busy = plans(0), plans(free), plans(free + 1)
    assert len(set(idle + full)) == len(set(busy)) == 1
    assert set(idle) != set(busy)
