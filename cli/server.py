"""The server that a command asks, by way of the Python client, and what its errors say to people."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.errors import UNREACHABLE, Explained
from underpaint import BadAddress, BadKey, Problem, Unauthorized, Underpaint, UnexpectedAnswer, Unreachable


@contextmanager
def asking(server: str | None, key: str | None) -> Iterator[Underpaint]:
    """A client, whose errors are explained. It has no patience: people see at once that nobody answers.

    Raises:
        Explained: the server refuses, or there is none.
    """
    try:
        with Underpaint(server, key, patience=0) as client:
            yield client
    except BadAddress as error:
        raise Explained(f"{error} Use --server http://HOST:PORT.") from error
    except Unreachable as error:
        raise Explained(
            f"{error} Start one with `underpaint up`, or name another one with --server or UNDERPAINT_SERVER.",
            UNREACHABLE,
        ) from error
    except UnexpectedAnswer as error:
        raise Explained(f"{error}. Name the server with --server or UNDERPAINT_SERVER.", UNREACHABLE) from error
    except (BadKey, Unauthorized) as error:
        raise Explained(f"{error} Name one with --key or UNDERPAINT_KEY.") from error
    except Problem as error:
        raise Explained(_said(error)) from error


def _said(problem: Problem) -> str:
    # Where there are errors, the detail is all of them in one line.
    errors = [f"  {error.field} {error.message}" for error in problem.errors]
    return "\n".join([problem.title, *errors]) if errors else problem.detail
