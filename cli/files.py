"""The files that pictures are saved in."""

import re
from glob import escape
from itertools import count
from pathlib import Path

from cli.errors import CommandError

LONGEST_NAME = 40  # characters of the prompt


class PictureFiles:
    """PROMPT-SEED-iterate-00.png, -01.png, ... and PROMPT-SEED.png for the final picture, in one folder.

    If pictures of another job have these names, it is PROMPT-SEED-2, and so on: none is overwritten.

    Raises:
        CommandError: the folder cannot be created, or a picture cannot be written.
    """

    def __init__(self, folder: Path, prompt: str) -> None:
        self._folder = folder
        self._name = re.sub(r"\W+", "-", prompt.lower()).strip("-")[:LONGEST_NAME].rstrip("-") or "picture"
        self._stems: dict[int, str] = {}
        self._mine: set[Path] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"Pictures cannot be saved in {folder}: {error.strerror}. Choose with -o.") from error

    def save(self, seed: int, iterate: int | None, picture: bytes) -> Path:
        """Saves the picture of an iterate, or with None the final one, and returns its path."""
        suffix = "" if iterate is None else f"-iterate-{iterate:02d}"
        while True:
            if seed not in self._stems:
                self._stems[seed] = self._free(f"{self._name}-{seed}")
            path = self._folder / f"{self._stems[seed]}{suffix}.png"
            try:
                self._write(path, picture)
                return path
            except FileExistsError:  # another command was quicker
                del self._stems[seed]
            except OSError as error:
                raise CommandError(
                    f"{path} cannot be written: {error.strerror}. Choose another folder with -o."
                ) from error

    def _free(self, stem: str) -> str:
        """The first of STEM, STEM-2, ... that no file has."""
        for number in count(1):
            named = stem if number == 1 else f"{stem}-{number}"
            iterates = self._folder.glob(f"{escape(named)}-iterate-*.png")
            if not (self._folder / f"{named}.png").exists() and next(iterates, None) is None:
                return named
        raise AssertionError

    def _write(self, path: Path, picture: bytes) -> None:
        with path.open("wb" if path in self._mine else "xb") as file:
            try:
                file.write(picture)
                file.flush()
            except OSError:
                path.unlink(missing_ok=True)
                raise
        self._mine.add(path)
