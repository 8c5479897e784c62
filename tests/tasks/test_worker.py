"""What a worker process holds, and what it ends at its end."""

from pathlib import Path

from store.catalog import Catalog
from tasks.engines import Engines
from tests.store.folder_pictures import FolderPictures
from tests.tasks.inside import Start
from tests.until import PATIENCE


def test_it_ends_its_engines(process: Start, catalog: Catalog) -> None:
    engines = Engines(width=1, device="cpu")
    thread = engines.get(catalog["emoji"])
    worker = process(engines=engines).worker
    assert thread.is_alive()
    worker.close(60)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_it_closes_the_store_of_pictures(process: Start, postgres_url: str, tmp_path: Path) -> None:
    pictures = FolderPictures(tmp_path, postgres_url)
    worker = process(pictures=pictures, engines=Engines(width=1, device="cpu")).worker
    pictures.sweep()
    assert pictures.connected
    worker.close(10)
    assert not pictures.connected
