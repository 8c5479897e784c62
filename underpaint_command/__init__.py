"""The start of the `underpaint` command and of every process that it starts: our packages are found first.

They have names that others use, too, such as `cli` and `api`. A file `cli.py` in a folder of ``PYTHONPATH``, or where
the command is run, would be imported instead. This package has a name that nobody else has.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = frozenset(("api", "cli", "contract", "migrations", "models", "sampler", "store", "tasks", "underpaint", "web"))

MODULE = [sys.executable, "-P", "-m", __name__]
"""The beginning of a command that runs a module as Python's ``-m`` does, and finds ours first."""


class _Ours:
    """Finds our packages where this one is, before anybody else is asked."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(ROOT)]) if path is None and name in OURS else None


def prefer_ours() -> None:
    """Find our packages first from now on."""
    sys.meta_path.insert(0, _Ours())  # pyright: ignore[reportArgumentType] (a finder needs no other method)


def main() -> None:
    """The command."""
    prefer_ours()
    import_module("cli.main").main_program()
