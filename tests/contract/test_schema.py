"""The JSON Schema of a request is that of the table, with the widest limits of all models."""

from dataclasses import replace
from typing import Any

import pytest

from contract.annotations import whole
from contract.fields import MAX_SEED, Generation
from contract.schema import request_schema, widest
from store.catalog import Catalog


def shown(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return {keyword: value for keyword, value in schema["properties"][name].items() if keyword != "description"}


def test_each_type_of_field_has_its_keywords(catalog: Catalog) -> None:
    schema = request_schema([catalog.default.terms])
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["prompt"], False)
    pattern = r"^[^\u0000]*$"
    expected: dict[str, dict[str, Any]] = {
        "prompt": {"type": "string", "minLength": 1, "maxLength": 300},
        "negative_prompt": {"type": ["string", "null"], "default": "", "maxLength": 300, "pattern": pattern},
        "model": {"type": ["string", "null"], "default": "emoji", "enum": ["emoji", None]},
        "steps": {"type": ["integer", "null"], "default": 50, "minimum": 1, "maximum": 1000},
        "seed": {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_SEED},
        "width": {"type": ["integer", "null"], "default": 64, "minimum": 64, "maximum": 64, "multipleOf": 8},
        "wish": {"type": ["string", "null"], "default": "latency", "enum": ["latency", "cost", None]},
        "previews": {"type": ["boolean", "null"], "default": True},
        "deadline_seconds": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 604800},
    }
    prompt = shown(schema, "prompt")
    assert prompt.pop("pattern") != pattern
    assert prompt == expected.pop("prompt")
    assert {name: shown(schema, name) for name in expected} == expected


def test_a_webhook_is_an_object_of_its_own(catalog: Catalog) -> None:
    webhook = shown(request_schema([catalog.default.terms]), "webhook")
    assert (webhook["type"], webhook["required"], webhook["additionalProperties"]) == (
        ["object", "null"],
        ["url"],
        False,
    )
    url, events = shown(webhook, "url"), shown(webhook, "events")
    assert url.pop("pattern").startswith("^https")
    assert url == {"type": "string", "minLength": 1, "maxLength": 2048}
    kinds = {"type": "string", "enum": ["state", "iterate", "done"]}
    assert events == {"type": "array", "items": kinds, "minItems": 1, "uniqueItems": True, "default": ["done"]}


def test_limits_are_the_widest(catalog: Catalog) -> None:
    terms = catalog.default.terms
    other = terms.limits.model_copy(
        update={"min_steps": 5, "max_steps": 2000, "min_size": 32, "max_size": 48, "multiple_of": 12, "max_images": 2}
    )
    joined = widest([terms.limits, other])
    assert (joined.min_steps, joined.max_steps, joined.max_images) == (1, 2000, 8)
    assert (joined.min_size, joined.max_size, joined.multiple_of) == (32, 64, 4)
    schema = request_schema([terms, replace(terms, model="other", limits=other)])
    assert shown(schema, "model")["enum"] == ["emoji", "other", None]
    assert shown(schema, "width")["multipleOf"] == 4


def test_a_generation_is_checked_when_it_is_read_and_cannot_be_changed(catalog: Catalog) -> None:
    stored = catalog.resolve({"prompt": "x", "images": 2, "seed": MAX_SEED - 1}).model_dump()
    assert Generation.model_validate(stored).seed_of(1) == MAX_SEED
    with pytest.raises(ValueError, match="seed must be at most 4294967294 for 2 images"):
        Generation.model_validate({**stored, "seed": MAX_SEED})
    with pytest.raises(ValueError, match="frozen"):
        Generation.model_validate(stored).steps = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_as_many_blocks_as_steps_are_allowed(catalog: Catalog) -> None:
    for steps in (1, 7):
        assert catalog.resolve({"prompt": "x", "steps": steps, "blocks": steps}).blocks == steps
        assert catalog.resolve({"prompt": "x", "steps": steps}).blocks is None


@pytest.mark.parametrize(("given", "read"), [(25.0, 25), (2.5, 2.5), ("25.0", "25.0"), (True, True), (3, 3)])
def test_json_has_one_kind_of_number(given: Any, read: Any) -> None:
    assert whole(given) == read
    assert type(whole(given)) is type(read)
