"""The trial of a mutant: tests that reach its line, run in a copy of the working tree."""

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

PATIENCE = "60"  # s; see tests/until.py
PROMPT = 10  # s; a test that fails sooner has met no limit of time, which a busy machine may make it meet
OPTIONS = ["-q", "-m", "not slow", "--durations=3", f"--durations-min={PROMPT}"]
OPTIONS += ["-p", "no:cacheprovider", "-p", "pytest_timeout", "-p", "anyio.pytest_plugin"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # a library that is loaded cannot be rewritten


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
        ours = {
            "PYTHONPATH": str(folder),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "OMP_NUM_THREADS": "1",
            "PATIENCE": PATIENCE,
        }
        command = [sys.executable, "-m", "tests.mutation.forks"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._forks = subprocess.Popen(command, cwd=folder, env={**os.environ, **ours}, **pipes)

    def pytest(self, *arguments: str, record: bool = False) -> tuple[int | None, str]:
        """Run pytest; the exit code, or None after too long a time, and the output. Or ``record`` what tests reach."""
        assert self._forks.stdin
        assert self._forks.stdout
        asked = {"arguments": [*OPTIONS, *arguments], "record": record}
        print(json.dumps(asked), file=self._forks.stdin, flush=True)
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

    def run(self, mutant: Mutant, tests: list[str], broken: list[str]) -> dict[str, Any]:
        """Whether tests, without those that are ``broken`` anyway, kill a mutant. A slow failure must happen twice, or
        the test is left out."""
        path, began = self.folder / mutant.file, time.monotonic()
        source = path.read_text()
        changed = mutant.apply(source)
        diff = difflib.unified_diff(source.splitlines(), changed.splitlines(), lineterm="", n=1)
        result: dict[str, Any] = {**vars(mutant), "diff": "\n".join(list(diff)[2:])}
        if not tests:
            return {**result, "result": "survived", "by": "no test reaches it", "seconds": 0}
        left_out = list(broken)
        found = path.stat()
        path.write_text(changed)
        # Python compiles a file again when its time in seconds or its size changes: each version has its own time.
        self._version += 1
        os.utime(path, (found.st_mtime, found.st_mtime - self._version))
        try:
            result |= self._judge(tests, left_out)
        finally:
            path.write_text(source)
            os.utime(path, (found.st_mtime, found.st_mtime))
        return {**result, "flaky": left_out[len(broken) :], "seconds": round(time.monotonic() - began)}

    def _judge(self, tests: list[str], left_out: list[str]) -> dict[str, str]:
        while True:
            code, output = self.pytest("-x", *tests, *(f"--deselect={test}" for test in left_out))
            failed = re.search(r"^(?:FAILED|ERROR) (\S+?)( - .*)?$", output, re.MULTILINE)
            if code in (0, 5):  # 5: all tests are left out
                return {"result": "survived"}
            assert not re.search("^ERROR: (file or directory )?not found: ", output, re.MULTILINE), output
            slow = failed and re.search(rf"s (call|setup) +{re.escape(failed[1])}", output)
            if code != 1 or failed is None or not slow or self.pytest("-x", failed[1])[0] != 0:
                by = failed[0] if failed else output[-300:]
                return {"result": "timeout" if code is None else "killed", "by": by}
            left_out.append(failed[1])
            tests = tests[next((i for i, test in enumerate(tests) if failed[1].startswith(test)), 0) :]
