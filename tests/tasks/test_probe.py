"""What is reported about the devices of a worker."""

import json
from types import SimpleNamespace

import pytest
import torch

from tasks import probe


@pytest.mark.parametrize(
    ("available", "about"), [(True, ["cuda:1: Card 1, 80 GiB", "cpu"]), (False, ["cuda:1", "cpu"])]
)
def test_a_gpu_is_named_with_its_memory(
    available: bool, about: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def properties(name: str) -> SimpleNamespace:
        return SimpleNamespace(name=f"Card {name.removeprefix('cuda:')}", total_memory=80 * 2**30)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setenv("UNDERPAINT_DEVICE", "cuda:1, cpu")
    probe.main(load=False)
    assert json.loads(capsys.readouterr().out)["about"] == about
