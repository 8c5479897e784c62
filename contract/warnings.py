"""What of a request does nothing, or less than it says: the answer tells it, and the job runs."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from contract.fields import Generation, Terms


class Warning(BaseModel):
    """A field of a request that does nothing, or less than it says."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    field: str
    """Its name."""
    message: str
    """What happens instead, worded to follow the field's name."""


def foreseen(generation: Generation, terms: Terms) -> Sequence[Warning]:
    """The warnings about a resolved request to a model that can be given before it runs."""
    found: list[Warning] = []
    guided = generation.guidance_scale > 1

    def warn(field: str, message: str) -> None:
        found.append(Warning(field=field, message=message))

    def takes(argument: str) -> bool:
        return terms.arguments is None or argument in terms.arguments

    if not takes("prompt") and not takes("class_labels"):
        warn("prompt", "does nothing: this model takes none")
    if generation.negative_prompt.strip():
        if not takes("negative_prompt"):
            warn("negative_prompt", "does nothing: this model takes none")
        elif terms.arguments is not None and takes("true_cfg_scale"):
            if generation.true_cfg_scale <= 1:
                warn("negative_prompt", "does nothing while true_cfg_scale is 1: raise it")
        elif not guided:
            warn("negative_prompt", "does nothing while guidance_scale is 1: raise it")
    if guided and not takes("guidance_scale"):
        warn("guidance_scale", "does nothing: this model has no guidance")
    if generation.guidance_rescale and not guided:
        warn("guidance_rescale", "does nothing while guidance_scale is 1")
    return found


def sampled_otherwise(solver: str, scheduler: str) -> Warning:
    """A model whose own scheduler has no solver here, in a request that names none."""
    return Warning(field="solver", message=f"is {solver}: the model's own scheduler, {scheduler}, has no solver here")


def cut(field: str, kept: str) -> Warning:
    """A prompt that the text encoder cuts; ``kept`` is the beginning that it takes."""
    shown = kept if len(kept) <= 60 else f"...{kept[-57:]}"
    return Warning(field=field, message=f"is longer than the model's text encoder takes: it is cut after {shown!r}")
