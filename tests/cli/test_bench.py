"""`underpaint bench`: every method beside the serial sampler, on a model of the catalogue."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contract.methods import METHODS
from tasks import bench
from tests.api.serving import environment


@pytest.mark.slow
def test_it_measures_every_method_and_saves_the_figures(tmp_path: Path):
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "cli", "bench", "--steps", "4", "--pairs", "1", "-o", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    rows = json.loads(file.read_text())
    assert [row["method"] for row in rows] == [
        "serial",
        *(name for name in METHODS if name != "serial"),
        "auto",
        "auto",
    ]
    assert len(ran.stdout.splitlines()) == 2 + len(rows)
    exact = rows[-1]
    assert exact["tolerance"] == 0
    assert exact["error"] < 1e-5
    assert 0 < exact["first"] <= exact["all"]
    assert rows[1]["first"] < rows[1]["all"]  # the coarse solution of SRDS comes before the image


def test_a_model_that_is_not_in_the_catalogue_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--model", "no-such"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "no model no-such: choose one of emoji" in capsys.readouterr().err
