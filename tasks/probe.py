"""`python -m tasks.probe`: reports as JSON which devices a worker would use, and whether they and the models work.

For `underpaint doctor`, which does not load PyTorch. With ``--load`` every model in a local folder is loaded, on the
CPU: a GPU may have no memory left besides that of a running worker.
"""

import json
import sys

import torch

from sampler import load_model
from sampler.errors import UnsupportedModel
from store.catalog import load_catalog
from store.settings import CatalogSettings, WorkerSettings
from tasks.devices import devices


def main(load: bool) -> None:
    """Print the results: an error or null for each device and each model."""
    names = devices(WorkerSettings().device)
    cards = load_catalog(CatalogSettings().catalog).values() if load else []
    found = {
        "torch": str(torch.__version__),
        "about": [_about(name) for name in names],
        "devices": {name: _device(name) for name in names},
        "models": {card.id: _model(card.location) for card in cards if card.location.startswith("/")},
    }
    sys.stdout.write(json.dumps(found))


def _about(name: str) -> str:
    if not name.startswith("cuda") or not torch.cuda.is_available():
        return name
    properties = torch.cuda.get_device_properties(name)
    return f"{name}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _device(name: str) -> str | None:
    try:
        torch.zeros(1, device=name).add_(1)
    except (RuntimeError, AssertionError) as error:  # "not compiled with CUDA" is an assertion
        return str(error).partition("\n")[0]
    return None


def _model(location: str) -> str | None:
    try:
        load_model(location)
    except UnsupportedModel as error:
        return str(error)
    return None


if __name__ == "__main__":
    main("--load" in sys.argv)
