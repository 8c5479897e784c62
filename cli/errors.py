"""What goes wrong in a way that the person at the prompt can do something about."""

import typer


class Explained(Exception):
    """Shown as its message, without a stack trace; the message says what to do."""


class Explaining:
    """Turns what can be explained into one message on stderr and exit code 1."""

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
            raise typer.Exit(1) from error
