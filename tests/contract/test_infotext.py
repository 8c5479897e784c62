"""Generation parameters as A1111's text."""

from collections.abc import Callable

import pytest

from contract import infotext
from contract.fields import Generation


@pytest.mark.parametrize("prompt", ["red heart", "two\nlines: a, b", 'say "hi", Steps: 3'])
@pytest.mark.parametrize("negative", ["", "blue, grey\nSize: 3"])
def test_what_is_written_is_read(generation: Callable[..., Generation], prompt: str, negative: str) -> None:
    made = generation(prompt=prompt, negative_prompt=negative, steps=20, solver="dpm++", guidance_scale=7.5)
    text = infotext.write(made, 9, {"Note": 'a, b: "c"\nd', "Job": "0-1"})
    assert infotext.read(text) == {
        "Prompt": prompt,
        "Negative prompt": negative,
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "CFG scale": "7.5",
        "Seed": "9",
        "Size-1": "64",
        "Size-2": "64",
        "Model": "emoji",
        "Note": 'a, b: "c"\nd',
        "Job": "0-1",
    }


def test_the_usual_form(generation: Callable[..., Generation]) -> None:
    assert infotext.write(generation(negative_prompt="blue"), 7, {"Version": "x"}) == (
        "red heart\nNegative prompt: blue\n"
        "Steps: 50, Sampler: Automatic, CFG scale: 3, Seed: 7, Size: 64x64, Model: emoji, Version: x"
    )


def test_a_text_without_pairs_is_a_prompt() -> None:
    assert infotext.read("a house: blue") == {"Prompt": "a house: blue", "Negative prompt": ""}


@pytest.mark.parametrize(
    ("name", "solver"),
    [("Euler", "euler"), ("k_euler", "euler"), ("dpm++ 2m karras", "dpm++"), ("Euler a", None), ("", None)],
)
def test_solvers_by_their_names(name: str, solver: str | None) -> None:
    assert infotext.solver_of(name) == solver
