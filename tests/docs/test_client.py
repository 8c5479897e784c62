"""The Python that the page on the client shows runs as it stands."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
CODE = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("code", CODE, ids=range(len(CODE)))
def test_it_runs(
    code: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERPAINT_SERVER", server)
    monkeypatch.delenv("UNDERPAINT_KEY", raising=False)
    exec(compile(code, str(PAGE), "exec"), {})
    said = capsys.readouterr().out
    if "print" in code:
        assert said
    if "InvalidRequest" in code:
        assert said == "422 invalid-request [('steps', 'must be from 1 to 1000'), ('width', 'must be 64')]\n"
    if "save" in code:
        assert len(list(tmp_path.glob("*.png"))) == code.count("save") * (5 if "events" in code else 1)
