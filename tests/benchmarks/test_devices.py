"""Simulated devices: the number of rounds is that of the formula, and each naps as often; the command writes files."""

import json
import sys
import time

import pytest
import torch

from benchmarks import devices
from benchmarks.problems import Anything
from sampler import predict


@pytest.mark.parametrize(("number", "evaluations", "naps"), [(1, 3, 3), (4, 4, 1), (4, 5, 2)])
def test_a_round_takes_as_long_as_its_fullest_device(number, evaluations, naps):
    simulated = devices.Devices(number, latency=0.01)
    began = time.perf_counter()
    simulated.denoise(torch.zeros(evaluations, 1, 1, 1), torch.zeros(evaluations), [Anything()] * evaluations)
    assert time.perf_counter() - began >= 0.01 * naps


@pytest.mark.parametrize("iterate", [1, 2, 4])
def test_rounds_are_those_of_the_formula_where_no_device_is_missing(iterate):
    *_, rounds, evaluations = devices.timed(devices.Devices(16, latency=0), 16, 4, iterate)
    expected = predict(16, 4, iterate, 16, last=iterate)
    assert (rounds, evaluations) == (expected.rounds, expected.evaluations)


def test_the_command_writes_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["devices", str(tmp_path), "--steps", "9", "--devices", "1", "4", "--latency", "0"]
    )
    devices.main()
    found = json.loads((tmp_path / "devices.json").read_text())
    assert [row["devices"] for row in found["rows"]] == [1, 4, 9]
    assert {"torch", "machine", "load"} <= found["about"].keys()
    page = (tmp_path / "devices.md").read_text()
    assert "| 4 |" in page
    assert found["about"]["torch"] in page
