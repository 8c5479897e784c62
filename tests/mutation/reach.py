"""Which tests reach which lines, measured once by running them under coverage."""

import ast
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue
from typing import Any

# Only `make mutants` installs it.
from coverage import CoverageData  # pyright: ignore[reportMissingImports]

from tests.mutation.mutants import Mutant
from tests.mutation.trials import Copy

FOLDERS = ("contract", "sampler", "store", "tasks")
"""The folders of tests that are measured. Not those whose tests share a server: it runs what all of them ask for."""
SETTINGS = """[run]
source = api,contract,sampler,store,tasks
data_file = {folder}/reached/data
parallel = True
relative_files = True
context = ${{TEST_FILE}}
patch = _exit
sigterm = True
disable_warnings = no-data-collected,module-not-measured,module-not-imported,couldnt-parse
"""


@dataclass
class Reach:
    """Which tests reach a line, and how long they take.

    A test is a function, with all its parameters, or a whole file for lines that run in processes that it starts.
    """

    seconds: dict[str, float]
    """By test function."""
    failed: list[str]
    """Tests that fail without a mutant. They are left out."""
    lines: dict[str, dict[int, list[str]]]
    """The test functions and files, by source file and line."""

    @classmethod
    def load(cls, file: Path) -> "Reach":
        found = json.loads(file.read_text())
        lines = {path: {int(line): tests for line, tests in each.items()} for path, each in found["lines"].items()}
        return cls(found["seconds"], found["failed"], lines)

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    def duration(self, test: str) -> float:
        """How many seconds a test function or file takes; a guess if it was not measured."""
        if test in self.seconds:
            return self.seconds[test]
        known = [seconds for each, seconds in self.seconds.items() if each.startswith(f"{test}::")]
        return sum(known) if known or "::" in test else Path(test).stat().st_size / 1000

    def tests(self, mutant: Mutant, budget: float) -> tuple[list[str], int]:
        """The tests of a mutant: first those that name its module, the quick ones first, and of the others as many as
        take ``budget`` seconds in all. Also returns how many are left out.

        They are the tests that reach the line. If that is not known, because it runs when the module is imported, or
        in a server that test files share, they are the files that mirror the package.
        """
        reached = self.lines.get(mutant.file, {})
        found = {
            test for each in statement(Path(mutant.file).read_text(), mutant.line) for test in reached.get(each, [])
        }
        found = {test for test in found if "::" not in test or test.partition("::")[0] not in found}
        if not found:
            found = {str(path) for path in Path("tests", mutant.package).rglob("test_*.py")}
        path = Path(mutant.file)
        module = path.parent.name if path.stem in ("__init__", "base", "method") else path.stem
        word = re.compile(rf"(\b|_){module}s?(\b|_)")

        def order(test: str) -> tuple[bool, bool, float]:
            file = test.partition("::")[0]
            return not word.search(test), not word.search(Path(file).read_text()), self.duration(test)

        tests = sorted(found, key=order)
        ends = accumulate(map(self.duration, tests))
        chosen = [test for test, end in zip(tests, ends, strict=True) if end <= budget or test == tests[0]]
        return chosen, len(tests) - len(chosen)


def statement(source: str, line: int) -> Iterable[int]:
    """The lines of the innermost statement on a line, without its body."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            first = min(
                (each.lineno for each in getattr(node, "decorator_list", [])), default=getattr(node, "lineno", 0)
            )
            body: Any = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else getattr(node, "end_lineno", 0)
            if first <= line <= max(end, first):
                found = range(first, max(end, first) + 1)
    return found


def measure(copies: list[Copy], folders: Iterable[str]) -> Reach:
    """Run the tests in folders of `tests/`, and see what they reach."""
    for copy in copies:
        (copy.folder / "coverage.ini").write_text(SETTINGS.format(folder=copy.folder))
        (copy.folder / "reached").mkdir()
    free = SimpleQueue[Copy]()
    for copy in copies:
        free.put(copy)
    reach = Reach({}, [], {})

    def record(folder: str) -> None:
        copy = free.get()
        code, output = copy.pytest(str(Path("tests", folder)), record=True)
        if code != 0:
            print(f"Tests fail without a mutant:\n{output[-4000:]}", flush=True)
        recorded = json.loads((copy.folder / "recorded.json").read_text())
        reach.seconds.update(recorded["seconds"])
        reach.failed.extend(recorded["failed"])
        print(f"measured tests/{folder}", flush=True)
        free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        list(pool.map(record, folders))
    for copy in copies:
        for part in (copy.folder / "reached").iterdir():
            data: Any = CoverageData(str(part))
            data.read()
            for file in data.measured_files():
                lines = reach.lines.setdefault(file, {})
                for line, tests in data.contexts_by_lineno(file).items():
                    lines[line] = sorted({*lines.get(line, []), *tests} - {""})
    return reach
