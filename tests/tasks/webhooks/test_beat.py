"""Beat sends webhooks, and one that dies in between sends them again."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
import trustme
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from store.tables import Delivery
from tests.tasks.webhooks.receiver import Receiver
from tests.until import until


@pytest.mark.slow
def test_beat_killed_between_the_post_and_its_commit(
    database: Engine,
    postgres_url: str,
    redis_url: str,
    authority: trustme.CA,
    receiver: Callable[..., Receiver],
    hooked: Callable[..., UUID],
    tmp_path: Path,
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}
    settings = {
        "UNDERPAINT_DATABASE_URL": postgres_url,
        "UNDERPAINT_REDIS_URL": redis_url,
        "UNDERPAINT_WEBHOOK_ALLOW": "127.0.0.1",
        "UNDERPAINT_WEBHOOK_TIMEOUT_SECONDS": "3",
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }
    command = [sys.executable, "-m", "celery", "--app", "tasks.queue", "beat", "--pidfile=", "--loglevel", "INFO"]

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen(command, env={**ours, **settings}, stdout=log, stderr=subprocess.STDOUT)

    there = receiver()
    there.proceed.clear()
    hooked(there.url)
    beat = start()
    try:
        there.wait(1)
        beat.kill()
        beat.wait()
        there.proceed.set()
        beat = start()
        first, second = there.wait(2)
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body

        def delivered() -> bool:
            with Session(database) as session:
                return session.scalars(select(Delivery.state)).one() == "delivered"

        until(delivered)
        beat.terminate()
        assert beat.wait(20) == 0, (tmp_path / "log").read_text()
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        beat.kill()
        beat.wait()
