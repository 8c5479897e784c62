"""The release command: what it refuses and what it writes. The packages are in tests/deploy/test_wheel.py."""

import subprocess
import tarfile
from datetime import date
from pathlib import Path

import pytest

from deploy import release
from deploy.release import ReleaseError

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Pictures.\n\n## [0.1.0] - 2026-01-01\n\n- All.\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clean repository, with a version and a changelog."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0.1.0"\n\n[tool.x]\nversion = "9"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *command: str) -> None:
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *author, *command], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "commit", "--quiet", "--all", "--message", "Change")


def test_a_clean_tree_with_entries_may_be_released(clone: Path) -> None:
    assert release.check("0.2.0", clone) == "### Added\n\n- Pictures."


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9"])
def test_the_version_must_be_newer(clone: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match="not newer"):
        release.check(version, clone)


def test_versions_are_compared_as_numbers(clone: Path) -> None:
    assert release.check("0.10.0", clone)


@pytest.mark.parametrize("version", ["1", "0.2", "v0.2.0", "0.2.0rc1"])
def test_the_version_has_three_numbers(clone: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match="must look like"):
        release.check(version, clone)


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.txt"])
def test_the_tree_must_be_clean(clone: Path, name: str) -> None:
    (clone / name).write_text(CHANGELOG + "- More.\n")
    with pytest.raises(ReleaseError, match=name):
        release.check("0.2.0", clone)


def test_a_tag_is_made_once(clone: Path) -> None:
    git(clone, "tag", "v0.2.0")
    with pytest.raises(ReleaseError, match="exists"):
        release.check("0.2.0", clone)


@pytest.mark.parametrize("section", ["", "## [Unreleased]\n\n", "## [Unreleased]\n\n### Added\n\n"])
def test_the_changelog_must_have_an_entry(clone: Path, section: str) -> None:
    (clone / "CHANGELOG.md").write_text(f"# Changelog\n\n{section}## [0.1.0] - 2026-01-01\n\n- All.\n")
    commit(clone)
    with pytest.raises(ReleaseError, match="no entry"):
        release.check("0.2.0", clone)


def test_the_version_is_set_and_the_changelog_closed(clone: Path) -> None:
    release.set_version("0.2.0", date(2026, 2, 3), clone)
    assert (clone / "pyproject.toml").read_text().count('version = "0.2.0"\n') == 1
    assert 'version = "9"\n' in (clone / "pyproject.toml").read_text()
    changelog = (clone / "CHANGELOG.md").read_text()
    assert "## [Unreleased]\n\n## [0.2.0] - 2026-02-03\n\n### Added\n\n- Pictures.\n\n## [0.1.0]" in changelog


def test_a_package_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/bin/true")
    (tmp_path / "underpaint").write_text("#!/bin/sh\necho underpaint 0.1.0\n")
    (tmp_path / "underpaint").chmod(0o755)
    with pytest.raises(ReleaseError, match=r"'underpaint 0\.1\.0', not version 0\.2\.0"):
        release.smoke(tmp_path, "0.2.0", tmp_path)


def test_benchmark_results_are_packed(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with pytest.raises(ReleaseError, match="make bench"):
        release.pack_benchmarks(results, "0.2.0", tmp_path)
    (results / "clock.json").write_text("{}")
    with tarfile.open(release.pack_benchmarks(results, "0.2.0", tmp_path)) as packed:
        assert "underpaint-0.2.0-benchmarks/clock.json" in packed.getnames()
