"""`underpaint generate` with a real server, as users and scripts use it."""

import io
import os
import signal
import subprocess
from pathlib import Path
from typing import IO

import httpx
import pytest
from PIL import Image

from cli.files import PictureFiles
from tests.cli.running import COMMAND, environment, run
from tests.until import until

LONG = ["--steps", "1000", "--tolerance", "0", "--images", "4"]  # minutes, unless it is stopped


def generate(*options: str) -> subprocess.CompletedProcess[str]:
    return run("generate", *options)


def started(*options: str) -> subprocess.Popen[str]:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job in the background, and children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [*COMMAND, "generate", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def first_line(stream: IO[str] | None) -> str:
    assert stream
    return stream.readline().strip()


def newest_job(server: str) -> dict[str, str]:
    return httpx.get(f"{server}/v1/jobs", params={"limit": 1}, trust_env=False).json()["jobs"][0]


def test_every_iterate_is_saved_as_it_comes(server: str, tmp_path: Path) -> None:
    request = [
        "Red heart!",
        "--method",
        "srds",
        "--seed",
        "7",
        "--images",
        "2",
        "--steps",
        "9",
        "--blocks",
        "3",
        "--tolerance",
        "0",
    ]
    ran = generate(*request, "-o", str(tmp_path / "pictures"), "--server", f"{server}/")
    assert ran.returncode == 0, ran.stderr
    paths = [Path(line) for line in ran.stdout.splitlines()]
    # Three blocks and no tolerance: iterates 0, 1, 2, and the third, which is exact, is the finished picture.
    names = [f"red-heart-{seed}{mark}.png" for seed in (7, 8) for mark in ("", *(f"-iterate-0{p}" for p in range(3)))]
    assert sorted(path.name for path in paths) == sorted(names)
    assert {path.parent for path in paths} == {tmp_path / "pictures"}
    for path in paths:
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == ("PNG", (64, 64))
    final = httpx.get(
        f"{server}/v1/jobs/{newest_job(server)['id']}/images/1/iterates/latest",
        headers={"Accept": "image/png"},
        trust_env=False,
    )
    with Image.open(io.BytesIO(final.content)) as kept, Image.open(tmp_path / "pictures" / "red-heart-8.png") as saved:
        assert kept.tobytes() == saved.tobytes()


def test_without_previews_only_the_finished_picture_is_saved(server: str, tmp_path: Path) -> None:
    ran = generate("cat face", "--seed", "1", "--steps", "4", "--no-previews", "-o", str(tmp_path), "--server", server)
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cat-face-1.png"]


def test_ctrl_c_cancels_the_job(server: str, tmp_path: Path) -> None:
    with started("pizza", *LONG, "-o", str(tmp_path), "--server", server) as running:
        assert first_line(running.stdout).endswith("-iterate-00.png")
        running.send_signal(signal.SIGINT)
        assert running.wait() == 130
        assert "Canceled job" in (running.stderr.read() if running.stderr else "")
    until(lambda: newest_job(server)["state"] == "canceled")


def test_a_job_that_somebody_else_cancels(server: str, tmp_path: Path) -> None:
    with started("rocket", *LONG, "-o", str(tmp_path), "--server", server) as running:
        assert first_line(running.stdout).endswith("-iterate-00.png")
        httpx.post(f"{server}/v1/jobs/{newest_job(server)['id']}/cancel", trust_env=False).raise_for_status()
        assert running.wait() == 4
        assert "was canceled by somebody else" in (running.stderr.read() if running.stderr else "")


def test_what_the_server_refuses_is_explained(server: str, tmp_path: Path) -> None:
    ran = generate("pizza", "--steps", "0", "--width", "63", "-o", str(tmp_path), "--server", server)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert [line.split()[0] for line in ran.stderr.splitlines() if line.startswith("  ")] == ["steps", "width"]


def test_no_server(tmp_path: Path) -> None:
    ran = generate("pizza", "-o", str(tmp_path), "--server", "http://127.0.0.1:9")
    assert ran.returncode == 5
    assert ran.stderr.startswith("Error: No server answers at http://127.0.0.1:9")
    assert "underpaint up" in ran.stderr


def test_no_address(tmp_path: Path) -> None:
    ran = generate("pizza", "-o", str(tmp_path), "--server", "localhost")
    assert ran.returncode == 1
    assert "Use --server http://HOST:PORT" in ran.stderr


def test_a_folder_that_cannot_be_one_is_reported_before_anything_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = generate("pizza", "-o", str(tmp_path / "file"), "--server", "http://127.0.0.1:9")
    assert ran.returncode == 1
    assert "Pictures cannot be saved in" in ran.stderr


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("red heart", "red-heart"),
        ("  A cat, a dog!  ", "a-cat-a-dog"),
        ("../../etc/passwd", "etc-passwd"),
        ("красное сердце", "красное-сердце"),
        ("❤", "picture"),
        ("long " * 50, "long-long-long-long-long-long-long-long"),
    ],
)
def test_names(tmp_path: Path, prompt: str, name: str) -> None:
    files = PictureFiles(tmp_path, prompt)
    assert files.save(7, 3, b"3") == tmp_path / f"{name}-7-iterate-03.png"
    assert files.save(7, None, b"final") == tmp_path / f"{name}-7.png"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_no_job_overwrites_the_pictures_of_another(tmp_path: Path) -> None:
    first, second, other = (PictureFiles(tmp_path, prompt) for prompt in ("Red heart!", "Red heart!", "red, heart"))
    for files, content in ((first, b"1"), (second, b"2"), (other, b"3"), (first, b"4"), (second, b"5")):
        path = files.save(7, None if content > b"3" else 0, content)
        assert path.read_bytes() == content
    assert names(tmp_path) == {
        *("red-heart-7-iterate-00.png", "red-heart-7-2-iterate-00.png", "red-heart-7-3-iterate-00.png"),
        *("red-heart-7.png", "red-heart-7-2.png"),
    }
    assert (tmp_path / "red-heart-7-iterate-00.png").read_bytes() == b"1"
    # The same iterate of the same job, after a worker died, replaces its own.
    assert first.save(7, 0, b"6").read_bytes() == b"6"
    assert (tmp_path / "red-heart-7-2-iterate-00.png").read_bytes() == b"2"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_cancel_the_job_too(server: str, tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = started("red heart", *LONG, "-o", str(tmp_path), "--server", server)
    assert first_line(process.stdout)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == code
    assert "Canceled job" in errors
    assert "Traceback" not in errors
    until(lambda: newest_job(server)["state"] == "canceled")


def test_a_picture_that_cannot_be_written_leaves_no_job_behind_unsaid(server: str, tmp_path: Path) -> None:
    process = started("red heart", *LONG, "-o", str(tmp_path), "--server", server)
    assert first_line(process.stdout)
    for path in tmp_path.iterdir():
        path.unlink()
    tmp_path.rmdir()
    _, errors = process.communicate()
    assert process.returncode == 1
    job = newest_job(server)["id"]
    assert f"The job goes on: its id is {job}. `underpaint cancel {job}` ends it." in errors
    run("cancel", job, "--server", server)


def test_a_reader_that_ends_is_told_of_the_job(server: str, tmp_path: Path) -> None:
    process = started("red heart", *LONG, "-o", str(tmp_path), "--server", server)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    errors = process.stderr.read()
    assert process.wait() == 1
    job = newest_job(server)["id"]
    assert f"its id is {job}" in errors
    assert "Traceback" not in errors
    process.stderr.close()
    run("cancel", job, "--server", server)


def test_any_prompt_in_any_encoding(server: str, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"  # a name in Latin-1
    command = [*COMMAND, "generate", "caf\u00e9 \u2603", "--steps", "4", "--server", server, "-o", folder]
    settings = environment(PYTHONIOENCODING="ascii")
    ran = subprocess.run(command, capture_output=True, env=settings, check=False)
    assert ran.returncode == 0, ran.stderr
    written = ran.stdout.splitlines()[-1]
    assert written.startswith(folder + b"/caf\\xe9-")
    (final,) = [name for name in os.listdir(folder) if b"iterate" not in name]
    assert final.decode().startswith("caf\u00e9-")
    shown = subprocess.run([*COMMAND, "jobs", "--server", server], capture_output=True, env=settings, check=False)
    assert shown.returncode == 0
    assert b"caf\\xe9 \\u2603" in shown.stdout


@pytest.mark.parametrize("arguments", [["generate", b"caf\xe9"], ["show", b"\xff"], ["models", "--server", b"\xff"]])
def test_an_argument_that_is_no_text(server: str, arguments: list[str | bytes]) -> None:
    settings = environment(UNDERPAINT_SERVER=server)
    ran = subprocess.run([*COMMAND, *arguments], capture_output=True, env=settings, check=False)
    assert ran.returncode in {1, 2}
    assert b"Traceback" not in ran.stderr
    assert ran.stderr.startswith(b"Error: ")
