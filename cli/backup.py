"""`underpaint backup` and `underpaint restore`: the whole database in one file, by pg_dump and pg_restore."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import psycopg
import typer
from psycopg import pq

from cli.database import with_database
from cli.errors import CommandError
from cli.processes import migrate
from cli.up.postgres import programs

STANDARD = Path("-")  # standard output or input

_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_BEGIN = b"SET client_min_messages = warning; BEGIN; DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"


def backup(data_dir: Path, file: Path) -> None:
    """Writes the current state of the database to a file. The server may run meanwhile.

    Raises:
        CommandError: there is no database, or the file cannot be written.
    """
    if file == STANDARD:
        with_database(data_dir, _dump)
        return
    if file.exists():
        raise CommandError(f"{file} exists already, and is not overwritten. Choose another name.")
    unfinished = file.with_name(f"{file.name}.unfinished")  # a file under the final name is complete
    try:
        unfinished.touch(mode=0o600)
        with_database(data_dir, lambda url: _dump(url, f"--file={unfinished.absolute()}"))
        unfinished.replace(file)
        typer.echo(f"Wrote {file}: {file.stat().st_size / 1e6:.1f} MB.", err=True)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def restore(data_dir: Path, file: Path, create: bool = False) -> None:
    """Replaces the whole database by a file of ``backup``, and brings the tables up to date.

    Args:
        create: whether to create the embedded database first if there is none.

    Raises:
        CommandError: there is no such file, the database is in use, or the restore failed. The
            database is unchanged then.
    """
    if file != STANDARD and not file.is_file():
        raise CommandError(f"There is no file {file}: name one that `underpaint backup` has written.")
    with_database(data_dir, lambda url: _restore(url, file), create)


def _restore(url: str, file: Path) -> None:
    try:
        with psycopg.connect(url) as connection:
            row = connection.execute(_OTHERS).fetchone()
    except psycopg.OperationalError as error:
        raise CommandError(f"The database cannot be reached: {error}") from error
    if row != (0,):
        raise CommandError("The database is in use. Stop `underpaint up`, or api, worker and beat, then try again.")
    source = sys.stdin.buffer if file == STANDARD else file.open("rb")
    # The SQL of pg_restore runs in one transaction, which is committed only if pg_restore succeeds.
    with source, _program(url, "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", stdin=PIPE) as psql:
        assert psql.stdin
        exit_code = None
        with suppress(BrokenPipeError):  # psql has stopped, and prints why
            psql.stdin.write(_BEGIN)
            psql.stdin.flush()
            exit_code = _program(url, "pg_restore", "--no-owner", "--file=-", stdin=source, stdout=psql.stdin).wait()
            psql.stdin.write(b"COMMIT;\n" if exit_code == 0 else b"ROLLBACK;\n")
            psql.stdin.close()
    if exit_code != 0 or psql.returncode:
        raise CommandError(f"{file} could not be restored, for the reason above. The database is as it was.")
    migrate(url)


def _dump(url: str, *arguments: str) -> None:
    if _program(url, "pg_dump", "--format=custom", *arguments).wait():
        raise CommandError("The backup could not be made, for the reason above.")


def _program(url: str, name: str, *arguments: str, **streams: Any) -> subprocess.Popen[Any]:
    """Starts a program of PostgreSQL. The URL is passed in the environment: arguments are visible to other users."""
    variables = {
        each.envvar.decode(): each.val.decode() for each in pq.Conninfo.parse(url.encode()) if each.val and each.envvar
    }
    return subprocess.Popen([programs() / name, *arguments], env={**os.environ, **variables}, **streams)
