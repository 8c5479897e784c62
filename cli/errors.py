"""What goes wrong in a way that the person at the prompt can do something about, and the exit codes of the command."""

import typer

# 2 is wrong usage, as Click has it.
REFUSED = 1
FAILED = 3
CANCELED = 4
UNREACHABLE = 5
INTERRUPTED = 130  # as shells have it: 128 + SIGINT


class Explained(Exception):
    """Shown as its message, without a stack trace; the message says what to do. ``code`` is the exit code."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(message)
        self.code = code


class Explaining:
    """Turns what can be explained into one message on stderr and its exit code."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        from pydantic import ValidationError

        if isinstance(error, ValidationError):  # only settings are validated here
            lines = [
                f"UNDERPAINT_{str(e['loc'][0]).upper()}: {e['msg']}" if e["loc"] else e["msg"] for e in error.errors()
            ]
            error = Explained("These settings cannot be used:\n  " + "\n  ".join(lines))
        if isinstance(error, Explained):
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(error.code) from error
