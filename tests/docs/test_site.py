"""The documentation becomes a site: every link leads somewhere, and nothing comes from other servers."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_is_made_and_stands_alone(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", "docs"]
    ran = subprocess.run([*build, ".", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    (start,) = re.findall(r"url=([^\"]+)", (tmp_path / "index.html").read_text())
    assert "whole picture" in (tmp_path / start).read_text()
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"([^\"]+)", page.read_text())
        assert [each for each in loaded if each.startswith(("http", "//"))] == [], page
