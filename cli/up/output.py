"""Where the output of the children goes: a file each, and the terminal. Neither can stop who empties their pipes.

A child that writes into a full pipe waits, a PostgreSQL with its locks held. So what cannot be written is dropped: on a
full disk, in a terminal that is stopped (Ctrl-S), in an encoding without the character. It is reported once, and once
when it is over.
"""

import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import TextIO, cast

from rich.console import Console
from rich.text import Text

LOG_LIMIT = 10_000_000  # bytes; at a start, a larger log is renamed to .log.1, which replaces the one before
WAITING_LINES = 10_000  # that a terminal may be behind; further ones are dropped
CLOSING_SECONDS = 2.0  # that the end waits for a terminal that is behind
COLOURS = {"api": "cyan", "worker": "magenta", "beat": "yellow", "postgres": "blue", "valkey": "red"}


def why(error: OSError) -> str:
    """The reason of an error, for people."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "the disk is full"
    return error.strerror or str(error)


class LogFile:
    """The log of a child. ``report`` is called with a line when writing begins to fail, and when it works again."""

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        self._path = path
        self._report = report
        self._file: io.FileIO | None = None
        self._dropped = 0

    def write(self, chunk: bytes) -> None:
        """Append a chunk, or drop it. Never raises."""
        missing = f"\n({self._dropped} bytes are missing here)\n".encode() if self._dropped else b""
        try:
            if self._file is None:
                self._file = self._open()
            self._append(missing + chunk)
        except OSError as error:
            if not self._dropped:
                self._report(f"{self._path} cannot be written: {why(error)}. Its lines are dropped until it can be.")
            self._dropped += len(chunk)
            self.close()
            return
        if missing:
            self._report(f"{self._path} is written again; {self._dropped} bytes were dropped")
        self._dropped = 0

    def close(self) -> None:
        """Close the file. ``write`` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes) -> None:
        assert self._file
        while data:  # the last room on a disk takes a part
            data = data[self._file.write(data) :]

    def _open(self) -> io.FileIO:
        if self._path.exists() and self._path.stat().st_size > LOG_LIMIT:
            self._path.replace(self._path.with_suffix(".log.1"))
        return io.FileIO(self._path, "ab")


class Terminal:
    """Prints the lines of the children with their names in front, and those of `up` itself in bold.

    A thread writes them, so that a terminal that takes nothing stops nobody else.
    """

    def __init__(self, quiet: bool = False) -> None:
        """``quiet``: the lines of the children are left out."""
        self._quiet = quiet
        self._stream = _Stream(sys.stdout)
        # A narrow terminal wraps lines by itself; a file or pipe must get them whole.
        file = cast(TextIO, self._stream)
        self._console = Console(file=file, soft_wrap=True, highlight=False, emoji=False, markup=False)

    def log(self, name: str, line: str) -> None:
        """A line that a child wrote."""
        if not self._quiet:
            self._print(name, COLOURS.get(name.partition("-")[0], ""), Text(line))

    def note(self, text: str) -> None:
        """One or more lines of `up` itself."""
        for line in text.splitlines():
            self._print("up", "bold", Text(line, style="bold"))

    def show(self, text: str) -> None:
        """A text without a name in front, to copy from."""
        self._console.print(text)

    def close(self) -> None:
        """Wait until everything is written, if the terminal takes it."""
        self._stream.close()

    def _print(self, name: str, style: str, line: Text) -> None:
        self._console.print(Text.assemble((f"{name:>8} | ", style), line))


class _Stream(io.TextIOBase):
    """A text stream as rich needs one, whose ``write`` never waits and never fails."""

    def __init__(self, of: TextIO) -> None:
        self._of = of
        self._fd = of.fileno()
        self._waiting: Queue[bytes | None] = Queue(WAITING_LINES)
        self._dropped = 0
        self._thread = Thread(target=self._run, name="terminal", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._of.encoding

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return self._of.isatty()

    def write(self, text: str, /) -> int:
        missing = f"({self._dropped} lines are missing here)\n" if self._dropped else ""
        try:
            self._waiting.put_nowait((missing + text).encode(self.encoding, "replace"))
            self._dropped = 0
        except Full:
            self._dropped += text.count("\n")
        return len(text)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        try:
            self._waiting.put(None, timeout=CLOSING_SECONDS)
        except Full:
            return
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._put(data)

    def _put(self, data: bytes) -> None:
        # Not through sys.stdout, whose lock would be held by a thread that hangs when this process ends.
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError:
                return
