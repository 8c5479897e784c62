"""Output to a terminal, a file or a pipe."""

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
UNBOUNDED = 100_000  # columns: output for programs is not cut to a width
COLUMNS, ROWS = 32, 16  # the largest size of a picture: two fit side by side in 80 columns
GAP = 2  # columns between pictures


def console(err: bool = False) -> Console:
    """The console of stdout or stderr, without markup."""
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return Console(stderr=err, highlight=False, emoji=False, markup=False, width=width)


def show(on: Console, content: RenderableType) -> None:
    """Prints ``content``; outside a terminal without the padding at the ends of lines."""
    if on.is_terminal:
        on.print(content)
        return
    with on.capture() as captured:
        on.print(content)
    on.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def clean(text: str) -> str:
    """A text of a user in one line, without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def percent(error: float) -> str:
    """A relative error in percent, with two significant digits."""
    return f"{100 * error:.2g}%"


def can_draw(on: Console) -> bool:
    """Whether the console has enough colours for a picture: a terminal with 256 or more, and no NO_COLOR."""
    return on.is_terminal and not on.no_color and on.color_system in ("256", "truecolor")


class Drawing:
    """A picture made of half blocks, two pixels per character, as large as fits into the columns and rows."""

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
    """The drawings in rows, each of which fits into ``width`` columns."""
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
