"""`underpaint up` as a person uses it: first start, Ctrl-C, second start, and what can go wrong."""

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli.running import COMMAND, Up, environment, processes_of


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory that is not there yet, below a folder that any user may pass through."""
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as name:
        yield Path(name) / "data"


def refused(*options: str, **settings: str) -> str:
    """What it says when it does not start."""
    ran = subprocess.run(
        [*COMMAND, "up", *options], capture_output=True, text=True, timeout=30, env=environment(**settings)
    )
    assert ran.returncode == 1, ran
    assert "Traceback" not in ran.stderr
    return ran.stderr


def wait_until_gone(folder: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while left := processes_of(folder):
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.1)


PARTS = ["postgres", "valkey-server", "cli.up.guardian", "tasks.app worker", "tasks.queue beat", "cli api"]


def test_its_life(folder: Path) -> None:
    """One story, because each start takes a while: started, stopped, started, killed, started, killed."""
    with Up(folder) as up:
        url = up.ready()
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        submitted = httpx.post(f"{url}/v1/jobs", json={"prompt": "red heart", "steps": 10}, trust_env=False)
        assert submitted.status_code == 202
        running = " ".join(processes_of(folder))
        assert [part for part in PARTS if part not in running] == []

        told = refused("--data-dir", str(folder), "--port", "0")
        assert f"already running on {folder}" in told
        assert f"process {up.process.pid}, at {url}" in told

        assert up.stop(signal.SIGINT) == 0
        assert processes_of(folder) == []

    with Up(folder) as again:
        url = again.ready()
        job = httpx.get(f"{url}/v1/jobs/{submitted.json()['id']}", trust_env=False)
        assert job.json()["request"]["prompt"] == "red heart"

        # All that looks after the others is killed at once: only the next start finds what they left.
        find(folder, "cli.up.guardian").kill()
        again.stop(signal.SIGKILL)
        assert "postgres" in " ".join(processes_of(folder))

    with Up(folder) as healed:
        url = healed.ready()
        assert "left behind by a run that was killed" in healed.output.read_text()
        assert httpx.get(f"{url}/v1/jobs", trust_env=False).json()["jobs"]

        find(folder, "api").kill()
        healed.wait_for(r"api was killed by SIGKILL; starting it again in 1 s")
        # The port was kept, so the request waits for the new one instead of being refused.
        assert httpx.get(f"{url}/healthz", trust_env=False, timeout=20).status_code == 200

        # Now only `up` itself is killed: the guardian stops the rest.
        healed.stop(signal.SIGKILL)
        wait_until_gone(folder, 40)


def find(folder: Path, word: str) -> psutil.Process:
    """The process of ours that has a word in its command."""
    pids = [int(line.split()[0]) for line in processes_of(folder)]
    return next(process for process in map(psutil.Process, pids) if word in process.cmdline())


def test_a_signal_during_the_first_start(folder: Path) -> None:
    with Up(folder) as up:
        up.wait_for("Creating the database")
        assert up.stop(signal.SIGINT) == 0
        assert processes_of(folder) == []
        assert not (folder / "postgres").exists()


def test_a_port_in_use_is_told_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = refused("--data-dir", str(folder), "--port", str(port))
    assert told == (
        f"Error: Port {port} on 127.0.0.1 is in use by another program. Choose another one with --port (say, "
        f"--port {port + 1}) or UNDERPAINT_PORT.\n"
    )
    assert not (folder / "postgres").exists()


def test_a_data_directory_that_cannot_be_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "cannot be used for data" in refused("--data-dir", str(file), "--port", "0")


def test_a_setting_that_makes_no_sense(folder: Path) -> None:
    told = refused("--data-dir", str(folder), UNDERPAINT_PORT="many")
    assert told.startswith("Error: These settings cannot be used:\n  UNDERPAINT_PORT: ")


def test_a_database_of_ones_own_that_does_not_answer(folder: Path) -> None:
    elsewhere = "postgresql://nobody@127.0.0.1:9/nothing"
    told = refused("--data-dir", str(folder), "--port", "0", UNDERPAINT_DATABASE_URL=elsewhere)
    assert told.startswith("Error: The database could not be brought up to date: connection failed")
    assert processes_of(folder) == []
