"""`underpaint up`, from start to end."""

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

from cli.api import GRACE
from cli.exposure import keyed, refuse_if_open
from cli.migrate import migrate
from cli.up import address
from cli.up.child import Plan
from cli.up.datadir import DataDir
from cli.up.postgres import Postgres
from cli.up.supervisor import Supervisor
from cli.up.terminal import Terminal
from cli.up.valkey import Valkey
from store.settings import ApiSettings, WorkerSettings

# Without -P a folder `cli` or `api` in the current directory would be taken for ours.
_PYTHON = [sys.executable, "-P", "-m"]


def up(path: Path, host: str, port: int) -> None:
    """Runs everything until SIGINT, SIGTERM or SIGHUP, then stops everything.

    A database and a broker named in the environment are used; what is not named is started here.

    Args:
        path: the data directory, made if it is missing.
        host, port: where the API listens; port 0 is any free one.

    Raises:
        Explained: it cannot start. Nothing is left running.
    """
    data = DataDir(path)
    with data.open(), address.listen(host, port) as listener:
        asyncio.run(_run(data, listener))


async def _run(data: DataDir, listener: socket.socket) -> None:
    terminal = Terminal()
    data.record.stop_all(terminal.note)
    url = address.url(listener)
    supervisor = Supervisor(data, url, terminal)
    postgres = None if os.environ.get("UNDERPAINT_DATABASE_URL") else Postgres(data.postgres, terminal.note)
    valkey = None if os.environ.get("UNDERPAINT_REDIS_URL") else Valkey(data.valkey)
    guardian = await asyncio.create_subprocess_exec(
        *_PYTHON, "cli.up.guardian", data.record.path, stdin=subprocess.PIPE, start_new_session=True
    )
    _stop_on_signals(supervisor)
    try:
        await _start(supervisor, postgres, valkey, listener, url, terminal)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass  # a signal; the rest is the same as after an error
    finally:
        listener.close()
        await supervisor.stop()
        if postgres:
            postgres.clean()
        await guardian.communicate(b"")  # closes the pipe that it waits on
    terminal.note(f"Stopped. The data are in {data.path}")


def _stop_on_signals(supervisor: Supervisor) -> None:
    """The first signal stops all in order, a second one at once."""
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
) -> None:
    began = time.monotonic()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if postgres:
        environment["UNDERPAINT_DATABASE_URL"] = postgres.url
        await postgres.create()
        await supervisor.start(postgres.plan())
    if valkey:
        environment["UNDERPAINT_REDIS_URL"] = valkey.url
        await supervisor.start(valkey.plan())
        await supervisor.unless_one_ends(valkey.wait())
    if postgres:
        await supervisor.unless_one_ends(postgres.wait())
    await supervisor.unless_one_ends(asyncio.to_thread(migrate, environment["UNDERPAINT_DATABASE_URL"]))

    soft = WorkerSettings().soft_shutdown_seconds
    listener_at, fd = listener.getsockname(), listener.fileno()
    settings = ApiSettings(host=listener_at[0])
    await asyncio.to_thread(refuse_if_open, settings, environment["UNDERPAINT_DATABASE_URL"])
    serve = ["api", "--host", listener_at[0], "--port", str(listener_at[1]), "--fd", str(fd)]
    await supervisor.start(_ours(["worker"], environment, patience=soft + 5))
    await supervisor.start(_ours(["beat"], environment))
    await supervisor.start(_ours(serve, environment, patience=GRACE + 5, file_descriptors=[fd]))
    terminal.note("Waiting for the worker to load PyTorch and the model")
    await supervisor.unless_one_ends(_ready(url))
    supervisor.settled()
    terminal.note(f"Ready after {time.monotonic() - began:.1f} s. Ctrl-C stops everything.")
    needs_key = await asyncio.to_thread(keyed, environment["UNDERPAINT_DATABASE_URL"])
    terminal.show(_welcome(url, bool(needs_key)))


def _ours(arguments: list[str], environment: Mapping[str, str], **how: Any) -> Plan:
    return Plan(arguments[0], [*_PYTHON, "cli", *arguments], environment=environment, **how)


async def _ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5) as client:
        while True:
            try:
                if (await client.get("/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass  # not up yet
            await asyncio.sleep(0.2)


def _welcome(url: str, needs_key: bool) -> str:
    submit = shlex.join(
        ["curl", "-s", f"{url}/v1/jobs", "-H", "Content-Type: application/json", "-d", '{"prompt": "red heart"}']
    )
    if needs_key:  # the shell puts it in
        submit += ' -H "Authorization: Bearer $UNDERPAINT_KEY"'
    command = "underpaint" if which("underpaint") else sys.argv[0]  # as `make up` has it: .venv/bin/underpaint
    return f"""
  Page             {url}/
  API reference    {url}/docs
  Submit a job     {submit}
  Or               {command} generate "red heart" -o pictures --server {url}
"""
