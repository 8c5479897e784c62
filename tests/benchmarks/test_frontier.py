"""The frontier: what counts as reached, and that the command measures only what is missing."""

import json
import sys

import pytest

from benchmarks import frontier
from benchmarks.frontier_page import BOUNDS, fewest_evaluations, fewest_rounds, figures


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.5, 0.05, 0.2, 0.05, 0.01], (4, 8)),  # it got worse again
        ([0.05, 0.01], (1, 2)),
        ([0.5, 0.05, 0.2], None),
        ([], None),
    ],
)
def test_reached_is_where_it_stays(errors, expected):
    trace = [(n, 2 * n, error) for n, error in enumerate(errors, 1)]
    assert frontier.reached(trace, 0.1) == expected


def test_figures_need_every_sample():
    def result(setting, pairs):
        return {"method": "auto", "setting": setting, "published": True, "reached": {"0.1": pairs}}

    cell = {"results": [result("a", [[2, 9], [4, 11]]), result("b", [[1, 4], None]), result("c", [[5, 6], [5, 6]])]}
    found = figures(cell, "auto", "0.1")
    assert [figure.setting for figure in found] == ["a", "c"]
    assert (fewest_rounds(found).setting, fewest_evaluations(found).setting) == ("a", "c")
    assert fewest_rounds([]) is None


def test_the_command_writes_everything_and_measures_only_what_is_missing(tmp_path, monkeypatch):
    def run(*more):
        arguments = ["--problems", "modes 0.2", "--steps", "9", "--widths", "4", "0", "--samples", "1"]
        monkeypatch.setattr(sys, "argv", ["frontier", str(tmp_path), *arguments, *more])
        frontier.main()
        return json.loads((tmp_path / "frontier.json").read_text())

    first = run()
    assert set(first["cells"]) == {"modes 0.2/9/4/1", "modes 0.2/9/0/1"}
    assert {"torch", "machine"} <= set(first["about"])
    methods = {result["method"] for result in first["cells"]["modes 0.2/9/4/1"]["results"]}
    assert methods == {"auto", "auto, no previews", "srds", "SRDS", "SRDS pipelined", "ParaDiGMS", "ParaTAA", "CHORDS"}
    for cell in first["cells"].values():
        # The serial sampler's rounds are the limit, and within them pipelined SRDS is exact at any width here.
        assert figures(cell, "srds", "0.001")
        assert all(rounds <= 9 for result in cell["results"] for rounds, _, _ in result["ended"])
    page = (tmp_path / "frontier.md").read_text()
    assert "| modes 0.2 | 9 | 8 |" in page
    assert "| all |  | 8 |" in page
    assert all(f"| {bound} | unbounded |" in (tmp_path / "frontier-tables.md").read_text() for bound in BOUNDS)
    assert (tmp_path / "frontier-modes-0.2.png").stat().st_size > 0

    measured = []
    measure = frontier.measure
    monkeypatch.setattr(frontier, "measure", lambda *a: measured.append(a) or measure(*a))
    assert run() == first
    assert run("--known", "--samples", "2") == first, "nothing but what is in the file"
    assert not measured
    assert run("--again", "CHORDS")["cells"].keys() == first["cells"].keys()
    assert {setting.method for _, _, settings, _ in measured for setting in settings} == {"CHORDS"}
