"""`underpaint models`: the catalogue that writes itself."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cli.errors import CommandError
from cli.models import commands
from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG

EMOJI = SHIPPED_CATALOG.parent / "emoji"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a catalogue that is not there yet, beside a model."""
    shutil.copytree(EMOJI, tmp_path / "My Model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNDERPAINT_CATALOG", raising=False)
    return tmp_path / "catalog.toml"


def added(source: str = "My Model", **more: str | None) -> None:
    commands.add(None, source, **({"name": None, "base": None, "variant": None} | more))


def test_an_entry_of_id_and_source_is_enough(path: Path) -> None:
    added()
    text = path.read_text()
    assert 'id = "my-model"\nsource = "My Model"' in text
    catalog = load_catalog(path)
    assert list(catalog) == ["emoji", "my-model"], "the shipped model stays the default"
    made = catalog["my-model"]
    assert (made.terms.kind, made.dtype, made.defaults.steps) == ("StableDiffusionPipeline", "auto", 50)
    assert (made.defaults.width, made.limits.multiple_of) == (64, 8), "as its files say"
    assert made.resolve({"prompt": "x"}).guidance_scale == 7.5
    assert made.files.fault is None


def test_what_is_written_goes_before_what_is_known(path: Path) -> None:
    path.write_text(
        f'[[models]]\nid = "a"\nsource = "{EMOJI}"\ntitle = "Mine"\ndefaults = {{steps = 7}}\n'
        "limits = {max_images = 2}"
    )
    made = load_catalog(path)["a"]
    assert (made.title, made.defaults.steps, made.defaults.guidance_scale, made.limits.max_images) == (
        "Mine",
        7,
        7.5,
        2,
    )


def test_a_licence_and_few_steps_are_found(path: Path) -> None:
    (Path("My Model") / "README.md").write_text("---\nlicense: openrail++\n---\nA model.")
    added(name="my-turbo")
    made = load_catalog(path)["my-turbo"]
    assert (made.license, made.defaults.steps, made.defaults.method) == ("openrail++", 4, "serial")


def test_a_single_file_is_added_with_its_base(path: Path) -> None:
    save_file({"first_stage_model.a": np.zeros(2**20, "float32")}, "My Model v2.safetensors")
    with pytest.raises(CommandError, match="name a folder or repository in diffusers' format as its base"):
        added("My Model v2.safetensors")
    added("My Model v2.safetensors", base="My Model")
    made = load_catalog(path)["my-model-v2"]
    assert (made.base, made.terms.kind, made.files.size) == ("My Model", "StableDiffusionPipeline", 2**22)


def test_the_models_are_listed_shown_checked_and_removed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    added()
    commands.check(None)
    commands.show_all(None)
    listed = capsys.readouterr().out
    assert "my-model: good" in listed
    assert "StableDiffusionPipeline" in listed
    commands.show(None, "my-model")
    assert "max_prompt_characters = 300" in capsys.readouterr().out
    file = Path("My Model") / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CommandError, match="1 of the models cannot be loaded"):
        commands.check(None)
    assert "is cut" in capsys.readouterr().out
    commands.remove(None, "my-model")
    assert list(load_catalog(path)) == ["emoji"]
    assert "# The models that a server offers." in path.read_text(), "comments stay"


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: added("nowhere"), r"nowhere cannot be added: there is no .*model_index\.json"),
        (lambda: added(name="emoji"), "has a model emoji already: choose another name with --id"),
        (lambda: commands.remove(None, "other"), "has no model other"),
        (lambda: commands.remove(None, "emoji"), "a model: add another one first"),
        (lambda: commands.show(None, "other"), "has no model other, but emoji"),
        (lambda: commands.add(SHIPPED_CATALOG, "My Model", None, None, None), "stays as it is: name another one"),
        (lambda: Path("catalog.toml").write_text("[") and added(), "cannot be read"),
        (lambda: Path("catalog.toml").write_text("models = 1") and added(), "has no list of models"),
    ],
)
def test_what_cannot_be_done_is_told(path: Path, do: object, message: str) -> None:
    before = SHIPPED_CATALOG.read_bytes()
    with pytest.raises(CommandError, match=message):
        do()  # type: ignore[operator]
    assert SHIPPED_CATALOG.read_bytes() == before
