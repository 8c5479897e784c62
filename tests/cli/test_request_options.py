"""The options of `underpaint generate`, `edit` and `refine` are those of the contract's table."""

import json
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar, get_args

import pytest
from typer.testing import CliRunner

from cli.errors import REFUSED
from cli.main import app
from contract.table import FIELDS, RequestFieldInfo
from contract.words import Method

SCALARS = {name: row for name, row in FIELDS.items() if row.type not in ("array", "object") and name != "prompt"}
JOB = "00000000-0000-4000-8000-000000000000"
SAMPLES: dict[str, tuple[str, Any]] = {
    "string": ("word", "word"),
    "integer": ("7", 7),
    "number": ("0.5", 0.5),
    "boolean": ("", True),
}
ADDRESS = f"/v1/jobs/{JOB}/images/0/iterates/latest"
PICTURES = {"image": (ADDRESS, ADDRESS), "mask": (ADDRESS, ADDRESS)}


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def samples(row: RequestFieldInfo) -> tuple[str, Any]:
    return PICTURES.get(row.name, SAMPLES[row.type])


def sample(row: RequestFieldInfo) -> list[str]:
    return [option(row.name), *filter(None, [samples(row)[0]])]


def help_of(command: str) -> str:
    shown = CliRunner().invoke(app, [command, "--help"], terminal_width=200, env={"COLUMNS": "200", "NO_COLOR": "1"})
    return re.sub(r"[\s│]+", " ", shown.output)


@pytest.mark.parametrize("name", SCALARS)
def test_the_help_of_generate_has_every_field(name: str) -> None:
    row, shown = SCALARS[name], help_of("generate")
    assert f" {option(name)} " in shown
    assert row.about.help in shown
    assert "|".join(row.choices) in shown


def test_the_help_has_units_and_bounds() -> None:
    shown = help_of("generate")
    assert re.search(r"--deadline-seconds <seconds> [^-]*\(more than 0, at most 604800\)", shown)
    assert re.search(r"--tolerance <float> [^-]*\(0 to 1\)", shown)
    assert re.search(r"--max-iterations <int> [^-]*\(0 or more\)", shown)


class Refusing(BaseHTTPRequestHandler):
    """A server that has a job which runs, and refuses whatever is posted."""

    posted: ClassVar[list[dict[str, Any]]]

    def do_GET(self) -> None:
        now = "2026-01-01T12:00:00Z"
        request = {"model": "m", "prompt": "p", "method": "srds", "steps": 9, "guidance_scale": 1, "tolerance": 0}
        request |= {"width": 64, "height": 64, "seed": 7, "images": 1}
        job = {"id": JOB, "state": "running", "created_at": now, "updated_at": now, "request": request}
        self._answer(200, {**job, "images": [], "links": {}})

    def do_POST(self) -> None:
        self.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(422, {"title": "Refused", "detail": "Refused."})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """What a command posts."""
    Refusing.posted = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        def run(*arguments: str) -> dict[str, Any]:
            where = ["--server", f"http://127.0.0.1:{server.server_port}", "-o", str(tmp_path)]
            assert CliRunner().invoke(app, [*arguments, *where]).exit_code == REFUSED
            return Refusing.posted.pop()

        yield run
        server.shutdown()


def test_generate_sends_the_options_that_are_given(post: Callable[..., dict[str, Any]]) -> None:
    arguments = [word for row in SCALARS.values() for word in sample(row)]
    values = {name: samples(row)[1] for name, row in SCALARS.items()}
    assert post("generate", "red heart", *arguments) == {"prompt": "red heart", **values}
    assert post("generate", "red heart", "--no-previews") == {"prompt": "red heart", "previews": False}


def test_edit_begins_with_a_picture(post: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    whole = {"prompt": "blue heart", "image": JOB, "strength": 0.5}
    assert post("edit", JOB, "blue", "heart", "--strength", "0.5") == whole
    digest = "0a" * 32
    assert post("edit", digest, "x", "--mask", digest) == {"prompt": "x", "image": digest, "mask": digest}
    assert CliRunner().invoke(app, ["edit", JOB, "x", "--image", JOB]).exit_code == 2
    refused = [str(tmp_path / "none.png"), "none.png", "none", str(tmp_path)]
    for name, message in zip(refused, ["no file", "no file", "not the id of a job", "cannot be read"], strict=True):
        shown = CliRunner().invoke(app, ["edit", name, "x", "-o", str(tmp_path)])
        assert shown.exit_code == REFUSED
        assert message in shown.output


def test_refine_has_only_what_can_be_refined(post: Callable[..., dict[str, Any]]) -> None:
    assert post("refine", JOB, "--tolerance", "0") == {"tolerance": 0}
    assert post("refine", JOB, "--max-iterations", "9") == {"max_iterations": 9}
    assert CliRunner().invoke(app, ["refine", JOB, "--steps", "7"]).exit_code == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("underpaint generate --met", ["--method"]),
        ("underpaint generate --method s", [name for name in get_args(Method) if name.startswith("s")]),
        ("underpaint refine --tol", ["--tolerance"]),
        ("underpaint jobs --state s", ["succeeded"]),
        ("underpaint keys create ann --scope ", ["submit", "read", "admin"]),
    ],
)
def test_completion(line: str, words: list[str]) -> None:
    asked = {"_UNDERPAINT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    completed = CliRunner().invoke(app, [], prog_name="underpaint", env=asked)
    assert completed.output.split() == words
