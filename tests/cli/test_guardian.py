"""The processes that a killed `up` has left running are stopped, and no others."""

import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.up.guardian import Process, Record
from tests.until import until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True) as process:
        yield process
        process.kill()


def recorded(process: subprocess.Popen[bytes], age: float = 0) -> Process:
    created = psutil.Process(process.pid).create_time()
    return Process("sleeper", process.pid, created - age, signal.SIGTERM, math.inf)


def test_what_is_left_is_stopped(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    record = Record(tmp_path / "processes.json")
    record.write("http://127.0.0.1:8000", [recorded(sleeper)])
    reported: list[str] = []
    record.stop_all(reported.append)
    assert sleeper.wait() == -signal.SIGTERM
    assert reported == [f"Stopping sleeper (process {sleeper.pid}), left behind by a run that was killed"]


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    record = Record(tmp_path / "processes.json")
    record.write("http://127.0.0.1:8000", [recorded(sleeper, age=3600)])
    record.stop_all(pytest.fail)
    assert sleeper.poll() is None


@pytest.mark.parametrize("content", [None, "", "{"])
def test_no_record_or_half_a_record_is_no_process(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "processes.json"
    if content is not None:
        path.write_text(content)
    assert Record(path).processes() == []
    assert Record(path).describe() == "still starting"


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores or handles a signal: see proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigIgn:", "SigCgt:"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_the_guardian_stops_all_when_its_parent_is_gone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    record = Record(tmp_path / "processes.json")
    record.write("http://127.0.0.1:8000", [recorded(sleeper)])
    with subprocess.Popen([sys.executable, "-m", "cli.up.guardian", record.path], stdin=subprocess.PIPE) as guardian:
        until(lambda: handles(guardian.pid, signal.SIGTERM) or guardian.poll() is not None)
        guardian.terminate()  # it ignores this
        with pytest.raises(subprocess.TimeoutExpired):
            guardian.wait(0.3)
        assert sleeper.poll() is None
        guardian.communicate()
    assert sleeper.wait() == -signal.SIGTERM
