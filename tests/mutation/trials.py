"""The trial of a mutant: the tests that are about its file, run in a copy of the working tree."""

import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from tests.mutation.mutants import Mutant

PROMPT = 10  # s; a test that fails sooner has met no limit of time, which a busy machine may make it meet
# The tests that mirror a package, and those of its users. Of the latter those run that name the mutated module.
TESTS = {
    "contract": (["tests/contract", "tests/store/test_catalog.py"], ["tests/docs", "tests/api", "tests/client"]),
    "sampler": (["tests/sampler"], ["tests/tasks"]),
    "store": (["tests/store"], ["tests/tasks", "tests/api"]),
    "tasks": (["tests/tasks"], ["tests/service", "tests/cli"]),
    "api": (["tests/api"], ["tests/service"]),
}
OPTIONS = ["-q", "-x", "-m", "not slow", "--durations=3", f"--durations-min={PROMPT}"]
OPTIONS += ["-p", "no:cacheprovider", "-p", "pytest_timeout", "-p", "anyio.pytest_plugin"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # a library that is loaded cannot be rewritten


def tests_about(mutant: Mutant, seconds: dict[str, float], near: bool) -> list[str]:
    """The test files of a mutant: first (if ``near``, only) those that name its module; the quick ones first."""
    own, users = TESTS[mutant.package]
    path = Path(mutant.file)
    module = path.parent.name if path.stem in ("__init__", "base") else path.stem
    word = re.compile(rf"(\b|_){module}s?(\b|_)")
    quick = sorted((test for test in seconds if test.startswith((*own, *users))), key=seconds.__getitem__)
    named = [test for test in quick if word.search(test) or word.search(Path(test).read_text())]
    mirror = [test for test in quick if test.startswith(tuple(own)) and test not in named]
    return named if near and named else named + mirror


class Copy:
    """A copy of the working tree, whose tests run one after another, for at most ``seconds`` at a time."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self._version = 0
        self._seconds = seconds
        listed = subprocess.check_output(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], text=True
        )
        for path in (Path(name) for name in listed.split("\0") if name and Path(name).exists()):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, folder / path)
        self._mark = str(folder)
        # PYTHONPATH goes before the editable installation of the working tree. All plugins are half of the start.
        ours = {"PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.mutation.forks"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._forks = subprocess.Popen(command, cwd=folder, env={**os.environ, **ours}, **pipes)

    def pytest(self, *arguments: str) -> tuple[int | None, str]:
        """Run pytest up to the first failure; the exit code, or None after too long a time, and the output."""
        assert self._forks.stdin
        assert self._forks.stdout
        print(json.dumps([*OPTIONS, *arguments]), file=self._forks.stdin, flush=True)
        fork = int(self._forks.stdout.readline())
        late = False
        for patience, end in ((self._seconds, signal.SIGINT), (60, signal.SIGKILL)):  # fixtures stop their servers
            try:
                psutil.Process(fork).wait(patience)
            except psutil.NoSuchProcess:
                break
            except psutil.TimeoutExpired:
                late = True
                os.kill(fork, end)
        code = int(self._forks.stdout.readline())
        self._kill_what_is_left()
        return None if late else code, (self.folder / "output").read_text(errors="replace")

    def close(self) -> None:
        """End the process from which the trials are forked."""
        self._forks.communicate()

    def _kill_what_is_left(self) -> None:
        for process in psutil.process_iter():
            try:
                if process.environ().get("MUTANTS") == self._mark:
                    process.kill()
            except psutil.Error:
                continue

    def run(self, mutant: Mutant, tests: list[str]) -> dict[str, Any]:
        """Whether tests kill a mutant. A slow failure must happen twice; else the test is left out."""
        path, began = self.folder / mutant.file, time.monotonic()
        source = path.read_text()
        changed = mutant.apply(source)
        diff = difflib.unified_diff(source.splitlines(), changed.splitlines(), lineterm="", n=1)
        result: dict[str, Any] = {**vars(mutant), "diff": "\n".join(list(diff)[2:]), "flaky": []}
        found = path.stat()
        path.write_text(changed)
        # Python compiles a file again when its time in seconds or its size changes: each version has its own time.
        self._version += 1
        os.utime(path, (found.st_mtime, found.st_mtime - self._version))
        try:
            result |= self._judge(tests, result["flaky"])
        finally:
            path.write_text(source)
            os.utime(path, (found.st_mtime, found.st_mtime))
        return {**result, "seconds": round(time.monotonic() - began)}

    def _judge(self, tests: list[str], flaky: list[str]) -> dict[str, str]:
        while True:
            code, output = self.pytest(*tests, *(f"--deselect={test}" for test in flaky))
            failed = re.search(r"^(?:FAILED|ERROR) (\S+?)( - .*)?$", output, re.MULTILINE)
            if code in (0, 5):  # 5: all tests are left out
                return {"result": "survived"}
            slow = failed and re.search(rf"s (call|setup) +{re.escape(failed[1])}", output)
            if code != 1 or failed is None or not slow or self.pytest(failed[1])[0] != 0:
                by = failed[0] if failed else output[-300:]
                return {"result": "timeout" if code is None else "killed", "by": by}
            flaky.append(failed[1])
            tests = tests[next((i for i, test in enumerate(tests) if failed[1].startswith(test)), 0) :]
