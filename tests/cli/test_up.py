"""`underpaint up` as users use it: first start, Ctrl-C, second start, and what can go wrong."""

import signal
import socket
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli.running import Running, Up, processes_of, run
from tests.until import until


def refused(*options: str, **settings: str) -> str:
    """The errors of an `up` that does not start."""
    ran = run("up", *options, **settings)
    assert ran.returncode == 1, ran
    assert "Traceback" not in ran.stderr
    return ran.stderr


PARTS = ["postgres", "valkey-server", "cli.up.guardian", "tasks.app worker", "tasks.queue beat", "cli api"]


def test_everything_runs(running: Running) -> None:
    assert httpx.get(f"{running.url}/readyz", trust_env=False).status_code == 200
    processes = " ".join(processes_of(running.folder))
    assert [part for part in PARTS if part not in processes] == []
    logs = {path.name for path in (running.folder / "logs").iterdir()}
    assert logs == {"api.log", "worker.log", "beat.log", "postgres.log", "valkey.log"}


def test_the_log_tells_of_requests_if_it_is_asked_to_but_not_of_what_opens_a_job(folder: Path) -> None:
    path = "/v1/jobs/00000000-0000-4000-8000-000000000000"
    log = folder / "logs" / "api.log"
    with Up(folder, "--port", "0", "--workers", "2", "--quiet", UNDERPAINT_ACCESS_LOG="true") as up:
        httpx.get(f"{up.ready()}{path}", params={"share": "us_hush"}, trust_env=False)
        until(lambda: f"GET {path} " in log.read_text())
        assert "hush" not in log.read_text()
        # Both workers run; what they say is in their logs alone.
        workers = [processes for processes in processes_of(folder) if "tasks.app worker" in processes]
        assert len(workers) == 2
        said = [folder / "logs" / f"worker-{number}.log" for number in (1, 2)]
        until(lambda: all(log.exists() and log.stat().st_size for log in said))
        assert {line.split(" | ")[0].strip() for line in up.output.read_text().splitlines() if " | " in line} == {"up"}
        assert "superuser" not in said[0].read_text() + said[1].read_text()


def test_by_default_a_request_is_no_line_of_the_log(running: Running) -> None:
    httpx.get(f"{running.url}/v1/models", trust_env=False)
    assert "/v1/models" not in (running.folder / "logs" / "api.log").read_text()


def test_a_second_one_on_the_same_data_is_refused(running: Running) -> None:
    error = refused("--data-dir", str(running.folder), "--port", "0")
    assert f"already running on {running.folder}" in error
    assert f"process {running.up.process.pid}, at {running.url}" in error


@pytest.mark.slow
def test_after_a_kill_it_starts_again_with_its_data(folder: Path) -> None:
    with Up(folder) as up:
        url = up.ready()
        submitted = httpx.post(f"{url}/v1/jobs", json={"prompt": "red heart", "steps": 10}, trust_env=False)
        assert submitted.status_code == 202
        # Both that stop the others are killed: only the next start finds the rest.
        find(folder, "cli.up.guardian").kill()
        up.stop(signal.SIGKILL)
        assert "postgres" in " ".join(processes_of(folder))

    # On the same port, which the API that was left behind holds.
    with Up(folder, "--port", url.rpartition(":")[2]) as again:
        assert again.ready() == url
        assert "left behind by a run that was killed" in again.output.read_text()
        job = httpx.get(f"{url}/v1/jobs/{submitted.json()['id']}", trust_env=False)
        assert job.json()["request"]["prompt"] == "red heart"

        find(folder, "api").kill()
        again.wait_for(r"api was killed by SIGKILL; starting it again in 1 s")
        # The port was kept, so the request waits for the new process instead of being refused.
        assert httpx.get(f"{url}/healthz", trust_env=False, timeout=None).status_code == 200

        # Now only `up` itself is killed: the guardian stops the rest.
        again.stop(signal.SIGKILL)
        until(lambda: not processes_of(folder))


def find(folder: Path, word: str) -> psutil.Process:
    """The process with this word in its command."""
    pids = [int(line.split()[0]) for line in processes_of(folder)]
    return next(process for process in map(psutil.Process, pids) if word in process.cmdline())


def test_a_signal_during_the_first_start(folder: Path) -> None:
    with Up(folder) as up:
        up.wait_for("Creating the database")
        assert up.stop(signal.SIGINT) == 0
        assert processes_of(folder) == []
        assert not (folder / "postgres").exists()


def test_a_port_in_use_is_reported_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = refused("--data-dir", str(folder), "--port", str(port))
    assert error == (
        f"Error: Port {port} on 127.0.0.1 is in use by another program. Choose another one with --port (say, "
        f"--port {port + 1}) or UNDERPAINT_PORT.\n"
    )
    assert not (folder / "postgres").exists()


def test_a_data_directory_that_cannot_be_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "cannot be used for data" in refused("--data-dir", str(file), "--port", "0")


def test_a_setting_that_makes_no_sense(folder: Path) -> None:
    error = refused("--data-dir", str(folder), UNDERPAINT_PORT="many")
    assert error.startswith("Error: These settings cannot be used:\n  UNDERPAINT_PORT: ")


def test_a_database_of_ones_own_that_does_not_answer(folder: Path) -> None:
    elsewhere = "postgresql://nobody@127.0.0.1:9/nothing"
    error = refused("--data-dir", str(folder), "--port", "0", UNDERPAINT_DATABASE_URL=elsewhere)
    assert error.startswith("Error: The database could not be brought up to date: connection failed")
    assert processes_of(folder) == []
