"""Printing to a terminal, or to what is none."""

import io
import sys
from collections.abc import Iterator, Sequence

from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table

UPPER_HALF = "▀"
UNBOUNDED = 100_000  # columns: what programs read is not cut to a width
COLUMNS, ROWS = 32, 16  # of a picture at most: two fit side by side
GAP = 2  # columns between pictures


def console(err: bool = False) -> Console:
    """Of stdout or stderr; nothing that is printed is taken for markup."""
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return Console(stderr=err, highlight=False, emoji=False, markup=False, width=width)


def show(to: Console, what: RenderableType) -> None:
    """Prints it; where programs read, without the blanks at the ends of lines that pad a table."""
    if to.is_terminal:
        to.print(what)
        return
    with to.capture() as captured:
        to.print(what)
    to.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def clean(text: str) -> str:
    """Somebody's text in a line, without what a terminal would take for a command."""
    return "".join(character if character.isprintable() else " " for character in text)


def colours(on: Console) -> bool:
    """Whether a picture can be seen on it: NO_COLOR, pipes and terminals with few colours have none."""
    return on.is_terminal and not on.no_color and on.color_system in ("256", "truecolor")


class Drawing:
    """A picture of half blocks, two pixels a character, as large as fits into so many columns and rows."""

    def __init__(self, encoded: bytes, columns: int = COLUMNS, rows: int = ROWS) -> None:
        with Image.open(io.BytesIO(encoded)) as opened:
            image = opened.convert("RGB")
        scale = min(columns / image.width, 2 * rows / image.height)
        self.width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale / 2))
        small = image.resize((self.width, 2 * height), Image.Resampling.LANCZOS)
        pixels = [Color.from_rgb(*small.getpixel((x, y))) for y in range(2 * height) for x in range(self.width)]  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]
        lines = [pixels[start : start + self.width] for start in range(0, len(pixels), self.width)]
        self._segments = [
            segment
            for above, below in zip(lines[::2], lines[1::2], strict=True)
            for segment in (
                *(Segment(UPPER_HALF, Style(color=a, bgcolor=b)) for a, b in zip(above, below, strict=True)),
                Segment.line(),
            )
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        yield from self._segments

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.width, self.width)


def side_by_side(drawings: Sequence[Drawing], width: int) -> Group:
    """As many in a row as fit into so many columns."""
    rows: list[Table] = []
    at = 0
    while at < len(drawings):
        row, used, cells = Table.grid(padding=(0, GAP, 0, 0)), 0, []
        while at < len(drawings) and (not cells or used + drawings[at].width + GAP <= width):
            used += drawings[at].width + GAP
            cells.append(drawings[at])
            at += 1
        row.add_row(*cells)
        rows.append(row)
    return Group(*rows)
