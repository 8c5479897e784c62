"""What an image is planned by: the request, and who else shares the engine's rounds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contract.fields import Generation
from contract.warnings import sampled_otherwise
from sampler import Engine, Model, load_model
from sampler.cost import flat
from tasks.trajectories import Start, begin
from tests.sampler import tiny

WIDTH = 8


@pytest.mark.parametrize(("images", "free"), [(1, 3), (2, 2), (4, 0)])
def test_an_engine_is_busy_if_two_evaluations_for_each_image_do_not_fit_into_a_round(
    emoji: Model, generation: Callable[..., Generation], monkeypatch: pytest.MonkeyPatch, images: int, free: int
) -> None:
    """A busy engine plans auto for the fewest evaluations, with which all images end soonest."""
    request = generation(method="auto", steps=100, images=images, tolerance=0.01)

    def plans(others: int) -> list[Any]:
        plans: dict[int, Any] = {}
        starts = {image: Start() for image in range(images)}
        engine = Engine(emoji, WIDTH)
        monkeypatch.setattr(engine.cost, "curve", lambda _: flat)  # with room for wide rounds
        begin(uuid4(), request, {}, starts, plans.__setitem__, lambda _: None, emoji, engine, others)
        return [plans[image] for image in range(images)]

    assert 2 * (images + free) == WIDTH
    idle, full, busy = plans(0), plans(free), plans(free + 1)
    assert len(set(idle + full)) == len(set(busy)) == 1
    assert set(idle) != set(busy)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_a_model_that_is_not_sampled_by_its_own_scheduler_is_told(
    emoji: Model, generation: Callable[..., Generation], tmp_path: Path
) -> None:
    other = load_model(tiny.build("stable-diffusion", tmp_path))  # with PNDM

    def warned(model: Model, **fields: Any) -> list[Any]:
        told: list[Any] = []
        request = generation(steps=2, **fields)
        begin(uuid4(), request, {}, {0: Start()}, lambda *_: None, told.extend, model, Engine(model, WIDTH), 0)
        return told

    assert warned(other) == [sampled_otherwise("dpm++", "PNDMScheduler")]
    assert warned(other, solver="euler") == []
    assert warned(emoji) == []
