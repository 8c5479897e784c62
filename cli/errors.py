"""Errors that the user can act on, and the exit codes of the command."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import typer

REFUSED = 1
USAGE = 2  # as Click's
FAILED = 3
CANCELED = 4
UNREACHABLE = 5
INTERRUPTED = 130  # as shells report it: 128 + SIGINT


class CommandError(Exception):
    """Printed as its message, without a stack trace. The message says what to do; ``code`` is the exit code."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def report_errors() -> Iterator[None]:
    """Prints a `CommandError`, or the error of a setting, on stderr and exits with its code."""
    try:
        yield
    except CommandError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(error.code) from error
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        typer.echo(f"Error: The disk is full: {error.filename or error.strerror} cannot be written.", err=True)
        raise typer.Exit(REFUSED) from error
    except UnicodeEncodeError as error:
        if not any("\ud800" <= character <= "\udfff" for character in error.object):
            raise
        typer.echo(f"Error: This is not text in UTF-8: {error.object!a}", err=True)
        raise typer.Exit(USAGE) from error
    except ValueError as error:
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            raise
        # Only settings are validated here.
        lines = [f"UNDERPAINT_{str(e['loc'][0]).upper()}: {e['msg']}" if e["loc"] else e["msg"] for e in error.errors()]
        typer.echo("Error: These settings cannot be used:\n  " + "\n  ".join(lines), err=True)
        raise typer.Exit(REFUSED) from error
