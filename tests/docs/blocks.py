"""The fenced code blocks of README and documentation, and a shell that runs them."""

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
    """A fenced code block, with the line where it begins."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """The commands of a shell block, each with its continuation lines."""
        return [line for line in re.split(r"(?<!\\)\n", self.code) if line.strip()]


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in FENCE.finditer(text):
        code = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[2].strip(), code)


class Shell:
    """A shell in ``folder``. Variables that one block sets are kept for the next one."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._kept = folder / ".exported"
        self._kept.touch()

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run a block. The first command that fails ends it."""
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
