"""Make a release: `make release VERSION=0.2.0`.

It checks the tree and the changelog, sets the version, builds the wheel and the sdist, installs each into a clean
environment, paints a picture with what is installed there, and packs the benchmark results. Then it commits and tags.
If a step fails, the tree is left as it was. Nothing is published: push the commit and the tag, and upload `dist/`.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT, CHANGELOG = Path("pyproject.toml"), Path("CHANGELOG.md")
VERSION = re.compile(r'^version = "(.+)"$', re.MULTILINE)
UNRELEASED = "## [Unreleased]\n"
START_SECONDS = 300  # the first start creates a database


class ReleaseError(Exception):
    """Why there is no release; the message says what to do."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command and return what it prints.

    Raises:
        ReleaseError: it failed; the message has its output.
    """
    ran = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ReleaseError(f"{' '.join(map(str, command))}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def number(version: str) -> tuple[int, ...]:
    """The three numbers of a version.

    Raises:
        ReleaseError: it is not of the form 1.2.3.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ReleaseError(f"The version must look like 1.2.3, not {version!r}.")
    return tuple(int(part) for part in version.split("."))


def entries(changelog: str) -> str:
    """What the changelog has under "Unreleased".

    Raises:
        ReleaseError: there is no entry.
    """
    _, heading, rest = changelog.partition(UNRELEASED)
    found = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not heading or not re.search(r"^- ", found, re.MULTILINE):
        raise ReleaseError(f'{CHANGELOG} has no entry under "Unreleased": write what changes for users.')
    return found


def check(version: str, root: Path = ROOT) -> str:
    """Check that a release can be made, and return its changelog entries.

    Raises:
        ReleaseError: it cannot.
    """
    now = VERSION.findall((root / PROJECT).read_text())[0]
    if number(version) <= number(now):
        raise ReleaseError(f"The version is {now} now; {version} is not newer.")
    if changed := run("git", "status", "--porcelain", cwd=root):
        raise ReleaseError(f"Commit these first, or remove them:\n{changed}")
    if run("git", "tag", "--list", f"v{version}", cwd=root):
        raise ReleaseError(f"The tag v{version} exists already.")
    return entries((root / CHANGELOG).read_text())


def set_version(version: str, day: date, root: Path = ROOT) -> None:
    """Write the version into pyproject.toml, its only place, and close the changelog's section."""
    project, changelog = root / PROJECT, root / CHANGELOG
    project.write_text(VERSION.sub(f'version = "{version}"', project.read_text(), count=1))
    heading = f"{UNRELEASED}\n## [{version}] - {day.isoformat()}\n"
    changelog.write_text(changelog.read_text().replace(UNRELEASED, heading, 1))


def build(version: str, dist: Path, root: Path = ROOT) -> list[Path]:
    """Build the wheel and the sdist into `dist`; their paths."""
    run(sys.executable, "-m", "hatchling", "build", "--directory", dist, cwd=root)
    return [dist / f"underpaint-{version}-py3-none-any.whl", dist / f"underpaint-{version}.tar.gz"]


def install_and_smoke(package: Path, version: str) -> None:
    """Install a package into a clean environment and paint a picture with it.

    Everything happens in a temporary folder, so that nothing of the repository is imported.

    Raises:
        ReleaseError: a command failed.
    """
    with tempfile.TemporaryDirectory(prefix="underpaint-release-", dir="/tmp") as name:
        folder = Path(name)
        run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
        python = folder / "venv" / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, "--constraint", ROOT / "constraints.txt", "torch", cwd=folder)  # the largest part, and pinned
        run(*pip, "--constraint", ROOT / "constraints.txt", package, cwd=folder)
        smoke(folder / "venv" / "bin", version, folder)


def smoke(binaries: Path, version: str, folder: Path) -> None:
    """Import, print the version, start everything, and paint a picture.

    Raises:
        ReleaseError: a command failed, or what it made is not a picture.
    """
    run(binaries / "python", "-c", "import api.app, cli.main, sampler, tasks.queue, underpaint", cwd=folder)
    printed = run(binaries / "underpaint", "--version", cwd=folder).strip()
    if printed != f"underpaint {version}":
        raise ReleaseError(f"The installed command reports {printed!r}, not version {version}.")
    log = folder / "up.log"
    with log.open("w") as output:
        command = [binaries / "underpaint", "up", "--port", "0", "--data-dir", folder / "data"]
        up = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        server = _server(up, log)
        run(binaries / "underpaint", "generate", "red heart", "-o", "pictures", "--server", server, cwd=folder)
    except ReleaseError as error:
        raise ReleaseError(f"{error}\n{log.read_text()}") from error
    finally:
        up.terminate()
        up.wait()
    if not any((folder / "pictures").rglob("*.png")):
        raise ReleaseError("underpaint generate saved no picture.")


def _server(up: "subprocess.Popen[bytes]", log: Path) -> str:
    """The address that `underpaint up` prints when it is ready."""
    end = time.monotonic() + START_SECONDS
    while up.poll() is None and time.monotonic() < end:
        if found := re.search(r"Page +(http://\S+)/\s", log.read_text()):
            return found[1]
        time.sleep(0.2)
    raise ReleaseError("underpaint up did not become ready.")


def pack_benchmarks(results: Path, version: str, dist: Path) -> Path:
    """Pack the results of `make bench`.

    Raises:
        ReleaseError: there are none.
    """
    if not results.is_dir() or not any(results.glob("*.json")):
        raise ReleaseError(f"There are no benchmark results in {results}: run `make bench`.")
    packed = dist / f"underpaint-{version}-benchmarks.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(results, f"underpaint-{version}-benchmarks")
    return packed


def release(version: str) -> None:
    """All of it; see the module.

    Raises:
        ReleaseError: there is no release.
    """
    changes = check(version)
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    pack_benchmarks(ROOT / "build" / "benchmarks", version, dist)
    try:
        set_version(version, datetime.now(UTC).date())
        for package in build(version, dist):
            print(f"{package.name}: install and smoke test", flush=True)
            install_and_smoke(package, version)
        run("git", "commit", "--all", "--message", f"Release {version}")
    except BaseException:
        run("git", "checkout", "HEAD", "--", PROJECT, CHANGELOG)
        raise
    run(
        "git",
        "tag",
        "--annotate",
        "--cleanup=verbatim",
        f"v{version}",
        "--message",
        f"Underpaint {version}\n\n{changes}",
    )
    print(f"Committed and tagged v{version}. Now push both, and upload what is in {dist}.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="for example 0.2.0")
    try:
        release(parser.parse_args().version)
    except ReleaseError as error:
        print(f"No release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
