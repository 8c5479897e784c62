"""Prompts that are longer than a model's text encoders take, found by the tokenizers of its pipeline."""

import inspect
from collections.abc import Sequence
from typing import Any

from contract.fields import Generation
from contract.warnings import Warning, cut


def warnings(model: Any, generation: Generation) -> Sequence[Warning]:
    """A warning for each prompt of which every text encoder of the model leaves out the end. None for a model that
    has no tokenizers of its own here, such as one that runs in other processes."""
    pipeline = getattr(model, "pipeline", None)
    tokenizers = [
        tokenizer
        for name in ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4")
        if (tokenizer := getattr(pipeline, name, None)) is not None
    ]
    if not tokenizers:
        return ()
    found: list[Warning] = []
    for field in ("prompt", "negative_prompt"):
        text: str = getattr(generation, field)
        begun = max((kept(pipeline, tokenizer, text) for tokenizer in tokenizers), key=len)
        if len(begun.strip()) < len(text.strip()):
            found.append(cut(field, begun.strip()))
    return found


def kept(pipeline: Any, tokenizer: Any, text: str) -> str:
    """The beginning of a text that fits."""
    longest = tokenizer.model_max_length
    if not _is_clip(tokenizer):  # pipelines name the length for the others
        parameter = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
        if parameter is not None and isinstance(parameter.default, int):
            longest = parameter.default
    tokens = tokenizer(text, truncation=False, add_special_tokens=True, verbose=False)
    if len(tokens.input_ids) <= longest:
        return text
    # The longest beginning that fits; the tokens of a beginning are no more than those of the whole.
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        ids = tokenizer(text[:middle], truncation=False, add_special_tokens=True, verbose=False).input_ids
        low, high = (middle, high) if len(ids) <= longest else (low, middle - 1)
    return text[:low]


def _is_clip(tokenizer: Any) -> bool:
    return type(tokenizer).__name__.startswith("CLIP")
