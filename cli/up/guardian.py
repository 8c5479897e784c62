"""The processes that an `up` has started, recorded on disk, and the guardian that stops them if `up` is killed.

`up` starts `python -m cli.up.guardian RECORD` first, and holds the other end of its standard input. That pipe closes
when `up` ends, even by SIGKILL. After a normal stop the record is empty, and nothing is left to do. The next `up` reads
the record as well, in case the guardian was killed too. A process is identified by its id and the time of its start:
the operating system gives the id of an ended process to new ones.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Process:
    """A process that was started, and how to stop it.

    Attributes:
        name: for people.
        pid, created: its id, and the time of its start (s since 1970).
        stop_signal: the signal that stops it.
        patience: the seconds after which it is killed instead.
    """

    name: str
    pid: int
    created: float
    stop_signal: int
    patience: float

    def find(self) -> psutil.Process | None:
        """The process, if it still runs. A zombie does not run: it only waits for its parent to read its exit code."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def stop(self) -> None:
        """Stops it and waits. If it takes too long, it is killed. Every other process of its group is."""
        with suppress(ProcessLookupError):
            if self.find():
                os.kill(self.pid, self.stop_signal)
            ended = self._ends_within(self.patience)
            os.killpg(self.pid, signal.SIGKILL)  # it, or what it has left of its process group
            if not ended:
                self._ends_within(5)

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.find():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


class Record:
    """The file that lists the processes of one data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, url: str, processes: Iterable[Process]) -> None:
        """Replaces the record by what runs now: the URL, and the processes in the order in which to stop them.

        Raises:
            OSError: it cannot be written. The old record is still there.
        """
        content = {"pid": os.getpid(), "url": url, "processes": [asdict(process) for process in processes]}
        new = self.path.with_suffix(".new")
        try:
            new.write_text(json.dumps(content, indent=2))
            new.replace(self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def processes(self) -> list[Process]:
        """The recorded processes, whether they still run or not."""
        return [Process(**process) for process in self._read().get("processes", [])]

    @property
    def url(self) -> str | None:
        """The recorded URL."""
        return self._read().get("url") or None

    def describe(self) -> str:
        """Who wrote the record, for people."""
        content = self._read()
        return f"process {content['pid']}, at {content['url']}" if content else "still starting"

    def stop_all(self, report: Callable[[str], None]) -> None:
        """Stops the recorded processes that still run, in order; ``report`` is called with a line about each."""
        for process in self.processes():
            if process.find():
                report(f"Stopping {process.name} (process {process.pid}), left behind by a run that was killed")
                process.stop()

    def _read(self) -> dict:
        try:
            return json.loads(self.path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # those are for `up`, whose end this process waits for
    record = Record(Path(sys.argv[1]))
    sys.stdin.buffer.read()
    record.stop_all(lambda line: None)


if __name__ == "__main__":
    main()
