"""What `pip install .` brings: all packages, and the data that they find beside themselves."""

from pathlib import Path
from zipfile import ZipFile

from hatchling.builders.wheel import WheelBuilder

from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_code_and_data(tmp_path: Path) -> None:
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with ZipFile(built) as wheel:
        held = set(wheel.namelist())
    expected = [
        path
        for top in ("api", "cli", "contract", "migrations", "sampler", "store", "tasks", "underpaint")
        for path in (ROOT / top).rglob("*")
    ]
    expected += list((ROOT / "web").rglob("*"))
    expected += [SHIPPED_CATALOG]
    expected += [path for card in load_catalog(SHIPPED_CATALOG).values() for path in Path(card.source).rglob("*")]
    names = {str(path.relative_to(ROOT)) for path in expected if path.is_file() and "__pycache__" not in path.parts}
    assert names - held == set()
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", ".underpaint/"))]
