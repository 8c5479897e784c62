"""The whole service as processes: PostgreSQL, a Valkey that tests can kill, beat, a worker and the API."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from contract.fields import Generation
from tests.catalogue import entry, write_catalogue
from tests.conftest import empty
from tests.sampler.pipelines import build
from tests.service.parts import Api
from tests.service.story import JOB, Undisturbed, pictures
from tests.tasks.jobs import Jobs
from tests.tasks.outside import Broker, Fleet

LOOKING = """
[[models]]
id = "looking"
source = "looking"
dtype = "float32"

[models.defaults]
method = "serial"
width = 64
height = 64

[models.limits]
min_size = 64
max_size = 128
"""


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("broker"))
    yield made
    made.kill()


@pytest.fixture(scope="package")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with the shipped model; `slow`, the same model, whose jobs take many seconds by default; and
    `looking`, a tiny FLUX.2 of random weights, which looks at pictures."""
    folder = tmp_path_factory.mktemp("models")
    build("Flux2KleinPipeline").save_pretrained(folder / "looking")
    return write_catalogue(folder, entry(id="slow", method="srds", steps=900, tolerance=0), LOOKING)


@pytest.fixture(scope="package")
def settings(postgres_url: str, broker: Broker, catalogue: Path) -> dict[str, str]:
    return {
        "UNDERPAINT_CATALOG": str(catalogue),
        "UNDERPAINT_DATABASE_URL": postgres_url,
        "UNDERPAINT_REDIS_URL": broker.url,
        "UNDERPAINT_LEASE_SECONDS": "4",
        "UNDERPAINT_HEARTBEAT_SECONDS": "0.5",
        "UNDERPAINT_RESEND_SECONDS": "2",
    }


@pytest.fixture(scope="package")
def fleet(broker: Broker, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One beat and one worker."""
    made = Fleet(tmp_path_factory.mktemp("fleet"), broker, settings)
    made.have(1)
    yield made
    assert set(made.stop()) == {0}, made.logs()


@pytest.fixture(scope="package")
def served(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with ExitStack() as stack:
        made = Api(tmp_path_factory.mktemp("api"), {**os.environ, **settings})
        stack.callback(made.kill)
        made.start()
        yield made


@pytest.fixture(scope="package")
def undisturbed(served: Api, fleet: Fleet, engine: Engine) -> Undisturbed:
    """The pictures of `JOB` in a run without faults."""
    empty(engine)  # keys that another package's test left would be required
    job = served.submit(**JOB)
    assert [event.kind for event in served.follow(job)][-1] == "done"
    return pictures(served, job)


@pytest.fixture
def jobs(database: Engine, generation: Callable[..., Generation]) -> Jobs:
    return Jobs(database, generation)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


@pytest.fixture
def api(served: Api, fleet: Fleet, database: Engine) -> Api:
    """The API with a worker. The database is empty."""
    return served


@pytest.fixture
def plain(api: Api) -> Iterator[httpx.Client]:
    with api.client() as made:
        yield made
