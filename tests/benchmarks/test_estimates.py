"""The page on estimates: its figures are those of the runs, and it measures what the methods report."""

from typing import Any

import pytest

from benchmarks.estimates import Case, line, measure, page

CASE = Case(0.5, 0, "ddim", 12, 2, (0.05, 0.0))


def unavailable() -> Any:
    pytest.fail("these runs need no shipped model")


def test_runs_are_those_of_the_method_to_its_own_end():
    rows = measure("srds", CASE, unavailable)
    assert [(row["width"], row["tolerance"]) for row in rows] == [
        (width, tolerance) for width in (4, 16) for tolerance in (0.05, 0.05, 0.0, 0.0)
    ]
    for row in rows:
        _, rounds, evaluations, estimate, true = row["iterates"][-1]
        if row["tolerance"]:
            assert 0 < estimate <= row["tolerance"]
            assert true > 1e-6
        else:
            assert estimate == 0
            assert true < 1e-6
        assert rounds <= evaluations
    text = page([row for row in rows if row["tolerance"]])
    assert "| srds | modes 0.5 | 12 | 4 |" in text
    assert "| srds | all | all | 4 |" in text


def test_the_image_of_serial_has_no_error():
    for row in measure("serial", CASE, unavailable):
        assert row["iterates"][-1][3] == 0
        assert row["iterates"][-1][4] < 1e-6


def test_a_line_has_the_figures_of_its_runs():
    def run(tolerance: float, *iterates: tuple[float | None, float]) -> dict[str, Any]:
        return {"tolerance": tolerance, "iterates": [[n, n, n, *each] for n, each in enumerate(iterates)]}

    rows = [
        run(0.01, (None, 0.5), (0.1, 0.05), (0.01, 0.005)),  # half its tolerance; errors of half the estimates
        run(0.01, (None, 0.1), (0.2, 0.2), (0.01, 0.02)),  # twice; its iterate 1 was worse
        run(0.01, (None, 0.5), (0.0, 0.0)),  # exact
        run(0.01, (None, 0.5), (0.01, 0.04)),  # four times
    ]
    cells = [cell.strip() for cell in line("srds | x | 9", rows).strip("|").split("|")]
    assert cells == ["srds", "x", "9", "4", "1.25", "3.70", "4.00", "50.0 %", "75.0 %", "1.00", "3.60", "1 of 6"]
