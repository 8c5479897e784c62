"""Draw the schedule of pipelined SRDS: `python -m benchmarks.schedule docs/schedule.png`.

What is drawn is what the trajectory offers, round by round; nothing is computed but the bookkeeping.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from sampler import DDIM, Grid, Parareal
from sampler.methods.srds import dataflow

STEPS, BLOCKS, LAST = 25, 5, 3
CELL, LEFT, TOP, GAP = 22, 96, 34, 46
COLORS = ["#8d99ae", "#2a9d8f", "#e9c46a", "#e76f51", "#6d597a"]


@dataclass(frozen=True)
class Cell:
    """One evaluation: in which round, of which block, for which iterate, and whether it is the shared one."""

    round: int
    block: int
    iterate: int
    shared: bool


def schedule(width: int) -> tuple[list[Cell], list[int]]:
    """The evaluations of one trajectory, `width` a round, and the round in which each iterate is complete."""
    ones = torch.ones(STEPS).double()
    solver = DDIM(Grid(ones, ones, ones, ones, ones))
    trajectory = Parareal(solver, torch.ones(1, 1, 1), blocks=BLOCKS, max_iterations=LAST)
    cells: list[Cell] = []
    complete: list[int] = []
    seen: set[object] = set()
    while chosen := trajectory.ready()[:width]:
        for evaluation in chosen:
            block, iterate = evaluation.key  # pyright: ignore[reportGeneralTypeIssues]
            cells.append(Cell(trajectory.rounds, block, iterate, evaluation.key not in seen))
            seen.add(evaluation.key)
        complete += [trajectory.rounds for _ in trajectory.take(chosen, torch.zeros(len(chosen), 1, 1, 1))]
    return cells, complete


def panel(pen: ImageDraw.ImageDraw, y: int, title: str, cells: list[Cell], complete: list[int]) -> None:
    """One schedule: a row a block and stacked within it a lane an iterate, a column a round."""
    lane = CELL // 2
    pen.text((LEFT, y), title, "#222", font_size=15)
    y += 26
    height = BLOCKS * (LAST + 1) * lane
    for block in range(BLOCKS):
        top = y + block * (LAST + 1) * lane
        pen.text((12, top + lane), f"block {block}", "#444", font_size=13)
        pen.line((LEFT, top, LEFT + (max(c.round for c in cells) + 1) * CELL, top), "#ddd")
    for cell in cells:
        x = LEFT + cell.round * CELL
        top = y + (cell.block * (LAST + 1) + cell.iterate) * lane
        outline = "#000" if cell.shared else None
        pen.rectangle((x + 1, top + 1, x + CELL - 2, top + lane - 2), COLORS[cell.iterate], outline)
    for iterate, round_ in enumerate(complete):
        x = LEFT + round_ * CELL
        pen.line((x, y, x, y + height + 4), COLORS[iterate], 2)
        pen.text((x, y + height + 12), f"{iterate}: {round_}", COLORS[iterate], anchor="mm", font_size=12)


def draw() -> Image.Image:
    """The schedule at unbounded and at narrow width, below each other."""
    panels = [(width, *schedule(width)) for width in (10**6, 4)]
    height = TOP + len(panels) * (BLOCKS * (LAST + 1) * (CELL // 2) + 26 + GAP)
    columns = max(cell.round for _, cells, _ in panels for cell in cells) + 2
    picture = Image.new("RGB", (LEFT + columns * CELL, height), "white")
    pen = ImageDraw.Draw(picture)
    expected = [dataflow.rounds([STEPS // BLOCKS] * BLOCKS, p) for p in range(LAST + 1)]
    y = 10
    for width, cells, complete in panels:
        name = "unbounded" if width == 10**6 else str(width)
        if name == "unbounded":
            assert complete == expected, (complete, expected)
        panel(pen, y, f"N = {STEPS}, B = {BLOCKS}, width {name}", cells, complete)
        y += BLOCKS * (LAST + 1) * (CELL // 2) + 26 + GAP
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    draw().save(parser.parse_args().out)


if __name__ == "__main__":
    main()
