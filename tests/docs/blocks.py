"""The fenced blocks of README and documentation, and how they are run."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.until import PATIENCE

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, what it is written in, and what it says."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """The commands of a block of shell, each with the lines that it goes on in."""
        return [line for line in re.split(r"(?<!\\)\n", self.code) if line.strip()]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in FENCE.finditer(text):
        code = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[2].strip(), code)


class Shell:
    """A shell in ``folder``: what one block sets, the next one has."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._kept = folder / ".exported"
        self._kept.touch()

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        """Runs it like a careful person: the first command that fails is the last one."""
        script = f"set -a\n. {self._kept}\n{code}\nexport -p > {self._kept}\n"
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
