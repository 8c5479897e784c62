"""`underpaint generate` with a real server, as users and scripts use it."""

import io
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
