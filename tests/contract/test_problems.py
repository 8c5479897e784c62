"""Every problem of a request has a code, and pydantic's are worded like ours."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contract.fields import RefineRequest
from contract.problems import Code, InvalidFields, of_pydantic, of_validation
from contract.resolve import handling
from store.catalog import Catalog

PROMPT = {"prompt": "red heart"}


@pytest.mark.parametrize(
    ("request_", "field", "code"),
    [
        ({}, "prompt", Code.MISSING),
        ({"prompt": " "}, "prompt", Code.VALUE),
        ({"prompt": "a\0"}, "prompt", Code.VALUE),
        ({"prompt": "a" * 301}, "prompt", Code.LENGTH),
        ({**PROMPT, "colour": "red"}, "colour", Code.UNKNOWN),
        ({**PROMPT, "steps": "x"}, "steps", Code.TYPE),
        ({**PROMPT, "steps": 0}, "steps", Code.RANGE),
        ({**PROMPT, "method": "fast"}, "method", Code.CHOICE),
        ({**PROMPT, "method": "serial", "blocks": 2}, "blocks", Code.CONFLICT),
        ({**PROMPT, "blocks": 51}, "blocks", Code.CONFLICT),
        ({**PROMPT, "seed": 2**32 - 1, "images": 2}, "seed", Code.CONFLICT),
        ({**PROMPT, "model": "other"}, "model", Code.CHOICE),
    ],
)
def test_code_of_a_problem(catalog: Catalog, request_: dict[str, Any], field: str, code: Code) -> None:
    with pytest.raises(InvalidFields) as raised:
        catalog.resolve(request_)
    assert [(each.field, each.code) for each in raised.value.problems] == [(field, code)]


@pytest.mark.parametrize(
    ("given", "field", "code", "message"),
    [
        ({"priority": "urgent"}, "priority", Code.CHOICE, "must be 'low', 'normal' or 'high'"),
        ({"deadline_seconds": 0}, "deadline_seconds", Code.RANGE, "must be greater than 0"),
        ({"webhook": {}}, "webhook.url", Code.MISSING, "is required"),
        ({"webhook": {"url": "x", "to": 1}}, "webhook.to", Code.UNKNOWN, "is not a field of a request: leave it out"),
        ({"webhook": {"url": ""}}, "webhook.url", Code.LENGTH, "must have 1 or more characters; it has 0"),
        (
            {"webhook": {"url": "a" * 2049}},
            "webhook.url",
            Code.LENGTH,
            "must have at most 2048 characters; it has 2049",
        ),
        (
            {"webhook": {"url": "x", "events": []}},
            "webhook.events",
            Code.VALUE,
            "must name at least one kind of event, and each once",
        ),
    ],
)
def test_handling_is_checked_with_its_own_names(given: dict[str, Any], field: str, code: Code, message: str) -> None:
    handled, problems = handling({**PROMPT, **given})
    assert [(each.field, each.code) for each in problems] == [(field, code)]
    assert problems[0].message == message
    assert handled.priority == "normal"


def test_what_is_left_out_is_named_for_where_it_is() -> None:
    with pytest.raises(ValidationError) as raised:
        RefineRequest.model_validate({"steps": 3, "tolerance": 2})
    assert {each.field: (each.code, each.message) for each in of_validation(raised.value)} == {
        "steps": (Code.UNKNOWN, "is not a field of a request: leave it out"),
        "tolerance": (Code.RANGE, "must be less than or equal to 1"),
    }
    (error, *_) = [each for each in raised.value.errors() if each["loc"] == ("steps",)]
    assert of_pydantic("steps", error, kind="parameter here").message == "is not a parameter here: leave it out"


def test_a_body_that_is_no_object_is_told_so() -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(dict[str, int]).validate_python([])
    (problem,) = of_validation(raised.value)
    assert (problem.code, problem.message) == (Code.TYPE, "must be a JSON object")
    assert of_pydantic("body", {"type": "json_invalid", "ctx": {"error": "End"}, "loc": ("body", 3)}).message == (
        "is not JSON: End at character 3"
    )
