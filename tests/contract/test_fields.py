"""What the types of requests hold on their own, for every model: what a stored job may be."""

from typing import Any

import pytest
from pydantic import ValidationError

from contract.fields import LONGEST_DEADLINE, MAX_SEED, Generation, Handling, RefineRequest, Webhook
from contract.problems import InvalidFields
from store.catalog import Catalog

STORED: dict[str, Any] = {
    "model": "emoji",
    "prompt": "red heart",
    "method": "srds",
    "steps": 50,
    "guidance_scale": 3.0,
    "width": 64,
    "height": 64,
    "seed": 7,
    "images": 1,
    "tolerance": 0.005,
}


@pytest.mark.parametrize(
    ("seed", "images", "fits"), [(MAX_SEED, 1, True), (MAX_SEED - 1, 2, True), (MAX_SEED, 2, False)]
)
def test_the_seed_of_every_image_is_in_range(seed: int, images: int, fits: bool) -> None:
    request = {**STORED, "seed": seed, "images": images}
    if fits:
        made = Generation.model_validate(request)
        assert [made.seed_of(n) for n in range(images)] == list(range(seed, seed + images))
        assert made.seed_of(images - 1) == MAX_SEED
        return
    with pytest.raises(ValidationError, match=f"seed must be at most {MAX_SEED - 1} for 2 images"):
        Generation.model_validate(request)


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": -1},
        {"seed": MAX_SEED + 1},
        {"steps": 0},
        {"steps": "50"},
        {"images": 0},
        {"blocks": 0},
        {"max_iterations": -1},
        {"tolerance": -0.1},
        {"tolerance": 1.1},
        {"tolerance": float("nan")},
        {"guidance_scale": float("inf")},
        {"guidance_scale": 0.9},
        {"eta": -0.1},
        {"eta": 1.1},
        {"guidance_rescale": -0.1},
        {"guidance_rescale": 1.1},
        {"true_cfg_scale": 0.9},
        {"method": "fast"},
        {"prompt": "nul \0"},
        {"prompt": "half a pair \ud83d"},
        {"colour": "red"},
    ],
)
def test_what_no_model_could_do_is_no_stored_request(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        Generation.model_validate({**STORED, **fields})


def test_a_stored_request_does_not_change() -> None:
    made = Generation.model_validate({**STORED, "seed": 0, "max_iterations": 0, "tolerance": 0.0, "blocks": 1})
    assert made.previews
    assert made.wish == "latency"
    for record in (made, Handling(), Webhook(url="https://hooks.example/")):
        with pytest.raises(ValidationError, match="frozen"):
            record.__setattr__(next(iter(type(record).model_fields)), None)


def test_what_a_model_gives_and_allows_does_not_change(catalog: Catalog) -> None:
    terms = catalog["emoji"].terms
    for record in (terms.defaults, terms.limits):
        with pytest.raises(ValidationError, match="frozen"):
            record.__setattr__(next(iter(type(record).model_fields)), None)


@pytest.mark.parametrize("given", [1, 2, 2.0, 1000, 2**31 - 1])
def test_json_has_one_kind_of_number(given: float) -> None:
    made = RefineRequest.model_validate({"max_iterations": given}).max_iterations
    assert made == given
    assert isinstance(made, int)


@pytest.mark.parametrize("given", [0, -1, 2**31, 2.5, "2", True, float("inf")])
def test_a_number_of_iterates_is_whole_and_fits_into_the_database(given: Any) -> None:
    with pytest.raises(ValidationError, match="max_iterations"):
        RefineRequest.model_validate({"max_iterations": given})


@pytest.mark.parametrize(
    ("seconds", "fits"), [(0.001, True), (LONGEST_DEADLINE, True), (0, False), (LONGEST_DEADLINE + 1, False)]
)
def test_a_deadline_is_within_a_week(seconds: float, fits: bool) -> None:
    assert LONGEST_DEADLINE == 7 * 24 * 60 * 60
    if fits:
        assert Handling.model_validate({"deadline_seconds": float(seconds)}).deadline_seconds == seconds
        return
    with pytest.raises(ValidationError, match="deadline_seconds"):
        Handling.model_validate({"deadline_seconds": float(seconds)})


@pytest.mark.parametrize(
    ("events", "fits"), [(["done"], True), (["done", "state"], True), ([], False), (["done", "done"], False)]
)
def test_a_webhook_names_each_kind_of_event_once(events: list[str], fits: bool) -> None:
    request = {"url": "https://hooks.example/", "events": events}
    if fits:
        assert Webhook.model_validate(request).events == events
        return
    with pytest.raises(ValidationError, match="at least one kind of event, and each once"):
        Webhook.model_validate(request)


@pytest.mark.parametrize("value", [False, True, "", []])
def test_a_field_that_is_not_taken_has_its_type_all_the_same(catalog: Catalog, value: Any) -> None:
    assert catalog.resolve({"prompt": "red heart", "true_cfg_scale": 1}).true_cfg_scale == 1
    with pytest.raises(InvalidFields, match="true_cfg_scale"):
        catalog.resolve({"prompt": "red heart", "true_cfg_scale": value})
