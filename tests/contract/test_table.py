"""The table of request fields agrees with itself and with what is written beside it."""

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest

from contract.annotations import MODEL
from contract.fields import (
    Defaults,
    Generation,
    Handling,
    Limits,
    LoraScale,
    RefineRequest,
    Request,
    Sendable,
    Webhook,
)
from contract.table import FIELDS, GENERATION, HANDLING, WEBHOOK, RequestFieldInfo


def plain(annotation: Any) -> set[Any]:
    """The types that an annotation allows, without what pydantic adds to them."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {each for part in get_args(annotation) for each in plain(part)}
    return {{Webhook: dict[str, Any], list[LoraScale]: list[dict[str, Any]]}.get(annotation, annotation)}


def test_every_field_of_a_request_is_in_the_table() -> None:
    assert list(GENERATION) == list(Generation.model_fields)
    assert list(HANDLING) == list(Handling.model_fields)
    assert list(WEBHOOK) == list(Webhook.model_fields)
    assert list(FIELDS) == [*GENERATION, *HANDLING]


def test_the_types_for_callers_are_those_of_the_table() -> None:
    written = get_type_hints(Request)
    declared = get_type_hints(Generation) | get_type_hints(Handling)
    assert list(written) == [name for name in FIELDS if name != "prompt"]
    for name, annotation in written.items():
        sent = plain(Sendable) if name in ("image", "mask") else set[Any]()
        taken = {Sequence[str | Sendable]} if name == "references" else plain(declared[name]) | sent
        assert plain(annotation) == taken | {type(None)}, name


@pytest.mark.parametrize("row", FIELDS.values(), ids=list(FIELDS))
def test_limits_defaults_and_options_are_there(row: RequestFieldInfo) -> None:
    about = row.about
    for limit in (about.minimum, about.maximum, about.multiple_of, about.max_length):
        assert limit is None or limit in Limits.model_fields
    assert row.model_default == (row.name in Defaults.model_fields)
    if about.options:
        assert tuple(about.options) == row.choices
    assert about.help.endswith(".")
    assert about.description.endswith(".")


def test_a_job_stored_before_a_field_was_added_can_be_read() -> None:
    """The first release stored exactly these."""
    first = {"model", "prompt", "method", "steps", "guidance_scale", "width", "height", "seed", "images", "tolerance"}
    assert {name for name, field in Generation.model_fields.items() if field.is_required()} == first


def test_what_may_be_refined_is_of_the_picture() -> None:
    assert {name for name, row in FIELDS.items() if row.refinable} == set(RefineRequest.model_fields)
    assert RefineRequest.model_fields.keys() <= GENERATION.keys()


def test_a_default_is_the_cards_or_the_tables() -> None:
    assert {name for name, row in FIELDS.items() if row.about.default is MODEL} == set(Defaults.model_fields)
    assert (FIELDS["images"].default, FIELDS["priority"].default, FIELDS["seed"].default) == (1, "normal", None)
    assert (FIELDS["tolerance"].unused, FIELDS["blocks"].unused) == (0, None)
    assert FIELDS["tolerance"].default is None


@pytest.mark.parametrize(
    ("field", "taken", "refused"),
    [("tolerance", (0, 0.5, 1), (-0.1, 1.1, "0.1")), ("max_iterations", (1, 2.0, 2**31 - 1), (0, 2**31, 1.5))],
)
def test_bounds_of_a_refinement(field: str, taken: tuple[Any, ...], refused: tuple[Any, ...]) -> None:
    assert (RefineRequest().tolerance, RefineRequest().max_iterations) == (None, None)
    for value in taken:
        assert getattr(RefineRequest.model_validate({field: value}), field) == value
    for value in refused:
        with pytest.raises(ValueError, match=field):
            RefineRequest.model_validate({field: value})
