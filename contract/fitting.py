"""Requests of other APIs, fitted to a model: what it cannot make becomes the nearest that it can, with a warning."""

from contract.fields import Limits
from contract.warnings import Warning


def nearest_side(side: float, limits: Limits) -> int:
    """The width or height in pixels that the model makes and that is nearest to ``side``."""
    step = limits.multiple_of
    least, most = -(-limits.min_size // step) * step, limits.max_size // step * step
    return int(min(max(round(side / step) * step, least), most))


def cut_prompt(field: str, prompt: str, model: str, limits: Limits) -> tuple[str, list[Warning]]:
    """The beginning of ``prompt`` that a request to this model may have."""
    most = limits.max_prompt_characters
    if len(prompt) <= most:
        return prompt, []
    return prompt[:most], [Warning(field=field, message=f"is cut after {most} characters, the most that {model} takes")]


def not_made(field: str, model: str, made: object) -> Warning:
    """The model makes the nearest value, ``made``, instead."""
    return Warning(field=field, message=f"is {made}, the nearest that {model} makes")
