"""What a round with LoRA costs, and to switch from one set to another: ``python -m benchmarks.loras``.

With the shipped model, for `sampler.tuning.LORA_ROUNDS`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.shipped import shipped_model
from sampler import Lora, Model

WIDTHS, REPEATS = (1, 4, 16), 20


def main() -> None:
    """Print the medians, in milliseconds of CPU time."""
    with TemporaryDirectory() as folder:
        model = shipped_model()
        network = shipped_model().pipeline.unet  # pyright: ignore[reportAttributeAccessIssue]
        network.add_adapter(
            LoraConfig(r=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"], init_lora_weights=False)
        )
        weights = {f"unet.{key}": value for key, value in get_peft_model_state_dict(network).items()}
        loras = [Lora(name, str(Path(folder) / f"{name}.safetensors")) for name in ("one", "two")]
        for lora in loras:
            save_file(weights, lora.location)
        plain, one, two = (model.encode("red heart", loras=chosen) for chosen in ((), loras[:1], loras[1:]))
        for width in WIDTHS:
            x, times = torch.randn(width, *model.noise(0, 64, 64).shape), torch.full((width,), 500.0).double()
            bare = _milliseconds(model, x, times, [plain])
            same = _milliseconds(model, x, times, [one])
            both = _milliseconds(model, x, times, [one, two]) / 2
            sys.stdout.write(
                f"width {width:2}: {bare:.1f} ms without LoRA, {same:.1f} with one, {both - same:.1f} more to switch\n"
            )


def _milliseconds(model: Model, x: Tensor, times: Tensor, conditions: Sequence[Any]) -> float:
    """Of CPU time, for a call with each of these conditions."""

    def once() -> float:
        began = process_time()
        for each in conditions:
            model.denoise(x, times, [each] * len(x))
        return (process_time() - began) * 1000

    once()
    return median(once() for _ in range(REPEATS))


if __name__ == "__main__":
    main()
