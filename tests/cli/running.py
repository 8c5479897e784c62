"""`underpaint up` as a process, and what it leaves behind."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

COMMAND = [sys.executable, "-m", "cli"]


def environment(**settings: str) -> dict[str, str]:
    """This process's environment, without any settings of Underpaint but these."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}, **settings}


def processes_of(folder: Path) -> list[str]:
    """Every process that has to do with a data directory, by its command line, its environment or where it is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            signs = [*process.cmdline(), *process.environ().values(), process.cwd()]
            if any(str(folder) in sign for sign in signs):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


class Up:
    """A running `underpaint up` on ``folder`` and a free port, with these settings. As a context it ends with it."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        self.output = folder.parent / f"{folder.name}.output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--data-dir", str(folder), *(options or ("--port", "0"))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(**settings),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)

    def ready(self) -> str:
        """Waits until it says that it is ready; returns the address that it gives."""
        page = r"Page +(http://\S+)/\s"
        return re.findall(page, self.wait_for(page))[-1]

    def wait_for(self, pattern: str, seconds: float = 60) -> str:
        """Waits until it has said something, or has ended; returns all that it has said."""
        end = time.monotonic() + seconds
        while not re.search(pattern, said := self.output.read_text()):
            assert self.process.poll() is None, f"it ended, and had said:\n{said}"
            assert time.monotonic() < end, f"it did not say {pattern!r} but:\n{said}"
            time.sleep(0.05)
        time.sleep(0.1)  # the rest of what it says at once
        return self.output.read_text()

    def stop(self, number: signal.Signals) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(40)


@dataclass(frozen=True)
class Running:
    """An `up` that is ready, on ``folder`` and at ``url``."""

    folder: Path
    up: Up
    url: str


def run(*arguments: str, said: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """The command as a process, with ``said`` on its stdin."""
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, timeout=100, env=environment(**settings), check=False
    )
