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
    names, dtype = devices(setting), getattr(torch, card.dtype)
    log.info("loading model %s from %s (%s, %s)", card.id, card.location, ", ".join(names), card.dtype)
    # What the operator's catalogue names is allowed, and nothing else of the hub.
    source = source_of(card)
    allowed = [place for place in (source.location, source.base) if place]
    loads = [partial(load_model, source, name, dtype, allowed=allowed) for name in names]
    if len(names) == 1:
        model = loads[0]()
        if note := getattr(getattr(model, "process", None), "note", None):
            log.warning("model %s is %s", card.id, note)
        return model
    return Replicas(
        loads,
        threads=max(1, torch.get_num_threads() // len(names)),
        report=lambda line: log.warning("model %s: %s", card.id, line),
    )


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
