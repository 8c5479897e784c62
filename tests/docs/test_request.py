"""The reference of request fields is what its command writes, and has for each field what the table has."""

from pathlib import Path

from contract import reference
from contract.methods import methods_of

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_command_writes() -> None:
    written = (ROOT / "docs" / "request.md").read_text()
    assert written == reference.markdown(), "run: python -m contract.reference > docs/request.md"


def methods(field: str) -> str:
    """How a row names the methods that take its field."""
    return f"*Methods:* {', '.join(f'`{method}`' for method in methods_of(field))}."


def test_a_row_has_type_unit_bounds_default_and_who_takes_it() -> None:
    rows = {line.split("`")[1]: line for line in reference.markdown().splitlines() if line.startswith("| `")}
    for name, ending in {
        "prompt": "*Type:* string, at most `max_prompt_characters`. *Required.* |",
        "steps": "*Type:* integer, from `min_steps` to `max_steps`. *Default:* the model's. |",
        "eta": "*Type:* number, from 0 to 1. *Default:* `0.0`. *Only with:* `solver` `ddim`. |",
        "true_cfg_scale": "from 1 to `max_guidance_scale`. *Default:* `1.0`. "
        "*Models:* those whose pipeline has an argument of this name. |",
        "blocks": f"*Type:* integer, from 1 to `max_steps`. {methods('blocks')} |",
        "width": "a multiple of `multiple_of`. *Unit:* pixels. *Default:* the model's. |",
        "previews": "*Type:* boolean. *Default:* `true`. |",
        "deadline_seconds": "*Type:* number, greater than 0, at most 604800. *Unit:* seconds. |",
        "events": '*Type:* array of `state`, `iterate`, `done`. *Default:* `["done"]`. |',
    }.items():
        assert rows[name].endswith(ending), name
    assert f"{methods('tolerance')} *May be changed when the job is refined.*" in rows["tolerance"]
