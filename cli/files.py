"""The files that pictures are saved in."""

import re
from pathlib import Path

from cli.errors import CommandError

LONGEST_NAME = 40  # characters of the prompt


class PictureFiles:
    """PROMPT-SEED-iterate-00.png, -01.png, ... and PROMPT-SEED.png for the final picture, in one folder.

    Raises:
        CommandError: the folder cannot be created, or a picture cannot be written.
    """

    def __init__(self, folder: Path, prompt: str) -> None:
        self._folder = folder
        self._name = re.sub(r"\W+", "-", prompt.lower()).strip("-")[:LONGEST_NAME].rstrip("-") or "picture"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"Pictures cannot be saved in {folder}: {error.strerror}. Choose with -o.") from error

    def save(self, seed: int, iterate: int | None, picture: bytes) -> Path:
        """Saves the picture of an iterate, or with None the final one, and returns its path."""
        suffix = "" if iterate is None else f"-iterate-{iterate:02d}"
        path = self._folder / f"{self._name}-{seed}{suffix}.png"
        try:
            path.write_bytes(picture)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}. Choose another folder with -o.") from error
        return path
