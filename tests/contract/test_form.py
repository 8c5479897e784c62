"""The fields of a model as data: what it takes, within its limits."""

from typing import Any, get_args

import pytest

from contract.form import FormField, form
from contract.methods import METHODS
from contract.words import Method
from store.catalog import Catalog


@pytest.fixture
def fields(catalog: Catalog) -> dict[str, FormField]:
    return {field.name: field for field in form(catalog.default.terms)}


def test_a_number_has_the_bounds_and_the_default_of_the_model(fields: dict[str, FormField]) -> None:
    def row(name: str) -> tuple[Any, ...]:
        field = fields[name]
        return field.type, field.minimum, field.maximum, field.multiple_of, field.default

    assert row("steps") == ("integer", 1, 1000, None, 50)
    assert row("width") == ("integer", 64, 64, 8, 64)
    assert row("guidance_scale") == ("number", 1, 20, None, 3)
    assert row("images") == ("integer", 1, 8, None, 1)
    assert row("seed") == ("integer", 0, 2**32 - 1, None, None)
    assert (fields["deadline_seconds"].exclusive_minimum, fields["deadline_seconds"].maximum) == (0, 604800)


def test_a_text_has_its_length_and_a_choice_its_options(fields: dict[str, FormField]) -> None:
    assert (fields["prompt"].required, fields["prompt"].max_length) == (True, 300)
    assert (fields["negative_prompt"].required, fields["negative_prompt"].default) == (False, "")
    assert [(each.value, each.title) for each in fields["wish"].options or []] == [
        ("latency", "Latency"),
        ("cost", "Cost"),
    ]
    assert fields["steps"].options is None


@pytest.mark.parametrize(
    ("name", "taken", "not_taken"),
    [
        ("blocks", {"auto", "srds"}, {"serial"}),
        ("max_iterations", {"auto", "srds"}, {"serial"}),
        ("tolerance", {"auto", "srds"}, {"serial"}),
        ("steps", set(get_args(Method)), set()),
    ],
)
def test_it_names_the_methods_that_take_it(
    fields: dict[str, FormField], name: str, taken: set[Method], not_taken: set[Method]
) -> None:
    methods = set(fields[name].methods)
    assert (taken - methods, not_taken & methods) == (set(), set())
    particular = {method for method, row in METHODS.items() if name in row.takes}
    assert methods == {"auto", *(particular or METHODS)}


def test_it_names_what_may_be_refined(fields: dict[str, FormField]) -> None:
    assert [name for name, field in fields.items() if field.refinable] == ["tolerance", "max_iterations"]


def test_model_and_webhook_are_no_fields_of_a_form(fields: dict[str, FormField]) -> None:
    assert fields.keys().isdisjoint(("model", "webhook"))
    assert fields["priority"].label is None
    assert fields["steps"].label == "Steps"
