"""How far a job is, on the terminal: one bar for each image."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Bars:
    """Bars on stderr, so that stdout holds nothing but the paths of pictures."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[name]}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bars: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: dict[str, Any]) -> None:
        """Draws the job as it is now."""
        for image in job["images"]:
            if image["number"] not in self._bars:
                name = f"seed {image['seed']}"
                self._bars[image["number"]] = self._progress.add_task("", total=None, name=name, figures="")
            self._progress.update(
                self._bars[image["number"]],
                # Evaluations are what takes the time; the last ones are saved when the image has stopped.
                total=image["evaluations"] if image["stopped"] else image["predicted_evaluations"],
                completed=image["evaluations"],
                figures=_figures(job, image),
            )


def _figures(job: dict[str, Any], image: dict[str, Any]) -> str:
    if job["state"] == "queued":
        return f"queued, number {job['queue_position']}" if job["queue_position"] else "queued"
    if image["iterate"] is None:
        return "starting"
    residual = "" if image["residual"] is None else f"  residual {image['residual']:.2g}"
    return f"iterate {image['iterate']}{residual}"
