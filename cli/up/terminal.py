"""What `up` says to the person who started it."""

from rich.console import Console
from rich.text import Text

COLOURS = {"api": "cyan", "worker": "magenta", "beat": "yellow", "postgres": "blue", "valkey": "red"}


class Terminal:
    """Lines of the children with the name of each in front, and remarks of `up` itself in bold."""

    def __init__(self) -> None:
        # A terminal that is narrower breaks lines by itself; a file or pipe must get them whole.
        self._console = Console(soft_wrap=True, highlight=False, emoji=False, markup=False)

    def log(self, name: str, line: str) -> None:
        """A line that a child wrote."""
        self._print(name, COLOURS.get(name, ""), Text(line))

    def note(self, text: str) -> None:
        """A remark of `up`, a line or several."""
        for line in text.splitlines():
            self._print("up", "bold", Text(line, style="bold"))

    def show(self, text: str) -> None:
        """A text as it is, to copy from."""
        self._console.print(text)

    def _print(self, name: str, style: str, line: Text) -> None:
        self._console.print(Text.assemble((f"{name:>8} | ", style), line))
