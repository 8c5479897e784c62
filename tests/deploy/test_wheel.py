"""The wheel and the sdist: what they contain, and that a clean environment paints a picture with them."""

import sysconfig
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

from deploy import release
from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
VERSION = PROJECT["project"]["version"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist."""
    wheel, sdist = release.build(VERSION, tmp_path_factory.mktemp("dist"))
    return wheel, sdist


def test_the_wheel_holds_code_and_data(built: tuple[Path, Path]) -> None:
    held = set(ZipFile(built[0]).namelist())
    expected = [path for top in set(PACKAGES) - {"models"} for path in (ROOT / top).rglob("*")]
    expected += [SHIPPED_CATALOG]
    expected += [path for card in load_catalog(SHIPPED_CATALOG).values() for path in Path(card.source).rglob("*")]
    names = {str(path.relative_to(ROOT)) for path in expected if path.is_file() and "__pycache__" not in path.parts}
    assert names - held == set()
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", ".underpaint/"))]


def test_every_package_of_ours_is_in_the_wheel() -> None:
    roots = set(PROJECT["tool"]["importlinter"]["root_packages"])
    assert roots - set(PACKAGES) == set()


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder. PostgreSQL's own user must reach it, and other pytest processes close those of pytest to it."""
    with tempfile.TemporaryDirectory(prefix="underpaint-test-", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.slow
def test_a_clean_environment_paints_a_picture_with_the_sdist(built: tuple[Path, Path], folder: Path) -> None:
    """The dependencies are this environment's, to be quick; our code comes from the sdist alone."""
    wheel, sdist = built
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    binaries = folder / "venv" / "bin"
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    installed = Path(sysconfig.get_path("purelib", "venv", paths))
    # Of a folder that a .pth file names, the .pth files are not read: nothing leads to the repository.
    (installed / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [binaries / "python", "-m", "pip", "install", "--quiet", "--no-build-isolation"]
    release.run(*pip, "--no-deps", "--ignore-installed", sdist, cwd=folder)
    names = {str(path.relative_to(installed)) for top in PACKAGES for path in (installed / top).rglob("*")}
    tops = tuple(f"{top}/" for top in PACKAGES)
    assert {name for name in ZipFile(wheel).namelist() if name.startswith(tops)} - names == set()
    release.smoke(binaries, VERSION, folder)
    for path in (folder / "pictures").rglob("*.png"):
        with Image.open(path) as picture:
            assert picture.size == (64, 64)
