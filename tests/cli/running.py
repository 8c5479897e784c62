"""The command and `underpaint up` as processes."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from tests.until import until

COMMAND = [sys.executable, "-m", "cli"]


def environment(**settings: str) -> dict[str, str]:
    """The environment of this process, with these settings of Underpaint and no others."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}, **settings}


def processes_of(folder: Path) -> list[str]:
    """All processes with the data directory in their command line, environment or working directory."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            texts = [*process.cmdline(), *process.environ().values(), process.cwd()]
            if any(str(folder) in text for text in texts):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


class Up:
    """`underpaint up` on ``folder``, by default on a free port, with these settings. The context stops it."""

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
        """Waits until it is ready, and returns its URL."""
        page = r"Page +(http://\S+)/\s"
        return re.findall(page, self.wait_for(page))[-1]

    def wait_for(self, pattern: str) -> str:
        """Waits until its output matches a pattern, and returns the output. Fails if it ends before."""

        def matching() -> str:
            ended = self.process.poll() is not None
            output = self.output.read_text()
            matches = re.search(pattern, output)
            assert matches or not ended, f"it ended with this output:\n{output}"
            return output if matches else ""

        return until(matching, why=self.output.read_text)

    def stop(self, number: signal.Signals) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait()


@dataclass(frozen=True)
class Running:
    """An `up` that is ready."""

    folder: Path
    up: Up
    url: str


def run(*arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with these settings to its end."""
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=environment(**settings), check=False
    )
