"""What `up` prints, in a terminal that takes nothing or has few characters."""

import subprocess
import sys

from tests.until import until

PRINT = """
import sys
from contextlib import closing
from cli.up.output import Terminal
with closing(Terminal()) as terminal:
    for number in range({lines}):
        terminal.log("api", "caf\\u00e9 \\u2603 " + "x" * 100)
    print("all printed", file=sys.stderr, flush=True)
"""


def start(lines: int, encoding: str = "utf-8") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PRINT.format(lines=lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONIOENCODING": encoding},
    )


def test_a_terminal_that_takes_nothing_stops_nobody() -> None:
    with start(20_000) as process:  # a pipe that is not read
        assert process.stderr
        assert process.stderr.readline() == b"all printed\n"
        assert until(lambda: process.poll() is not None)
        assert process.returncode == 0
        assert process.stderr.read() == b""


def test_a_character_that_the_terminal_has_not() -> None:
    with start(1, "latin-1") as process:
        out, errors = process.communicate()
        assert out.decode("latin-1") == "     api | café ? " + "x" * 100 + "\n"
        assert errors == b"all printed\n"


def test_a_full_disk() -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [sys.executable, "-c", PRINT.format(lines=3)], stdout=full, stderr=subprocess.PIPE, check=True
        )
    assert ran.stderr == b"all printed\n"
