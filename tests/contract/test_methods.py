"""The table of methods, and the page's copy of it."""

import json
from pathlib import Path
from typing import get_args

from contract.methods import METHODS, REFERENCE, javascript, methods_of
from contract.table import GENERATION
from contract.words import Method, SampledBy

PAGE = Path(__file__).parents[2] / "web" / "js" / "methods.js"


def test_every_method_has_a_row_and_takes_fields_of_the_table() -> None:
    assert tuple(METHODS) == get_args(SampledBy)
    assert set(get_args(Method)) == {"auto", *METHODS}
    for row in METHODS.values():
        assert row.takes <= GENERATION.keys()


def test_a_field_is_taken_by_auto_and_the_methods_that_name_it_or_by_all() -> None:
    for name in GENERATION:
        takers = {method for method, row in METHODS.items() if name in row.takes}
        assert set(methods_of(name)) == {"auto", *(takers or METHODS)}
        assert GENERATION[name].methods == methods_of(name)
    assert REFERENCE not in methods_of("tolerance")


def test_a_form_offers_each_method_by_its_title_and_explains_it() -> None:
    about = GENERATION["method"].about
    assert about.options == {"auto": "Automatic"} | {name: row.title for name, row in METHODS.items()}
    for name, row in METHODS.items():
        assert f"{row.title} {row.summary}" in about.help
        assert f"`{name}` {row.description}" in about.description


def test_the_pages_copy_is_what_the_command_writes() -> None:
    written = PAGE.read_text()
    assert written == javascript(), "run: python -m contract.methods > web/js/methods.js"
    rows = json.loads(written[written.index("{") : written.rindex("}") + 1])
    assert {name for name, row in rows.items() if row["refines"]} == {n for n, r in METHODS.items() if r.refines}
    assert {name for name, row in rows.items() if row["byBlocks"]} == {n for n, r in METHODS.items() if r.by_blocks}
