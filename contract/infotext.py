"""Generation parameters as text, in the form of the web UI of AUTOMATIC1111 (A1111), which many programs read.

The prompt, a line ``Negative prompt: ...`` if there is one, and a line of ``Name: value`` pairs. Values that hold a
comma, a colon or a line break are quoted as JSON.
"""

import json
import re
from collections.abc import Mapping

from contract.fields import Generation
from contract.words import Solver

SAMPLERS: dict[Solver, tuple[str, ...]] = {
    "ddim": ("DDIM", "ddim"),
    "euler": ("Euler", "k_euler", "euler"),
    "heun": ("Heun", "k_heun", "heun"),
    "dpm++": ("DPM++ 2M", "k_dpmpp_2m", "dpmpp_2m"),
    "unipc": ("UniPC", "uni_pc", "unipc"),
    "ddpm": ("DDPM", "ddpm"),
}
"""A1111's name of each solver, and aliases."""

AUTOMATIC = "Automatic"
"""The model's own solver."""

_NEGATIVE = "Negative prompt:"
_PAIR = re.compile(r'\s*([\w ./-]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_FEWEST_PAIRS = 3  # A1111 takes a last line with fewer for a part of the prompt


def solver_of(name: str) -> Solver | None:
    """The solver that A1111 calls so, with or without the schedule that older names end with; None if there is none."""
    asked = name.strip().lower()
    for schedule in (" karras", " exponential", " polyexponential", " sgm uniform"):
        asked = asked.removesuffix(schedule)
    return next((solver for solver, names in SAMPLERS.items() if asked in map(str.lower, names)), None)


def write(generation: Generation, seed: int, more: Mapping[str, object]) -> str:
    """The parameters of one picture of a job. ``more``: further pairs."""
    pairs: dict[str, object] = {
        "Steps": generation.steps,
        "Sampler": AUTOMATIC if generation.solver is None else SAMPLERS[generation.solver][0],
        "CFG scale": f"{generation.guidance_scale:g}",
        "Seed": seed,
        "Size": f"{generation.width}x{generation.height}",
        "Model": generation.model,
        **({} if generation.strength is None else {"Denoising strength": f"{generation.strength:g}"}),
        **more,
    }
    lines = [generation.prompt]
    if generation.negative_prompt:
        lines.append(f"{_NEGATIVE} {generation.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in pairs.items()))
    return "\n".join(lines)


def read(text: str) -> dict[str, str]:
    """The pairs of such a text, and ``Prompt`` and ``Negative prompt``. A ``Size`` is split into ``Size-1`` and
    ``Size-2``, as A1111 does."""
    *lines, last = text.strip().split("\n")
    pairs = _PAIR.findall(last)
    if len(pairs) < _FEWEST_PAIRS:
        lines, pairs = [*lines, last], []
    prompt: list[str] = []
    negative: list[str] = []
    for line in map(str.strip, lines):
        if line.startswith(_NEGATIVE):
            negative.append(line.removeprefix(_NEGATIVE).strip())
        else:
            (negative or prompt).append(line)
    found = {"Prompt": "\n".join(prompt), "Negative prompt": "\n".join(negative)}
    for name, value in pairs:
        plain = _unquoted(value.strip())
        if size := re.fullmatch(r"(\d+)x(\d+)", plain):
            found |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            found[name] = plain
    return found


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if set(",:\n") & set(text) else text


def _unquoted(value: str) -> str:
    if not (value.startswith('"') and value.endswith('"')):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
