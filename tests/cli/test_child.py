"""Children of `up`: real processes that stop, that do not, and that end by themselves."""

import asyncio
import math
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from cli.errors import CommandError
from cli.up.child import Child, ProcessSpec
from cli.up.datadir import DataDir
from cli.up.output import Terminal
from cli.up.supervisor import Supervisor
from tests.until import until


def python(source: str) -> list[str]:
    return [sys.executable, "-c", f"import os, signal, subprocess, sys, time\n{source}"]


class Lines(list[str]):
    """The lines that were shown."""

    def show(self, name: str, line: str) -> None:
        self.append(f"{name}: {line}")

    async def wait_for(self, line: str, count: int = 1) -> None:
        while self.count(line) < count:
            await asyncio.sleep(0.01)


def test_its_output_is_shown_and_kept(tmp_path: Path) -> None:
    lines = Lines()
    log = tmp_path / "talker.log"
    log.write_text("an earlier run\n")

    async def run() -> str:
        child = Child(ProcessSpec("talker", python("print('to one', flush=True); sys.exit('to two')")), log, lines.show)
        await child.start()
        return await child.wait()

    assert asyncio.run(run()) == "ended with exit code 1"
    assert lines == ["talker: to one", "talker: to two"]
    assert log.read_text() == "an earlier run\nto one\nto two\n"


def test_a_line_may_be_longer_than_any_buffer(tmp_path: Path) -> None:
    lines = Lines()

    async def run() -> None:
        child = Child(ProcessSpec("talker", python("print('x' * 1_000_000)")), tmp_path / "log", lines.show)
        await child.start()
        await child.wait()

    asyncio.run(run())
    assert lines == ["talker: " + "x" * 1_000_000]


def test_a_large_log_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.up.output.LOG_LIMIT", 5)
    log = tmp_path / "talker.log"
    log.write_text("more than five bytes")

    async def run() -> None:
        child = Child(ProcessSpec("talker", python("print('new')")), log, Lines().show)
        await child.start()
        await child.wait()

    asyncio.run(run())
    assert log.read_text() == "new\n"
    assert (tmp_path / "talker.log.1").read_text() == "more than five bytes"


def test_a_full_disk_does_not_keep_it_from_writing(tmp_path: Path) -> None:
    lines, reported = Lines(), []
    log = tmp_path / "talker.log"
    log.symlink_to("/dev/full")  # every write to it fails, as on a full disk
    more, size = tmp_path / "more", 1_000_000  # far more than a pipe holds

    async def run() -> str:
        source = f"""
print("x" * {size})
print("one", flush=True)
while not os.path.exists({str(more)!r}):
    time.sleep(0.01)
print("two", flush=True)
"""
        child = Child(ProcessSpec("talker", python(source)), log, lines.show, reported.append)
        await child.start()
        await lines.wait_for("talker: one")
        log.unlink()  # there is room again
        more.touch()
        return await child.wait()

    assert asyncio.run(run()) == "ended with exit code 0"
    assert lines[1:] == ["talker: one", "talker: two"]
    assert log.read_text() == f"\n({size + 5} bytes are missing here)\ntwo\n"
    assert reported == [
        f"{log} cannot be written: the disk is full. Its lines are dropped until it can be.",
        f"{log} is written again; {size + 5} bytes were dropped",
    ]


def test_it_stops_by_its_signal(tmp_path: Path) -> None:
    lines = Lines()
    source = """
def bye(*_):
    print("bye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, bye)
print("there", flush=True)
signal.pause()
"""
    spec = ProcessSpec("polite", python(source), stop_signal=signal.SIGINT, patience=math.inf)

    async def run() -> bool:
        child = Child(spec, tmp_path / "log", lines.show)
        await child.start()
        await lines.wait_for("polite: there")
        return await child.stop()

    assert asyncio.run(run()) is True
    assert lines == ["polite: there", "polite: bye"]


def test_one_that_does_not_stop_is_killed_with_all_it_started(tmp_path: Path) -> None:
    lines = Lines()
    source = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
other = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(other.pid, flush=True)
signal.pause()
"""

    async def run() -> bool:
        child = Child(ProcessSpec("stubborn", python(source), patience=0.2), tmp_path / "log", lines.show)
        await child.start()
        while not lines:
            await asyncio.sleep(0.01)
        return await child.stop()

    assert asyncio.run(run()) is False
    until(lambda: ended(int(lines[0].removeprefix("stubborn: "))))


def ended(pid: int) -> bool:
    """Whether a process has ended. An orphan stays a zombie if there is no init that reads its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def supervised(folder: Path, work: Coroutine[None, None, None], *specs: ProcessSpec, startup_done: bool) -> None:
    """Does some work while the children run."""

    async def run() -> None:
        data = DataDir(folder)
        with data.lock(), closing(Terminal()) as terminal:
            supervisor = Supervisor(data, "http://nowhere", terminal)
            for spec in specs:
                await supervisor.start(spec)
            if startup_done:
                supervisor.startup_done()
            try:
                await supervisor.run(work)
            finally:
                await supervisor.stop()

    asyncio.run(run())


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_child_that_ends_during_the_start_is_a_failed_start(tmp_path: Path) -> None:
    specs = [
        ProcessSpec("steady", python("signal.pause()")),
        ProcessSpec("broken", python("sys.exit('no such luck')"), shown=False),
    ]
    with pytest.raises(
        CommandError, match=r"(?s)broken ended with exit code 1\. The end of .*broken\.log:\s+no such luck"
    ):
        supervised(tmp_path, forever(), *specs, startup_done=False)


def test_a_child_that_ends_later_is_started_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    starts = tmp_path / "starts"
    source = f"open({str(starts)!r}, 'a').write('started\\n'); os.kill(os.getpid(), signal.SIGKILL)"

    async def twice() -> None:
        while not starts.exists() or len(starts.read_text().splitlines()) < 2:
            await asyncio.sleep(0.05)

    supervised(tmp_path, twice(), ProcessSpec("frail", python(source)), startup_done=True)
    assert "frail was killed by SIGKILL; starting it again in 1 s" in capfd.readouterr().out


def test_one_that_is_started_again_on_a_full_disk_is_recorded_later(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = DataDir(tmp_path)
    part = data.record.path.with_suffix(".new")
    source = f"open({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n'); signal.pause()"

    def pids() -> list[int]:
        file = tmp_path / "pids"
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []

    async def crash_on_a_full_disk() -> None:
        while not pids():
            await asyncio.sleep(0.01)
        part.symlink_to("/dev/full")
        os.kill(pids()[0], signal.SIGKILL)
        while len(pids()) < 2:
            await asyncio.sleep(0.01)
        # The attempt to write it removes the link: from now on there is room.
        while [process.pid for process in data.record.processes()] != [pids()[1]]:
            await asyncio.sleep(0.01)

    supervised(tmp_path, crash_on_a_full_disk(), ProcessSpec("frail", python(source)), startup_done=True)
    assert f"{data.record.path} cannot be written: the disk is full" in capfd.readouterr().out


def test_one_that_cannot_be_started_again_is_tried_later(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    starts: list[int] = []

    def prepare() -> None:
        starts.append(1)
        if len(starts) == 2:
            Path("/dev/full").write_text("x")

    async def thrice() -> None:
        while len(starts) < 3:
            await asyncio.sleep(0.01)

    supervised(tmp_path, thrice(), ProcessSpec("frail", python(""), prepare=prepare), startup_done=True)
    assert "frail cannot be started: the disk is full; again in 2 s" in capfd.readouterr().out


def test_they_stop_in_the_opposite_order(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    specs = [ProcessSpec(name, python("signal.pause()")) for name in ("first", "second", "third")]
    supervised(tmp_path, asyncio.sleep(0.1), *specs, startup_done=True)
    output = capfd.readouterr().out
    assert output.index("Stopping third") < output.index("Stopping second") < output.index("Stopping first")
    assert DataDir(tmp_path).record.processes() == []
