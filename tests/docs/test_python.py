"""The Python that the documentation shows runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "sampler.md"]
CODE = [
    pytest.param(code, id=f"{page.stem}-{n}")
    for page in PAGES
    for n, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("code", CODE)
def test_it_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('"models/emoji"', repr(str(ROOT / "models" / "emoji"))), "page", "exec"), {})
    if "print" in code:
        assert capsys.readouterr().out
    if "save" in code:
        assert len(list(tmp_path.glob("*.png"))) >= 3
