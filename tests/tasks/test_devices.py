"""The device setting, and an engine whose model has several."""

import multiprocessing
from queue import SimpleQueue

import pytest
import torch

from sampler import Parareal, Status
from sampler.replicas import Replicas
from store.catalog import Catalog
from tasks.devices import devices
from tasks.engines import EngineThread, ImageBatch, ImageUpdate
from tasks.metrics import Metrics


def test_every_cuda_device_is_used_and_the_cpu_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, names in [(0, ["cpu"]), (1, ["cuda"]), (3, ["cuda:0", "cuda:1", "cuda:2"])]:
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda count=count: count > 0)
        assert devices("auto") == names


@pytest.mark.parametrize(
    ("setting", "names"), [("cpu", ["cpu"]), ("cuda:1", ["cuda:1"]), ("cuda:0, cuda:2", ["cuda:0", "cuda:2"])]
)
def test_the_setting_names_the_devices(setting: str, names: list[str]) -> None:
    assert devices(setting) == names


@pytest.mark.slow
def test_an_engine_with_two_replicas_makes_pictures_and_ends_them_with_itself(catalog: Catalog) -> None:
    thread = EngineThread(catalog["emoji"], 8, "cpu,cpu", Metrics())
    thread.start()
    updates: SimpleQueue[ImageUpdate] = SimpleQueue()
    batch = ImageBatch(
        (0,),
        lambda model, *_: {
            0: (model.encode("red heart", "", 3.0), Parareal(model.solver(4), model.noise(7, 64, 64), blocks=2))
        },
        updates.put,
    )
    thread.add(batch)
    while (update := updates.get(timeout=100)).status is Status.RUNNING:
        pass
    assert update.status is Status.EXACT
    assert isinstance(thread.model, Replicas)
    assert len(thread.model.pids) == 2
    assert thread.model.decode(update.iterates[-1].sample[None]).shape == (1, 64, 64, 3)
    thread.close()
    thread.join(10)
    assert multiprocessing.active_children() == []
