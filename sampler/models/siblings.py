"""The pipelines of diffusers that take a picture and are made of a text-to-image pipeline's parts."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import diffusers
from PIL import Image

from sampler.errors import UnsupportedModel
from sampler.original import Kind, Original, Reference

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers is hardly typed)

# The end of a class's name, in place of "Pipeline".
ENDINGS: dict[Kind, tuple[str, ...]] = {
    "image": ("Img2ImgPipeline",),
    "mask": ("InpaintPipeline", "InpaintingPipeline"),
}


def own_kind(pipeline: type) -> Kind | None:
    """What a pipeline is made from itself; None for text alone."""
    given = signature(pipeline.__call__).parameters
    if "mask_image" in given:
        return "mask"
    return "image" if "image" in given and "strength" in given else None


def takes_references(pipeline: type) -> bool:
    """Whether a pipeline makes a picture from text, and looks at others if it is given some."""
    given = signature(pipeline.__call__).parameters
    return own_kind(pipeline) is None and "prompt" in given and "image" in given and given["image"].default is None


def sibling_class(pipeline: type, kind: Kind) -> Any:
    """The class for a kind of original; None if diffusers has none."""
    name = pipeline.__name__.removesuffix("Pipeline")
    for ending in ENDINGS[kind]:
        made = getattr(diffusers, name + ending, None)
        if isinstance(made, type) and issubclass(made, diffusers.DiffusionPipeline) and own_kind(made) == kind:
            return made
    return None


def kinds(pipeline: type) -> frozenset[Kind]:
    """The kinds of original that a pipeline, or a sibling of it, takes. Where a picture is taken, a mask is, too."""
    if own := own_kind(pipeline):
        return frozenset((own,))
    found = any(sibling_class(pipeline, kind) is not None for kind in ENDINGS)
    return frozenset[Kind](("image", "mask")) if found else frozenset()


def sibling(pipeline: Any, kind: Kind) -> Any:
    """The pipeline for a kind of original, with the same parts.

    Raises:
        UnsupportedModel: there is none.
    """
    made = sibling_class(type(pipeline), kind)
    if made is None:
        what = "a picture" if kind == "image" else "a picture under a mask"
        raise UnsupportedModel(f"{type(pipeline).__name__} has no pipeline that begins with {what}")
    parts: dict[str, Any] = {}
    for name, parameter in signature(made.__init__).parameters.items():
        if name in pipeline.components:
            parts[name] = pipeline.components[name]
        elif name in pipeline.config:
            parts[name] = pipeline.config[name]
        elif name != "self" and parameter.default is parameter.empty:
            raise UnsupportedModel(f"{made.__name__} needs {name}, which {type(pipeline).__name__} does not have")
    found = made(**parts)
    found.set_progress_bar_config(disable=True)
    return found


def blank(width: int, height: int, kind: Kind, strength: float | None) -> Original:
    """An original where the picture does not matter: grey, with the left half painted anew."""
    mask = (b"\xff" * (width // 2) + b"\x00" * (width - width // 2)) * height if kind == "mask" else None
    return Original(width, height, b"\x80" * (3 * width * height), mask, strength)


def referred(references: Sequence[Reference]) -> dict[str, Any]:
    """The argument of a pipeline's `__call__` for what it looks at."""
    return {"image": [Image.frombytes("RGB", (each.width, each.height), each.image) for each in references]}


def arguments(original: Original, pictures: int = 1) -> dict[str, Any]:
    """The arguments of a pipeline's `__call__` for so many pictures."""
    size = (original.width, original.height)
    made: dict[str, Any] = {"image": Image.frombytes("RGB", size, original.image)}
    if original.mask is not None:
        made["mask_image"] = Image.frombytes("L", size, original.mask)
    if pictures > 1:
        made = {name: [picture] * pictures for name, picture in made.items()}
    return made if original.strength is None else made | {"strength": original.strength}
