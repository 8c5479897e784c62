"""`underpaint backup` and `underpaint restore`: the whole database as one file, by PostgreSQL's own programs."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import psycopg
from psycopg import pq

from cli.errors import Explained
from cli.keys.database import with_database
from cli.migrate import migrate
from cli.up.postgres import programs

STANDARD = Path("-")  # output or input

_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_BEGIN = b"SET client_min_messages = warning; BEGIN; DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"


def backup(data_dir: Path, file: Path) -> None:
    """Writes everything as it is at this moment, while the server goes on.

    Raises:
        Explained: there is no database, or it cannot be written.
    """
    if file == STANDARD:
        with_database(data_dir, _dump)
        return
    unfinished = file.with_name(f"{file.name}.unfinished")  # what has the name is whole
    try:
        unfinished.touch(mode=0o600)
        with_database(data_dir, lambda url: _dump(url, f"--file={unfinished.absolute()}"))
        unfinished.replace(file)
    except OSError as error:
        raise Explained(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def restore(data_dir: Path, file: Path) -> None:
    """Puts what ``backup`` has written in the place of all that is there, and brings its tables up to date.

    Raises:
        Explained: there is no such file, somebody uses the database, or it does not work. Then it is as it was.
    """
    if file != STANDARD and not file.is_file():
        raise Explained(f"There is no file {file}: name one that `underpaint backup` has written.")
    with_database(data_dir, lambda url: _restore(url, file))


def _restore(url: str, file: Path) -> None:
    try:
        with psycopg.connect(url) as connection:
            row = connection.execute(_OTHERS).fetchone()
    except psycopg.OperationalError as error:
        raise Explained(f"The database cannot be reached: {error}") from error
    if row != (0,):
        raise Explained("The database is in use. Stop `underpaint up`, or api, worker and beat, then try again.")
    given = sys.stdin.buffer if file == STANDARD else file.open("rb")
    # What pg_restore says is run in one transaction, which is committed only when it has said all of it.
    with given, _program(url, "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", stdin=PIPE) as psql:
        assert psql.stdin
        read = None
        with suppress(BrokenPipeError):  # it has given up, and says why
            psql.stdin.write(_BEGIN)
            psql.stdin.flush()
            read = _program(url, "pg_restore", "--no-owner", "--file=-", stdin=given, stdout=psql.stdin).wait()
            psql.stdin.write(b"COMMIT;\n" if read == 0 else b"ROLLBACK;\n")
            psql.stdin.close()
    if read != 0 or psql.returncode:
        raise Explained(f"{file} could not be restored, for the reason above. The database is as it was.")
    migrate(url)


def _dump(url: str, *arguments: str) -> None:
    if _program(url, "pg_dump", "--format=custom", *arguments).wait():
        raise Explained("The backup could not be made, for the reason above.")


def _program(url: str, name: str, *arguments: str, **streams: Any) -> subprocess.Popen[Any]:
    """Starts a program of PostgreSQL on a database, the password of which does not show among the arguments."""
    given = {
        each.envvar.decode(): each.val.decode() for each in pq.Conninfo.parse(url.encode()) if each.val and each.envvar
    }
    return subprocess.Popen([programs() / name, *arguments], env={**os.environ, **given}, **streams)
