"""How far a job is, on the terminal: a bar for each image, and their newest pictures."""

from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from cli.terminal import COLUMNS, GAP, ROWS, Drawing, colours, console, side_by_side
from underpaint import Image, IterateEvent, Job

BELOW = 4  # rows that are left for the bars and the line that is typed


class Display:
    """Bars, and pictures if ``draw``, on stderr: stdout holds nothing but the paths of pictures."""

    def __init__(self, draw: bool) -> None:
        self._console = console(err=True)
        self._draw = draw and colours(self._console)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[name]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        # What is printed meanwhile goes above, unless it goes elsewhere: a pipe is none of the display's business.
        self._live = Live(
            self._progress,
            console=self._console,
            transient=True,
            refresh_per_second=5,
            redirect_stdout=console().is_terminal,
        )
        self._bars: dict[int, TaskID] = {}
        self._pictures: dict[int, Drawing] = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._pictures:
            self._console.print(self._shown())

    def job(self, job: Job) -> None:
        """Shows where the job is now."""
        for image in job.images:
            if image.number not in self._bars:
                name = f"seed {image.seed}"
                self._bars[image.number] = self._progress.add_task("", total=None, name=name, figures="")
            self._progress.update(
                self._bars[image.number],
                # Evaluations are what takes the time; the last ones are saved when the image has stopped.
                total=image.evaluations if image.stopped else image.predicted_evaluations,
                completed=image.evaluations,
                figures=_figures(job, image),
            )

    def iterate(self, event: IterateEvent) -> None:
        """Shows that there is another iterate."""
        figures = _iterate(event.iterate, event.residual)
        self._progress.update(self._bars[event.image], completed=event.evaluations, figures=figures)

    def picture(self, image: int, encoded: bytes) -> None:
        """Draws the newest picture of an image, if there is room."""
        width, height = self._console.size
        rows = min(ROWS, height - BELOW - len(self._bars))
        if self._draw and rows > 0 and (image + 1) * (COLUMNS + GAP) <= width:
            self._pictures[image] = Drawing(encoded, COLUMNS, rows)
            self._live.update(Group(self._shown(), self._progress))

    def _shown(self) -> Group:
        return side_by_side([self._pictures[image] for image in sorted(self._pictures)], self._console.width)


def _figures(job: Job, image: Image) -> str:
    if job.state == "queued":
        return f"queued, number {job.queue_position}" if job.queue_position else "queued"
    return "starting" if image.iterate is None else _iterate(image.iterate, image.residual)


def _iterate(number: int, residual: float | None) -> str:
    return f"iterate {number}" + ("" if residual is None else f"  residual {residual:.2g}")
