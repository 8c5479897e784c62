"""Requests made whole and checked, and catalogues that cannot be used."""

from pathlib import Path
from typing import Any, get_args

import pytest

from contract.fields import MAX_SEED, Generation, Limits
from contract.methods import METHODS
from contract.problems import InvalidFields
from contract.resolve import out_of_limits
from contract.table import FIELDS
from contract.words import Method
from store.catalog import Catalog, load_catalog
from store.settings import SHIPPED_CATALOG
from tests.choices import choices


def test_shipped_catalogue_gives_every_default(catalog: Catalog):
    made = catalog.resolve({"prompt": "red heart"})
    assert 0 <= made.seed <= MAX_SEED
    assert made == Generation(
        model="emoji",
        prompt="red heart",
        method="auto",
        steps=50,
        guidance_scale=3.0,
        width=64,
        height=64,
        seed=made.seed,
        images=1,
        tolerance=0.005,
    )
    assert catalog.resolve({"prompt": "red heart"}).seed != made.seed
    assert Path(catalog.default.location) == SHIPPED_CATALOG.parent / "emoji"
    assert "location" not in catalog.default.model_dump_json()


def test_what_is_given_is_kept_and_none_is_not_given(catalog: Catalog):
    given = {"prompt": "cat face", "steps": 25, "seed": 5, "images": 3, "blocks": 25, "max_iterations": 2}
    made = catalog.resolve(
        {**given, "model": "emoji", "tolerance": 0, "previews": False, "width": None, "method": None}
    )
    assert {field: getattr(made, field) for field in given} == given
    assert (made.tolerance, made.previews, made.width, made.method) == (0, False, 64, "auto")
    assert [made.seed_of(n) for n in range(3)] == [5, 6, 7]


def test_serial_stops_nowhere_before_the_end(catalog: Catalog):
    made = catalog.resolve({"prompt": "house", "method": "serial"})
    assert (made.tolerance, made.blocks, made.max_iterations) == (0, None, None)


SRDS = {"prompt": "red heart"}


@pytest.mark.parametrize(
    ("request_", "problems"),
    [
        ({}, {"prompt": "is required"}),
        ({"prompt": " \n"}, {"prompt": "must not be blank: say what the picture shows"}),
        ({"prompt": "a" * 301}, {"prompt": "must have at most 300 characters; it has 301"}),
        ({"prompt": "nul \0"}, {"prompt": "must not contain the NUL character"}),
        ({"prompt": 3}, {"prompt": "must be a valid string"}),
        ({**SRDS, "negative_prompt": "a" * 301}, {"negative_prompt": "must have at most 300 characters; it has 301"}),
        ({**SRDS, "steps": 0}, {"steps": "must be from 1 to 1000"}),
        ({**SRDS, "steps": 1001}, {"steps": "must be from 1 to 1000"}),
        ({**SRDS, "steps": "25"}, {"steps": "must be a valid integer"}),
        ({**SRDS, "steps": True}, {"steps": "must be a valid integer"}),
        ({**SRDS, "guidance_scale": 0.5}, {"guidance_scale": "must be from 1 to 20"}),
        ({**SRDS, "guidance_scale": float("nan")}, {"guidance_scale": "must be a finite number"}),
        ({**SRDS, "width": 63}, {"width": "must be 64"}),
        ({**SRDS, "images": 9}, {"images": "must be from 1 to 8"}),
        ({**SRDS, "images": 10**30}, {"images": "must be from 1 to 8"}),
        ({**SRDS, "seed": -1}, {"seed": "must be from 0 to 4294967295"}),
        ({**SRDS, "seed": MAX_SEED, "images": 2}, {"seed": "must be at most 4294967294: image n of 2 uses seed + n"}),
        ({**SRDS, "blocks": 51}, {"blocks": "must be at most the number of steps, 50"}),
        ({**SRDS, "blocks": 0}, {"blocks": "must be from 1 to 1000"}),
        ({**SRDS, "tolerance": 1.5}, {"tolerance": "must be from 0 to 1"}),
        ({**SRDS, "max_iterations": -1}, {"max_iterations": "must be from 0 to 1000"}),
        ({**SRDS, "method": "euler"}, {"method": "must be " + choices(get_args(Method), "'")}),
        *(
            ({**SRDS, "method": name, "blocks": 2}, {"blocks": f"must be left out when method is {name}"})
            for name, row in METHODS.items()
            if "blocks" not in row.takes
        ),
        ({**SRDS, "previews": "maybe"}, {"previews": "must be a valid boolean"}),
        ({**SRDS, "color": "red"}, {"color": "is not a field of a request: leave it out"}),
        ({**SRDS, "model": "sdxl"}, {"model": "must be one of the models on offer: emoji"}),
        ({**SRDS, "model": ["emoji"]}, {"model": "must be one of the models on offer: emoji"}),
    ],
)
def test_problem_says_what_to_change(catalog: Catalog, request_: dict[str, Any], problems: dict[str, str]):
    with pytest.raises(InvalidFields) as raised:
        catalog.resolve(request_)
    assert {each.field: each.message for each in raised.value.problems} == problems


def test_a_prompt_may_be_as_long_as_the_limit(catalog: Catalog):
    most = catalog.default.limits.max_prompt_characters
    assert len(catalog.resolve({"prompt": "a" * most}).prompt) == most


def test_a_prompt_may_by_default_be_as_long_as_at_openai(catalog: Catalog):
    limits = catalog.default.limits.model_dump(exclude={"max_prompt_characters"})
    assert Limits(**limits).max_prompt_characters == 32_000


def test_all_problems_are_told_at_once_in_the_order_of_the_fields(catalog: Catalog):
    with pytest.raises(InvalidFields) as raised:
        catalog.resolve({"size": 1, "images": 9, "steps": "x", "prompt": "", "seed": MAX_SEED + 1, "method": None})
    assert [each.field for each in raised.value.problems] == ["prompt", "steps", "seed", "images", "size"]
    assert "images must be from 1 to 8; size is not a field" in str(raised.value)


def test_sizes_are_multiples_between_bounds(catalog: Catalog):
    limits = catalog.default.limits.model_copy(update={"max_size": 128})
    assert out_of_limits(FIELDS["width"], 96, limits) is None
    assert out_of_limits(FIELDS["width"], 100, limits).message == "must be a multiple of 8"
    assert out_of_limits(FIELDS["height"], 136, limits).message == "must be from 64 to 128"


def written(folder: Path, change: tuple[str, str]) -> Path:
    path = folder / "catalog.toml"
    path.write_text(SHIPPED_CATALOG.read_text("utf-8").replace(*change), "utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps = 50", "steps = 5000"), "steps must be from 1 to 1000"),
        (("max_images = 8", "max_images = 0"), "max_images"),
        (("[[models]]", "[[model]]"), "models"),
        (("width = 16", "width = "), "Invalid value"),
        (("license", "licence"), "licence"),
    ],
)
def test_catalogue_that_cannot_be_used_says_why(tmp_path: Path, change: tuple[str, str], message: str):
    path = written(tmp_path, change)
    with pytest.raises(ValueError, match=message) as raised:
        load_catalog(path)
    assert str(path) in str(raised.value)


def test_missing_catalogue_and_repeated_model(tmp_path: Path):
    with pytest.raises(ValueError, match="No such file"):
        load_catalog(tmp_path / "nowhere.toml")
    path = tmp_path / "catalog.toml"
    path.write_text(SHIPPED_CATALOG.read_text("utf-8") * 2, "utf-8")
    with pytest.raises(ValueError, match="two models of the same id"):
        load_catalog(path)


@pytest.mark.parametrize(
    ("source", "location"),
    [("emoji", "{}/emoji"), ("./own/model", "{}/own/model"), ("/models/x", "/models/x"), ("own/er", "own/er")],
)
def test_source_is_a_folder_or_a_hub_id(tmp_path: Path, source: str, location: str):
    card = load_catalog(written(tmp_path, ('source = "emoji"', f'source = "{source}"'))).default
    assert card.location == location.format(tmp_path)


def test_folder_beside_the_catalogue_comes_before_the_hub(tmp_path: Path):
    (tmp_path / "own" / "er").mkdir(parents=True)
    card = load_catalog(written(tmp_path, ('source = "emoji"', 'source = "own/er"'))).default
    assert card.location == str(tmp_path / "own" / "er")


def test_kind_is_read_from_the_models_folder_unless_the_card_names_it(tmp_path: Path, catalog: Catalog):
    assert catalog.default.terms.kind == "StableDiffusionPipeline"
    named = written(tmp_path, ('source = "emoji"', 'source = "own/er"\nkind = "FluxPipeline"'))
    assert load_catalog(named).default.terms.kind == "FluxPipeline"
    assert load_catalog(written(tmp_path, ('source = "emoji"', 'source = "own/er"'))).default.terms.kind is None


def test_a_resolved_request_can_be_sent_again(catalog):
    methods = ({"prompt": "x", "method": name} for name in METHODS)
    for request in ({"prompt": "x"}, {"prompt": "x", "max_iterations": 0}, *methods):
        made = catalog.resolve(request)
        assert catalog.resolve(made.model_dump()) == made


@pytest.mark.parametrize("prompt", ["half a pair \ud83d", "nul \0"])
def test_text_that_cannot_be_stored_is_refused(catalog, prompt):
    with pytest.raises(InvalidFields, match="prompt must not contain"):
        catalog.resolve({"prompt": prompt})
