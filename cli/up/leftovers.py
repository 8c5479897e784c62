"""Which processes an `up` has started, on disk, so that they are found and stopped even if it was killed.

The record is read by the guardian, which outlives a killed `up` by moments, and by the next `up`, in case that both
were killed. A process is known by its id and the time of its start: an id alone may have been given to another one.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Process:
    """A process that was started, and how it wants to be stopped.

    Attributes:
        name: what people call it.
        pid, created: its id, and when it started (s since 1970).
        stop_signal: what tells it to stop.
        patience: how long it may take over that, in seconds, before it is killed.
    """

    name: str
    pid: int
    created: float
    stop_signal: int
    patience: float

    def find(self) -> psutil.Process | None:
        """The process, if it still runs. (A zombie does not: it only waits for its parent to look.)"""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def stop(self) -> None:
        """Returns when it is gone; one that took too long is killed, with every process of its group."""
        with suppress(ProcessLookupError):
            if self.find():
                os.kill(self.pid, self.stop_signal)
            if not self._gone_within(self.patience):
                os.killpg(self.pid, signal.SIGKILL)
                self._gone_within(5)

    def _gone_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.find():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


class Record:
    """The file that names the processes of one data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, url: str, processes: Iterable[Process]) -> None:
        """Puts down what runs now: its address and the processes, in the order in which to stop them."""
        content = {"pid": os.getpid(), "url": url, "processes": [asdict(process) for process in processes]}
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(content, indent=2))
        fresh.replace(self.path)

    def processes(self) -> list[Process]:
        """What was put down last, whether it still runs or not."""
        return [Process(**process) for process in self._read().get("processes", [])]

    @property
    def url(self) -> str | None:
        """The address that was put down last."""
        return self._read().get("url") or None

    def describe(self) -> str:
        """Who wrote the record, in a few words."""
        content = self._read()
        return f"process {content['pid']}, at {content['url']}" if content else "still starting"

    def stop_all(self, tell: Callable[[str], None]) -> None:
        """Stops all that is left, in order; ``tell`` hears of each."""
        for process in self.processes():
            if process.find():
                tell(f"Stopping {process.name} (process {process.pid}), left behind by a run that was killed")
                process.stop()

    def _read(self) -> dict:
        try:
            return json.loads(self.path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
