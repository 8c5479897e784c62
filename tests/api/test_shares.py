"""A job that is shared: whoever has the link may look at it, at nothing else, and change nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import redis
from sqlalchemy import Engine, func, select

from api.app import create_app
from store.tables import Share
from tests.api.conftest import within_a_minute
from tests.api.problem import problem
from tests.api.serving import serving
from tests.api.sse import parse
from tests.api.test_visibility import OF_A_JOB, ask, filled, same, submitted
from tests.api.worker import Worker

Holder = Callable[..., httpx.Client]

READABLE = {
    ("GET", f"/v1/jobs/{{job_id}}{path}") for path in ("", "/events", "/iterates", "/images/{image}/iterates/{iterate}")
}


@pytest.fixture
def nobody(keyed_address: str) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=keyed_address, trust_env=False, timeout=20) as client:
        yield client


def shared(client: httpx.Client, job: str) -> dict[str, str]:
    """The query that opens a job."""
    answer = client.post(f"/v1/jobs/{job}/share")
    assert answer.status_code == 200, answer.text
    token = answer.json()["token"]
    assert answer.json()["links"]["page"] == f"{client.base_url}/#job={job}&share={token}"
    return {"share": token}


@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
def test_a_link_opens_what_is_read_of_this_job_and_nothing_else(
    holder: Holder, nobody: httpx.Client, worker: Worker, method: str, path: str
) -> None:
    mine, theirs = holder("mine"), holder("theirs")
    job, other = submitted(mine), submitted(mine)
    worker.run(job)
    link = shared(mine, job)
    for guest in (nobody, theirs):  # a key that does not see the job is no obstacle
        answer = ask(guest, method, filled(path, job), params=link)
        assert answer.is_success == ((method, path) in READABLE), answer.text
        assert not ask(guest, method, filled(path, other), params=link).is_success
    # Neither has changed anything.
    assert mine.get(f"/v1/jobs/{job}").json()["state"] == "succeeded"
    assert nobody.get(f"/v1/jobs/{job}", params=link).status_code == 200


def test_routes_that_a_link_opens_say_so() -> None:
    for path, methods in create_app().openapi()["paths"].items():
        for method, operation in methods.items():
            names = {parameter["name"] for parameter in operation.get("parameters", [])}
            assert ("share" in names) == ((method.upper(), path) in READABLE), path


def test_only_a_job_that_exists_stops_being_shared(client: httpx.Client) -> None:
    problem(client.delete(f"/v1/jobs/{uuid4()}/share"), 404, "no-such-job")


def test_what_is_no_link_is_as_if_it_were_not_there(holder: Holder, nobody: httpx.Client) -> None:
    mine, theirs = holder("mine"), holder("theirs")
    job, unshared = submitted(mine), submitted(mine)
    token = shared(mine, job)["share"]
    bare = same(nobody.get(f"/v1/jobs/{job}"), job)
    for wrong in ("", "x", "us_", token[:-1], f"{token}x", token.upper(), "%ff", "%C3%A9"):
        assert same(nobody.get(f"/v1/jobs/{job}?share={wrong}"), job) == bare
    for somewhere in (unshared, str(uuid4()), "no-uuid"):
        assert nobody.get(f"/v1/jobs/{somewhere}", params={"share": token}).status_code == 401
        problem(theirs.get(f"/v1/jobs/{unshared}", params={"share": token}), 404, "no-such-job")
    assert nobody.get("/v1/jobs", params={"share": token}).status_code == 401


def test_guests_follow_to_the_end_but_do_not_see_the_webhook(
    holder: Holder, nobody: httpx.Client, worker: Worker
) -> None:
    mine = holder("mine")
    hook = {"url": "https://example.org/hook?secret=1", "events": ["done"]}
    job = mine.post("/v1/jobs", json={"prompt": "red heart", "webhook": hook}).json()["id"]
    link = shared(mine, job)
    worker.run(job)
    assert mine.get(f"/v1/jobs/{job}").json()["webhook"] == hook
    assert nobody.get(f"/v1/jobs/{job}", params=link).json()["webhook"] is None
    events = list(parse(nobody.get(f"/v1/jobs/{job}/events", params=link).text.split("\n")))
    assert events[-1].kind == "done"
    picture = nobody.get(f"/v1/jobs/{job}/images/0/iterates/latest", params=link)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content == mine.get(f"/v1/jobs/{job}/images/0/iterates/latest").content


def test_a_job_keeps_its_link_until_it_is_shared_no_longer(holder: Holder, nobody: httpx.Client) -> None:
    mine, theirs = holder("mine"), holder("theirs")
    job = submitted(mine)
    first = shared(mine, job)
    assert shared(mine, job) == first
    assert shared(theirs, submitted(theirs)) != first
    for _ in range(2):
        assert mine.delete(f"/v1/jobs/{job}/share").status_code == 204
    assert nobody.get(f"/v1/jobs/{job}", params=first).status_code == 401
    second = shared(mine, job)
    assert second != first
    assert nobody.get(f"/v1/jobs/{job}", params=first).status_code == 401
    assert nobody.get(f"/v1/jobs/{job}", params=second).status_code == 200


def test_it_goes_with_the_job(holder: Holder, nobody: httpx.Client, worker: Worker, database: Engine) -> None:
    mine = holder("mine")
    job = submitted(mine)
    worker.run(job)
    link = shared(mine, job)
    assert mine.delete(f"/v1/jobs/{job}").status_code == 204
    assert nobody.get(f"/v1/jobs/{job}", params=link).status_code == 401
    with database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Share)) == 0


def test_who_may_only_read_cannot_share(holder: Holder) -> None:
    reader, admin = holder("reader", "read"), holder("admin", "admin")
    job = submitted(admin)
    problem(reader.post(f"/v1/jobs/{job}/share"), 403, "forbidden")


def test_a_server_without_keys_shares_too(client: httpx.Client, submit: Callable[..., str]) -> None:
    job = submit()
    assert client.get(f"/v1/jobs/{job}", params=shared(client, job)).status_code == 200


def test_guests_of_a_job_may_not_ask_without_end(
    make_key: Callable[..., str], valkey: redis.Redis, postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    key = {"Authorization": f"Bearer {make_key('mine', requests_per_minute=1000)}"}
    with (
        serving(tmp_path / "log", UNDERPAINT_REQUESTS_PER_MINUTE="3", **settings) as address,
        httpx.Client(base_url=address, headers=key, trust_env=False) as mine,
        httpx.Client(base_url=address, trust_env=False) as nobody,
    ):
        job = ""

        def send() -> list[httpx.Response]:
            nonlocal job
            job = submitted(mine)
            link = shared(mine, job)
            return [nobody.get(f"/v1/jobs/{job}", params=link) for _ in range(4)]

        answers = within_a_minute(send)
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert mine.get(f"/v1/jobs/{job}").status_code == 200
