"""From the device setting to a loaded model: in this process for one device, in replicas for several."""

from functools import partial

import torch
from celery.utils.log import get_logger

from sampler import Model, Source, UnsupportedModel, load_model
from sampler.replicas import Replicas
from store.catalog import ModelCard

log = get_logger(__name__)


def load(card: ModelCard, setting: str) -> Model:
    """Load the model of a catalogue entry onto the devices of the setting.

    Raises:
        Exception: it could not be loaded on any of them.
    """
    if fault := card.files.fault:
        raise UnsupportedModel(fault)
    names, dtype = devices(setting), dtype_of(card, setting)
    log.info("loading model %s from %s (%s, %s)", card.id, card.location, ", ".join(names), dtype)
    source = source_of(card)
    allowed = allowed_of(source)
    loads = [partial(load_model, source, name, getattr(torch, dtype), allowed=allowed) for name in names]
    if len(names) == 1:
        model = loads[0]()
        if substitute := model.substitute():
            log.warning("model %s is sampled as %s: its scheduler %s has no solver here", card.id, *substitute)
        return model
    return Replicas(
        loads,
        threads=max(1, torch.get_num_threads() // len(names)),
        report=lambda line: log.warning("model %s: %s", card.id, line),
    )


def allowed_of(source: Source) -> list[str]:
    """What of the hub may be fetched for a source of the operator's catalogue: what it names, and nothing else."""
    return [place for place in (source.location, source.base) if place]


def dtype_of(card: ModelCard, setting: str) -> str:
    """That of the card; "auto" is float32 on a CPU, and on a GPU bfloat16, or float16 on one that is too old for it."""
    if card.dtype != "auto":
        return card.dtype
    if not devices(setting)[0].startswith("cuda"):
        return "float32"
    return "bfloat16" if torch.cuda.get_device_capability(devices(setting)[0]) >= (8, 0) else "float16"


def source_of(card: ModelCard) -> Source:
    """Where the model of a catalogue entry comes from."""
    quantization = card.quantization.model_dump(exclude_none=True) if card.quantization else {}
    return Source(card.location, card.base_location, card.variant, card.revision, quantization)


def devices(setting: str) -> list[str]:
    """The names of the devices: for "auto" every CUDA device, or the CPU without one; else those of the setting."""
    if setting != "auto":
        return [name.strip() for name in setting.split(",")]
    found = torch.cuda.device_count()
    if found > 1:
        return [f"cuda:{n}" for n in range(found)]
    return ["cuda"] if torch.cuda.is_available() else ["cpu"]
