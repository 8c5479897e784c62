"""Which worker takes a job: one that runs its model, and if possible one that has it in memory."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine

from contract.fields import Generation
from store import moves, workers
from store.catalog import Catalog
from store.queue_order import Models
from store.settings import JobSettings, WorkerSettings
from tasks import routing
from tasks.broker import QUEUE
from tasks.worker import make_worker
from tests.tasks.inside import Process, Start
from tests.tasks.jobs import Jobs


@pytest.fixture
def pair(catalog: Catalog) -> Catalog:
    """The shipped model under two names."""
    return Catalog({name: catalog["emoji"].model_copy(update={"id": name}) for name in ("emoji", "other")})


@pytest.fixture
def jobs(database: Engine, pair: Catalog) -> Jobs:
    def generation(**fields: Any) -> Generation:
        return pair.resolve({"prompt": "red heart", "seed": 7, "steps": 4, "method": "serial", **fields})

    return Jobs(database, generation)


@pytest.fixture
def announce(valkey: redis.Redis) -> Callable[..., None]:
    """Announces a worker that runs one job at once and has the model `emoji` in memory."""

    def announced(name: str, *, models: tuple[str, ...] = ("emoji", "other"), state: str = "ready") -> None:
        info = {"concurrency": 1, "models": models, "states": {"emoji": {"state": state}}}
        workers.announce(valkey, name, info, 100)

    return announced


def route(process: Process) -> tuple[Models, set[str]]:
    worker = process.worker
    with worker.sessions() as session:
        return routing.route(worker, session, routing.others(worker))


def calls(valkey: redis.Redis) -> int:
    """How many messages wait for workers."""
    return valkey.llen(QUEUE)  # pyright: ignore[reportReturnType]


def running(jobs: Jobs, worker: str) -> UUID:
    """A job that a worker runs."""
    job = jobs.submit()
    jobs.do(moves.claim(job, worker, 15))
    return job


class Empty:
    """Engines without a model in memory."""

    def states(self) -> dict[str, Any]:
        return {}


def test_a_free_worker_with_the_model_in_memory_goes_first(
    process: Start, pair: Catalog, announce: Callable[..., None], jobs: Jobs, valkey: redis.Redis
) -> None:
    cold = process("cold", catalog=pair, engines=Empty(), jobs=JobSettings(heartbeat_seconds=60, lease_seconds=150))
    assert route(cold) == (Models(None, set(), set(), 60), set())
    announce("cold")  # its own
    assert route(cold) == (Models(None, set(), set(), 60), set())
    for state in ("ready", "preparing"):
        announce("warm", state=state)
        assert route(cold) == (Models(None, set(), {"emoji"}, 60), {"emoji"})
    announce("warm", state="failed")
    assert route(cold) == (Models(None, set(), set(), 60), set())
    announce("warm")
    job = jobs.submit(model="emoji")
    cold.run()
    assert jobs.get(job).state == "queued"
    assert calls(valkey) == 1, "the call was not passed on"
    running(jobs, "warm")
    assert route(cold) == (Models(None, set(), set(), 60), set()), "it is not free"


def test_a_worker_that_has_the_model_too_takes_the_job(
    process: Start, pair: Catalog, announce: Callable[..., None], jobs: Jobs, valkey: redis.Redis
) -> None:
    one = process("one", catalog=pair)
    jobs.submit(model="emoji")
    one.run()
    announce("other")
    assert route(one)[0].at_first == set()
    job = jobs.submit(model="emoji")
    one.run()
    assert jobs.get(job).state == "succeeded"
    assert calls(valkey) == 0


def test_a_worker_runs_only_the_models_of_its_setting(
    process: Start, pair: Catalog, announce: Callable[..., None], jobs: Jobs, valkey: redis.Redis
) -> None:
    only = process("only", catalog=pair.only(["other"]), settings=WorkerSettings(models="other"))
    theirs, ours = jobs.submit(model="emoji"), jobs.submit(model="other")
    only.run()
    assert [jobs.get(job).state for job in (theirs, ours)] == ["queued", "succeeded"]
    assert calls(valkey) == 0, "nobody could take it"
    announce("their", models=("emoji",))
    only.run()
    assert jobs.get(theirs).state == "queued"
    assert calls(valkey) == 1
    running(jobs, "their")
    only.run()
    assert calls(valkey) == 1, "who could take it looks for work itself when its job ends"


def test_what_is_not_in_the_catalogue_is_left_to_those_that_have_it(
    process: Start, pair: Catalog, catalog: Catalog, announce: Callable[..., None], jobs: Jobs
) -> None:
    old = process("old", catalog=Catalog({**catalog, "second": catalog["emoji"]}))
    announce("new", models=("emoji", "other"))
    job = jobs.submit(model="other")
    running(jobs, "new")
    old.run()
    assert jobs.get(job).state == "queued"
    workers.withdraw(old.worker.redis, "new")
    old.run()
    assert jobs.get(job).state == "failed"


def test_the_setting_names_models_of_the_catalogue(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    monkeypatch.setenv("UNDERPAINT_DATABASE_URL", postgres_url)
    monkeypatch.setenv("UNDERPAINT_MODELS", "emoji, nosuch")
    with pytest.raises(ValueError, match="UNDERPAINT_MODELS: nosuch is not in the catalogue, which has emoji"):
        make_worker("worker", 1)
    monkeypatch.setenv("UNDERPAINT_MODELS", " emoji ,")
    assert list(make_worker("worker", 1).catalog) == ["emoji"]
