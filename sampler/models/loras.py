"""LoRA on a pipeline: which are loaded, and which take part.

PEFT puts a layer around each layer that a LoRA changes, and adds what the active ones contribute as it computes. So
one copy of the network serves every set, and to switch is to set a few numbers.
"""

import threading
import warnings
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from sampler.denoiser import Lora

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (diffusers is hardly typed)

# LoRA that stay in memory at most. One of Stable Diffusion XL takes 20 to 900 MB; loading one again takes seconds.
KEPT = 8


class Loras:
    """The LoRA of one pipeline. Any thread may use it."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._names: OrderedDict[str, str] = OrderedDict()  # of those that are loaded, by their files
        self._count = 0
        self._active: tuple[Lora, ...] | None = ()
        self._users = 0
        self._changed = threading.Condition()

    @contextmanager
    def using(self, wanted: Sequence[Lora]) -> Generator[None]:
        """Let these take part, and no others, while the block runs. Threads that want the same set run at once.

        Raises:
            ValueError: one of them cannot be loaded, or does not fit the model.
        """
        wanted = tuple(wanted)
        with self._changed:
            self._changed.wait_for(lambda: self._active == wanted or not self._users)
            if self._active != wanted:
                self._switch(wanted)
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @property
    def loaded(self) -> list[str]:
        """The files of those that are in memory, the least recently used first."""
        return list(self._names)

    def _switch(self, wanted: tuple[Lora, ...]) -> None:
        self._active = None  # until it has succeeded
        with torch.inference_mode(False):
            names = [self._name(lora) for lora in wanted]
            if names:
                self._pipeline.enable_lora()
                self._pipeline.set_adapters(names, [lora.scale for lora in wanted])
            elif self._names:
                self._pipeline.disable_lora()
            self._drop({lora.location for lora in wanted})
        self._active = wanted

    def _name(self, lora: Lora) -> str:
        """PEFT's name of a LoRA, which is loaded if it is not yet."""
        if lora.location not in self._names:
            self._names[lora.location] = self._load(lora)
        self._names.move_to_end(lora.location)
        return self._names[lora.location]

    def _load(self, lora: Lora) -> str:
        file = Path(lora.location)
        if not hasattr(self._pipeline, "load_lora_weights"):
            raise ValueError(f"{type(self._pipeline).__name__} takes no LoRA")
        if file.suffix != ".safetensors":
            raise ValueError(f"LoRA {lora.name} is not a .safetensors file")
        self._count += 1
        name = f"lora{self._count}"
        try:
            with _quiet():
                self._pipeline.load_lora_weights(
                    str(file.parent), weight_name=file.name, adapter_name=name, local_files_only=True
                )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            self._delete(name)
            raise ValueError(f"LoRA {lora.name} does not fit this model: {error}") from error
        if name not in {each for part in self._pipeline.get_list_adapters().values() for each in part}:
            raise ValueError(f"LoRA {lora.name} has no weights for this model")
        return name

    def _drop(self, used: set[str]) -> None:
        """Unload the least recently used beyond `KEPT`."""
        for location in [each for each in self._names if each not in used][: max(0, len(self._names) - KEPT)]:
            self._delete(self._names.pop(location))

    def _delete(self, name: str) -> None:
        if name in {each for part in self._pipeline.get_list_adapters().values() for each in part}:
            with _quiet():
                self._pipeline.delete_adapters(name)


@contextmanager
def _quiet() -> Generator[None]:
    """What PEFT and diffusers say about several LoRA on one model, and about one without weights of a text encoder."""
    from diffusers.utils import logging

    shown = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")
            warnings.filterwarnings("ignore", "Adapter .* was active which is now deleted")
            yield
    finally:
        logging.set_verbosity(shown)
