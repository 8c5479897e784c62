"""API, worker and beat as `underpaint` runs them, with their metrics served and their logs as JSON."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.api.serving import environment
from tests.until import until

PARTS = ("api", "worker", "beat")

T = TypeVar("T")

Sample = tuple[str, frozenset[tuple[str, str]]]


class Metrics:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._samples: dict[Sample, float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float | None:
        """The sample with this name and exactly these labels; None if there is none."""
        return self._samples.get((name, frozenset(labels.items())))

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all samples with this name and at least these labels."""
        return sum(
            value for (other, theirs), value in self._samples.items() if other == name and labels.items() <= theirs
        )


class Processes:
    """The running processes."""

    def __init__(self, folder: Path, api: str) -> None:
        self._folder = folder
        self.client = httpx.Client(base_url=api, trust_env=False, timeout=30)

    def scrape(self, part: str) -> Metrics:
        """The current metrics of one part."""
        if part == "api":
            response = self.client.get("/metrics")
        else:
            (at,) = [line["message"] for line in self.lines(part) if line["message"].startswith("metrics at ")]
            response = httpx.get(at.removeprefix("metrics at "), trust_env=False)
        assert response.status_code == 200, response.text
        return Metrics(response.text)

    def lines(self, part: str) -> list[dict[str, Any]]:
        """The log of one part; each line is a JSON object."""
        text = (self._folder / part).read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def raw(self) -> str:
        """All logs, unparsed."""
        return "\n".join(f"--- {part}\n{(self._folder / part).read_text()}" for part in PARTS)

    def until(self, look: Callable[[], T | None]) -> T:
        """Wait until ``look`` returns something true, and return that."""
        return until(look, why=self.raw)


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Processes]:
    """Run the processes until the context ends."""
    observing = {"LOG_FORMAT": "json", "WORKER_METRICS_PORT": "0", "BEAT_METRICS_PORT": "0", "HEARTBEAT_SECONDS": "0.5"}
    settings |= {f"UNDERPAINT_{name}": value for name, value in observing.items()}
    children: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for part in PARTS:
            fds = [listener.fileno()] if part == "api" else []
            command = [sys.executable, "-P", "-m", "cli", part, *(word for fd in fds for word in ("--fd", str(fd)))]
            with (folder / part).open("wb") as log:
                children.append(
                    subprocess.Popen(
                        command,
                        env=environment(PYTHONPATH=str(Path(__file__).parents[2]), OMP_NUM_THREADS="1", **settings),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        pass_fds=fds,
                        cwd=folder,
                    )
                )
        processes = Processes(folder, "http://{}:{}".format(*listener.getsockname()))
        try:
            with processes.client as client:
                processes.until(lambda: client.get("/readyz").is_success)
                yield processes
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(30)
