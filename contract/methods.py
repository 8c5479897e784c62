"""The table of methods: what a request may say with each, and what the page and a refinement must know about it.

``sampler.methods`` has the methods themselves. `python -m contract.methods > web/js/methods.js` writes the page's copy.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from contract.words import Method, SampledBy

REFERENCE: SampledBy = "serial"
"""The method that all others are compared with. Its image is exact."""


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """One row of the table.

    Attributes:
        title: its name in a form.
        summary: what it does, in a few words that follow its title.
        description: the same for the API's document, after its name; in Markdown.
        takes: the fields of a request that it takes and other methods do not.
        refines: whether an image that has converged leaves a checkpoint to continue from, to a lower error.
        by_blocks: whether its iterates refine the blocks of the grid as Parareal does: block i of iterate p needs block
            i of iterate p - 1, and the first p blocks of iterate p are exact. The page draws that; for the others it
            shows the rounds.
    """

    title: str
    summary: str
    description: str
    takes: frozenset[str] = frozenset()
    refines: bool = False
    by_blocks: bool = False


METHODS: Mapping[SampledBy, MethodInfo] = {
    "collocation": MethodInfo(
        title="Collocation",
        summary="evaluates the model at a few steps, and interpolates the others",
        description="evaluates the model at a few of the steps and interpolates its predictions at the others, until "
        "the estimated error is within the `tolerance`; it takes no `blocks` or `max_iterations`",
        takes=frozenset({"tolerance"}),
        refines=True,
    ),
    "srds": MethodInfo(
        title="SRDS",
        summary="refines all blocks in parallel",
        description="refines all of the picture's blocks in parallel and gives a whole picture with every iterate",
        takes=frozenset({"blocks", "tolerance", "max_iterations"}),
        refines=True,
        by_blocks=True,
    ),
    "serial": MethodInfo(
        title="Serial",
        summary="takes one step after the other, from noise to picture",
        description="is the plain sampler, which takes no `tolerance` either",
    ),
}


def methods_of(field: str) -> tuple[Method, ...]:
    """The methods that take a field: all, if no row of the table names it. ``auto`` takes every field."""
    takers = [name for name, row in METHODS.items() if field in row.takes]
    return tuple(name for name in get_args(Method) if name == "auto" or not takers or name in takers)


def javascript() -> str:
    """web/js/methods.js."""
    rows = {
        name: {"title": row.title, "summary": row.summary, "refines": row.refines, "byBlocks": row.by_blocks}
        for name, row in METHODS.items()
    }
    return (
        "// What the page must know about each method. Written by `python -m contract.methods > web/js/methods.js`.\n\n"
        f"export const METHODS = {json.dumps(rows, indent=2)};\n"
    )


if __name__ == "__main__":
    sys.stdout.write(javascript())
