"""The commands about jobs with a real server, as users and scripts use them."""

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.worker import png
from tests.cli.running import COMMAND, Running, environment, run
from tests.until import until
from underpaint import Underpaint

DRAFT = ("--steps", "9", "--blocks", "3", "--method", "srds", "--max-iterations", "0", "--seed", "7")
LONG = ("--steps", "1000", "--blocks", "5", "--tolerance", "0", "--method", "srds")  # minutes, unless it is stopped


@pytest.fixture(scope="module")
def ask(running: Running) -> Callable[..., str]:
    """Runs a command on the server, which must succeed, and returns its output."""

    def asked(*arguments: str, stdin: str = "") -> str:
        ran = run(*arguments, stdin=stdin, UNDERPAINT_SERVER=running.url)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return asked


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the pictures of the draft."""
    return tmp_path_factory.mktemp("draft")


@pytest.fixture(scope="module")
def draft(ask: Callable[..., str], saved: Path) -> dict[str, Any]:
    """A draft of a red heart."""
    return json.loads(ask("generate", "red heart", *DRAFT, "--json", "-o", str(saved)))


@pytest.fixture
def api(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, trust_env=False, timeout=None) as opened:
        yield opened


def test_listing(ask: Callable[..., str], draft: dict[str, Any], api: httpx.Client) -> None:
    assert (draft["state"], draft["stopped"]) == ("succeeded", "max_iterations")
    ask("generate", "pizza", *DRAFT, "--detach")
    listed = json.loads(ask("jobs", "--limit", "1", "--json"))
    assert listed["jobs"][0]["request"]["prompt"] == "pizza"
    later = ("jobs", "--state", "succeeded", "--cursor", listed["next_cursor"])
    assert json.loads(ask(*later, "--json"))["jobs"][0] == api.get("/v1/jobs?limit=2").json()["jobs"][1]
    header, *rows = ask(*later).splitlines()
    assert header.split() == ["ID", "STATE", "AGE", "IMAGES", "ITERATE", "RESIDUAL", "ERROR", "PROMPT"]
    (row,) = (row for row in rows if row.startswith(draft["id"][:8]))
    assert row.split()[1] == "succeeded"
    assert row.endswith("red heart")
    assert "no such jobs" in ask("jobs", "--model", "none")
    ask("generate", "two\nlines \x1b[2J", *DRAFT, "--detach")
    assert ask("jobs", "--limit", "1").splitlines()[1].endswith("two lines  [2J")


def test_showing_and_saving(
    ask: Callable[..., str], draft: dict[str, Any], saved: Path, api: httpx.Client, tmp_path: Path
) -> None:
    shown = json.loads(ask("show", draft["id"], "--json"))
    assert shown.pop("iterates") == api.get(f"/v1/jobs/{draft['id']}/iterates").json()["iterates"]
    assert shown == draft
    text = ask("show", draft["id"][:12], "--save", str(tmp_path / "kept"))
    assert "\x1b" not in text
    lines = [line.split() for line in text.splitlines()]
    assert ["Job", draft["id"]] in lines
    assert ["IMAGE", "ITERATE", "RESIDUAL", "ERROR", "ROUNDS", "EVALUATIONS", "SECONDS", "PICTURE"] in lines
    assert lines[-1] == [str(tmp_path / "kept" / "red-heart-7.png")]
    kept = (tmp_path / "kept" / "red-heart-7.png").read_bytes()
    assert kept == (saved / "red-heart-7.png").read_bytes()


def test_prompts_from_a_file(ask: Callable[..., str], saved: Path, api: httpx.Client) -> None:
    (saved / "prompts").write_text("pizza\n\n  cat face \n")
    paths = ask("generate", "--file", str(saved / "prompts"), *DRAFT, "-o", str(saved / "many")).splitlines()
    assert [Path(path).name for path in paths] == ["pizza-7.png", "cat-face-7.png"]
    ids = ask("generate", "-f", "-", *DRAFT, "--detach", stdin="rocket\nhouse\n").split()
    assert [api.get(f"/v1/jobs/{each}").json()["request"]["prompt"] for each in ids] == ["rocket", "house"]
    for wrong in (["red", "heart", "--file", str(saved / "prompts")], []):
        refused = run("generate", *wrong)
        assert (refused.returncode, "--file" in refused.stderr) == (2, True)


def test_a_picture_says_how_it_was_made(ask: Callable[..., str], draft: dict[str, Any], saved: Path) -> None:
    file = str(saved / "red-heart-7.png")
    lines = ask("show", file).splitlines()
    assert lines[0].endswith(f"image 0 of job {draft['id']}")
    assert lines[1:3] == ["Digital source type: trainedAlgorithmicMedia", "red heart"]
    assert lines[-1].startswith("Steps: 9, Sampler: Automatic, ")
    said = json.loads(ask("show", file, "--json"))
    assert said["made"]["request"] == draft["request"]
    assert said["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    for content, message in ((b"no picture", "cannot be read"), (png(), "does not say how it was made")):
        (saved / "other").write_bytes(content)
        refused = run("show", str(saved / "other"))
        assert (refused.returncode, message in refused.stderr) == (1, True)


def in_terminal(*arguments: str, **settings: str) -> str:
    """The output of a command in a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], stdout=theirs, stderr=theirs, env=environment(**settings)) as process:
        os.close(theirs)
        output = b""
        try:
            while part := os.read(ours, 65536):
                output += part
        except OSError:
            pass  # Linux reports a closed terminal as an error
        os.close(ours)
    assert process.returncode == 0, output
    return output.decode()


def test_a_list_in_a_narrow_terminal(server: str, ask: Callable[..., str]) -> None:
    ask("generate", "a long prompt " * 20, *DRAFT, "--detach")
    header, row = in_terminal(
        "jobs", "--limit", "1", UNDERPAINT_SERVER=server, NO_COLOR="1", COLUMNS="80"
    ).splitlines()[:2]
    assert header.split()[0] == "ID"
    assert row.split()[1] in ("queued", "running", "succeeded")
    assert row.rstrip().endswith("…")
    assert len(row) <= 80


def test_pictures_in_a_terminal(server: str, draft: dict[str, Any], tmp_path: Path) -> None:
    where = {"UNDERPAINT_SERVER": server, "TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": ""}
    assert in_terminal("show", draft["id"], **where).count("▀") == 32 * 16
    assert "▀" not in in_terminal("show", draft["id"], **{**where, "NO_COLOR": "1"})
    drawn = in_terminal("generate", "red heart", *DRAFT, "-o", str(tmp_path), COLUMNS="300", **where)
    assert drawn.count("▀") >= 32 * 16
    # The path is a line of its own between the drawings.
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn).replace("\r", "\n").splitlines()
    assert str(tmp_path / "red-heart-7.png") in [line.strip() for line in lines]


def test_refining(ask: Callable[..., str], tmp_path: Path) -> None:
    rough = ask("generate", "rocket", *DRAFT, "--json", "-o", str(tmp_path))
    paths = ask("refine", json.loads(rough)["id"], "--tolerance", "0", "-o", str(tmp_path)).splitlines()
    # Of three blocks iterate 0 was there before. The pictures of the draft are kept.
    assert [Path(path).name for path in paths] == [
        "rocket-7-2-iterate-01.png",
        "rocket-7-2-iterate-02.png",
        "rocket-7-2.png",
    ]
    assert json.loads(ask("show", json.loads(rough)["id"], "--json"))["stopped"] == "exact"


def test_ending(server: str, ask: Callable[..., str], api: httpx.Client) -> None:
    first = ask("generate", "rocket", *LONG, "--detach").strip()
    assert first in ask("cancel", first)
    second = ask("generate", "house", *LONG, "--detach").strip()
    until(lambda: api.get(f"/v1/jobs/{second}/images/0/iterates/0", params={"wait": 60}).is_success)
    assert second in ask("accept", second)
    with Underpaint(server) as client:
        job = client.wait(second)
        assert (job.state, job.stopped) == ("succeeded", "accepted")
        assert client.wait(first).state == "canceled"

    refused = run("delete", second, UNDERPAINT_SERVER=server)  # without an answer to the question
    assert refused.returncode == 1
    assert "house" in refused.stdout
    assert "is deleted" in ask("delete", second, stdin="y\n")
    assert api.get(f"/v1/jobs/{second}").status_code == 404
    assert ask("delete", first, "--yes").split() == ["Job", first, "is", "deleted."]


def test_models(ask: Callable[..., str], api: httpx.Client) -> None:
    assert json.loads(ask("models", "--json")) == {"models": api.get("/v1/models").json()["models"]}
    assert "emoji" in ask("models").splitlines()[1].split()


def test_names_of_jobs(server: str, api: httpx.Client, draft: dict[str, Any], ask: Callable[..., str]) -> None:
    assert json.loads(ask("show", "last", "--json"))["id"] == api.get("/v1/jobs").json()["jobs"][0]["id"]
    for name, message in {
        "heart": "is not the id of a job",
        "0" * 37: "is not the id of a job",
        "0" * 36: "None of the newest",
        "00000000-0000-4000-8000-000000000000": "There is no job",
        "00000000-0000-4000-8000-": "None of the newest",
    }.items():
        ran = run("show", name, UNDERPAINT_SERVER=server)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert message in ran.stderr


def test_without_a_server() -> None:
    for command in (["jobs"], ["refine", "last"], ["models"]):
        ran = run(*command, "--server", "http://127.0.0.1:9")
        assert (ran.returncode, ran.stdout) == (5, "")
        assert "underpaint up" in ran.stderr


def test_completion(server: str, draft: dict[str, Any]) -> None:
    def completed(line: str, **settings: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        asked = {"_UNDERPAINT_COMPLETE": "complete_bash", **words, **settings}
        code = "import sys; sys.argv[0] = 'underpaint'; from cli.main import app; app(prog_name='underpaint')"
        ran = subprocess.run([COMMAND[0], "-c", code], env=environment(**asked), capture_output=True, text=True)
        assert ran.stderr == ""
        return ran.stdout.split()

    assert completed("underpaint sh") == ["show"]
    found = completed("underpaint show ", UNDERPAINT_SERVER=server)
    assert found[0] == "last"
    assert draft["id"][:8] in found
    assert completed("underpaint show ", UNDERPAINT_SERVER="http://127.0.0.1:9") == []
