"""`underpaint mcp`: the tools of the Model Context Protocol on stdin and stdout."""

from cli.errors import CommandError
from underpaint import AsyncUnderpaint, UnderpaintError


def run(server: str | None, key: str | None) -> None:
    """Serves until stdin ends.

    Raises:
        CommandError: the extra is missing, or ``server`` or ``key`` cannot be used.
    """
    try:
        from underpaint.tools import serve
    except ModuleNotFoundError as error:
        raise CommandError("This needs the package mcp: pip install 'underpaint[mcp]'") from error
    try:
        AsyncUnderpaint(server, key)
    except UnderpaintError as error:
        raise CommandError(str(error)) from error
    serve(lambda _: AsyncUnderpaint(server, key)).run("stdio")
