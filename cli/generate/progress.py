"""The progress of a job in the terminal: a bar and the newest picture of each image."""

from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from cli.terminal import COLUMNS, GAP, ROWS, Drawing, can_draw, console, percent, side_by_side
from underpaint import Image, IterateEvent, Job

RESERVED = 4  # rows below the pictures, besides the bars


class Display:
    """Bars and, if ``draw``, pictures, on stderr: stdout is for the paths of the pictures."""

    def __init__(self, draw: bool) -> None:
        self._console = console(err=True)
        self._draw = draw and can_draw(self._console)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[name]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        # In a terminal, rich prints the paths above the bars. A pipe gets them directly.
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
            self._console.print(self._drawings())

    def job(self, job: Job) -> None:
        """Shows the current state of the job."""
        for image in job.images:
            if image.number not in self._bars:
                name = f"seed {image.seed}"
                self._bars[image.number] = self._progress.add_task("", total=None, name=name, figures="")
            self._progress.update(
                self._bars[image.number],
                # Evaluations are a measure of the time. The final count is known when the image has stopped.
                total=image.evaluations if image.stopped else image.predicted_evaluations,
                completed=image.evaluations,
                figures=_figures(job, image),
            )

    def iterate(self, event: IterateEvent) -> None:
        """Shows a new iterate."""
        figures = _iterate(event.iterate, event)
        self._progress.update(self._bars[event.image], completed=event.evaluations, figures=figures)

    def picture(self, image: int, encoded: bytes) -> None:
        """Draws the newest picture of an image, if there is room."""
        width, height = self._console.size
        rows = min(ROWS, height - RESERVED - len(self._bars))
        if self._draw and rows > 0 and (image + 1) * (COLUMNS + GAP) <= width:
            self._pictures[image] = Drawing(encoded, COLUMNS, rows)
            self._live.update(Group(self._drawings(), self._progress))

    def _drawings(self) -> Group:
        return side_by_side([self._pictures[image] for image in sorted(self._pictures)], self._console.width)


def _figures(job: Job, image: Image) -> str:
    if job.state == "queued":
        return f"queued, number {job.queue_position}" if job.queue_position else "queued"
    if job.preparing is not None:
        return f"loading the model, {job.preparing:.0%}"
    return "starting" if image.iterate is None else _iterate(image.iterate, image)


def _iterate(number: int, of: IterateEvent | Image) -> str:
    residual = "" if of.residual is None else f"  residual {of.residual:.2g}"
    error = "" if of.error_estimate is None else f"  estimated error {percent(of.error_estimate)}"
    return f"iterate {number}{residual}{error}"
