"""`python -m tasks.probe`: reports as JSON which devices a worker would use, and whether they and the models work.

For `underpaint doctor`, which does not load PyTorch. With ``--load`` every model on this machine is loaded, on the
CPU: a GPU may have no memory left besides that of a running worker.
"""

import json
import sys

import torch

from sampler import load_model
from sampler.errors import UnsupportedModel
from store.catalog import ModelCard, load_catalog
from store.settings import CatalogSettings, WorkerSettings
from tasks.devices import devices, source_of


def main(load: bool) -> None:
    """Print the results: an error or null for each device and each model."""
    names = devices(WorkerSettings().device)
    cards = load_catalog(CatalogSettings().catalog).values() if load else []
    found = {
        "torch": str(torch.__version__),
        "about": [_about(name) for name in names],
        "devices": {name: _device(name) for name in names},
        "models": {card.id: _model(card) for card in cards if card.files.folder is not None or card.files.fault},
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


def _model(card: ModelCard) -> dict[str, str | None]:
    """Why it cannot be loaded, and what a user should know of it."""
    if fault := card.files.fault:
        return {"error": fault, "note": None}
    try:
        substitute = load_model(source_of(card)).substitute()
    except UnsupportedModel as error:
        return {"error": str(error), "note": None}
    note = "sampled as {}: its scheduler {} has no solver here".format(*substitute) if substitute else None
    return {"error": None, "note": note}


if __name__ == "__main__":
    main("--load" in sys.argv)
