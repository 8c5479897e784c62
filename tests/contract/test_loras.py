"""LoRA in requests: which are known, and what a request may say of them."""

from dataclasses import replace
from typing import Any

import pytest

from contract.fields import LoraScale
from contract.problems import Code, InvalidFields
from contract.resolve import resolve
from contract.schema import request_schema
from store.catalog import Catalog, load_catalog
from store.settings import SHIPPED_CATALOG


def with_loras(catalog: Catalog) -> Any:
    return replace(catalog.default.terms, loras=("ink", "oil"))


def test_they_are_kept_in_order_with_a_scale_of_one(catalog: Catalog) -> None:
    made = resolve(with_loras(catalog), {"prompt": "x", "loras": [{"name": "oil", "scale": -0.5}, {"name": "ink"}]})
    assert made.loras == [LoraScale(name="oil", scale=-0.5), LoraScale(name="ink", scale=1.0)]
    assert resolve(with_loras(catalog), made.model_dump()) == made
    assert resolve(with_loras(catalog), {"prompt": "x"}).loras == []


@pytest.mark.parametrize(
    ("loras", "code", "message"),
    [
        ([{"name": "ink"}, {"name": "gouache"}], Code.CHOICE, "be among those of model emoji: ink, oil; not gouache"),
        ([{"name": "ink"}, {"name": "ink", "scale": 0.5}], Code.VALUE, "must name each LoRA once"),
        ([{"scale": 0.5}], Code.MISSING, "is required"),
        ([{"name": "ink", "scale": 11}], Code.RANGE, "must be less than or equal to 10"),
        ([{"name": "ink", "scale": "1"}], Code.TYPE, "must be a valid number"),
        ([{"name": "ink", "weight": 1}], Code.UNKNOWN, "leave it out"),
        ("ink", Code.TYPE, "must be a valid list"),
        ([{"name": "ink"}] * 9, Code.LENGTH, "must have at most 8"),
    ],
)
def test_what_cannot_be_meant_is_refused(catalog: Catalog, loras: Any, code: Code, message: str) -> None:
    with pytest.raises(InvalidFields) as raised:
        resolve(with_loras(catalog), {"prompt": "x", "loras": loras})
    (problem,) = raised.value.problems
    assert (problem.field, problem.code) == ("loras", code)
    assert message in problem.message


def test_a_model_without_takes_none(catalog: Catalog) -> None:
    assert resolve(catalog.default.terms, {"prompt": "x", "loras": []}).loras == []
    with pytest.raises(InvalidFields, match="loras must be left out: model emoji does not take it"):
        resolve(catalog.default.terms, {"prompt": "x", "loras": [{"name": "ink"}]})


def test_the_schema_lists_the_names_of_all_models(catalog: Catalog) -> None:
    terms = with_loras(catalog)
    shown = request_schema([terms, replace(terms, model="b", loras=("ink", "gouache"))])["properties"]["loras"]
    item = shown["items"]
    assert (item["type"], item["required"], item["additionalProperties"]) == ("object", ["name"], False)
    assert item["properties"]["name"]["enum"] == ["ink", "oil", "gouache"]
    assert (item["properties"]["scale"]["minimum"], item["properties"]["scale"]["maximum"]) == (-10, 10)
    assert (shown["default"], shown["maxItems"]) == ([], 8)
    assert request_schema([catalog.default.terms])["properties"]["loras"]["maxItems"] == 0


def test_the_catalogue_names_files_and_a_folder(tmp_path: Any) -> None:
    (tmp_path / "loras").mkdir()
    for name in ("ink.safetensors", "my style.safetensors", "notes.txt"):
        (tmp_path / "loras" / name).touch()
    text = SHIPPED_CATALOG.read_text("utf-8").replace(
        'source = "emoji"',
        'source = "emoji"\nlora_folder = "loras"\nloras = [{name = "ink", source = "a.safetensors"}]',
    )
    (tmp_path / "catalog.toml").write_text(text)
    card = load_catalog(tmp_path / "catalog.toml").default
    assert card.lora_files == {
        "ink": tmp_path / "a.safetensors", "my_style": tmp_path / "loras" / "my style.safetensors",
    }  # fmt: skip
    (tmp_path / "loras" / "new.safetensors").touch()
    assert card.terms.loras == ("ink", "my_style", "new")
