"""`underpaint up`: what is started, in which order, and when it is ready."""

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any

import httpx

from cli.api import GRACE, needs_key, refuse_if_open
from cli.processes import migrate
from cli.up import address
from cli.up.child import ProcessSpec
from cli.up.datadir import DataDir
from cli.up.output import Terminal
from cli.up.postgres import Postgres
from cli.up.supervisor import Supervisor
from cli.up.valkey import Valkey
from store.settings import ApiSettings, WorkerSettings
from underpaint_command import MODULE


def up(path: Path, host: str, port: int, workers: int = 1, quiet: bool = False) -> None:
    """Runs everything until SIGINT, SIGTERM or SIGHUP, then stops everything.

    If the environment names a database or a broker, that one is used; otherwise an embedded one is started.

    Args:
        path: the data directory, created if it is missing.
        host, port: the address of the API; port 0 is any free one.
        workers: how many workers run.
        quiet: whether the lines of the parts go to their logs only.

    Raises:
        CommandError: it cannot start. Nothing is left running.
    """
    data = DataDir(path)
    terminal = Terminal(quiet)
    try:
        with data.lock():
            # First, since an API that a killed `up` has left behind holds the port.
            data.record.stop_all(terminal.note)
            with address.listen(host, port) as listener:
                asyncio.run(_run(data, listener, terminal, workers))
    finally:
        terminal.close()


async def _run(data: DataDir, listener: socket.socket, terminal: Terminal, workers: int) -> None:
    url = address.url(listener)
    supervisor = Supervisor(data, url, terminal)
    postgres = None if os.environ.get("UNDERPAINT_DATABASE_URL") else Postgres(data.postgres, terminal.note)
    valkey = None if os.environ.get("UNDERPAINT_REDIS_URL") else Valkey(data.valkey)
    guardian = await asyncio.create_subprocess_exec(
        *MODULE, "cli.up.guardian", data.record.path, stdin=subprocess.PIPE, start_new_session=True
    )
    _stop_on_signals(supervisor)
    try:
        await _start(supervisor, postgres, valkey, listener, url, terminal, workers)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass  # by a signal; what follows is the same as after an error
    finally:
        listener.close()
        await supervisor.stop()
        if postgres:
            postgres.clean()
        await guardian.communicate(b"")  # closes the pipe that it reads
    terminal.note(f"Stopped. The data are in {data.path}")


def _stop_on_signals(supervisor: Supervisor) -> None:
    """The first signal stops all children in order, a second one kills them."""
    task = asyncio.current_task()
    assert task

    def stop() -> None:
        if supervisor.stopping:
            supervisor.kill()
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _start(
    supervisor: Supervisor,
    postgres: Postgres | None,
    valkey: Valkey | None,
    listener: socket.socket,
    url: str,
    terminal: Terminal,
    workers: int,
) -> None:
    started_at = time.monotonic()
    # Whoever tries it out looks for other lines than one for each request of the page.
    environment = {"UNDERPAINT_ACCESS_LOG": "false", **os.environ, "PYTHONUNBUFFERED": "1"}
    if postgres:
        environment["UNDERPAINT_DATABASE_URL"] = postgres.url
        await postgres.create()
        await supervisor.start(postgres.spec())
    if valkey:
        environment["UNDERPAINT_REDIS_URL"] = valkey.url
        await supervisor.start(valkey.spec())
        await supervisor.run(valkey.wait())
    if postgres:
        await supervisor.run(postgres.wait())
    await supervisor.run(asyncio.to_thread(migrate, environment["UNDERPAINT_DATABASE_URL"]))

    soft = WorkerSettings().soft_shutdown_seconds
    fd, (host, port) = listener.fileno(), listener.getsockname()[:2]
    settings = ApiSettings(host=host)
    await asyncio.to_thread(refuse_if_open, settings, environment["UNDERPAINT_DATABASE_URL"])
    serve = ["api", "--host", host, "--port", str(port), "--fd", str(fd)]
    for number in range(1, workers + 1):
        name = "worker" if workers == 1 else f"worker-{number}"
        await supervisor.start(_part(["worker"], environment, name, patience=soft + 5))
    await supervisor.start(_part(["beat"], environment))
    await supervisor.start(_part(serve, environment, patience=GRACE + 5, file_descriptors=[fd]))
    terminal.note("Waiting for the worker to load PyTorch and the model")
    await supervisor.run(_ready(url))
    supervisor.startup_done()
    terminal.note(f"Ready after {time.monotonic() - started_at:.1f} s. Ctrl-C stops everything.")
    key_needed = await asyncio.to_thread(needs_key, environment["UNDERPAINT_DATABASE_URL"])
    terminal.show(_welcome(url, bool(key_needed)))


def _part(arguments: list[str], environment: Mapping[str, str], name: str = "", **options: Any) -> ProcessSpec:
    return ProcessSpec(name or arguments[0], [*MODULE, "cli", *arguments], environment=environment, **options)


async def _ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5) as client:
        while True:
            try:
                if (await client.get("/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass  # not started yet
            await asyncio.sleep(0.2)


def _welcome(url: str, key_needed: bool) -> str:
    submit = shlex.join(
        ["curl", "-s", f"{url}/v1/jobs", "-H", "Content-Type: application/json", "-d", '{"prompt": "red heart"}']
    )
    if key_needed:  # the shell expands it
        submit += ' -H "Authorization: Bearer $UNDERPAINT_KEY"'
    command = "underpaint" if which("underpaint") else sys.argv[0]  # after `make up`: .venv/bin/underpaint
    return f"""
  Page             {url}/
  API reference    {url}/docs
  Submit a job     {submit}
  Or               {command} generate "red heart" -o pictures --server {url}
"""
