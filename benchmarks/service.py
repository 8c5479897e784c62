"""The service: submissions, previews, followers and queries: `python -m benchmarks.service build/benchmarks`.

PostgreSQL, Valkey, the API, and where it takes one a worker are real processes, on empty data; the client shares the
machine with them. `benchmarks.echo`, FastAPI and Celery that do nothing else, is the floor.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import redis
import torch
from sqlalchemy import Engine, text

from benchmarks import crowd, echo, queries
from benchmarks.report import about, machine, percentiles, table, write
from store import wakeups
from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG
from tasks.bench import Studio
from tests.api.serving import environment
from tests.api.worker import Worker, png
from tests.tasks.outside import Broker, Fleet

REQUEST = {"prompt": "red heart", "seed": 7}
POLL = 0.05  # s between two questions of a client that polls

TEXT = """# The service

Written by `python -m benchmarks.service build/benchmarks` from `service.json`, {machine}. Everything,
the client included, runs on that machine. *Echo* is a minimal FastAPI and Celery application that only forwards a
message (`benchmarks/echo.py`): the lower bound for anything built from them. All times are in milliseconds.

## Submissions

{submissions} submissions to one API process, one after another, then {at_once} at once.

{submitted}
## From the request to the first preview

An idle server with one worker ({threads} threads), one job at a time, {previews} of each. *Sampler* is the time of the
same engine without a service, right before each job, from the request to the first decoded preview. *Service* is the
time from the POST to the event that announces the preview, *added* the difference within each pair. The target is 30
ms at the median. *Echo* is the time from the POST to the response of a worker that does nothing.

{first}
## From the saved iterate to the client

One client, an idle server, {saves} iterates saved by the benchmark, timed from the return of the commit. Polling asks
every {poll:g} ms. The target is 20 ms for server-sent events. *While it computes* is timed in the jobs above, from
the beginning of the transaction that saves the iterate (PostgreSQL's clock), while the worker computes on the same
cores.

{told}
## Waiting clients

Half of them follow server-sent events, half hold `GET /v1/jobs/{{id}}?wait=60`, all on one API process
(`benchmarks.crowd`). Milliseconds from the commit to each client; the clients share one process, whose own time is
included. Memory is the growth of the API process per client.

{crowds}
## Queries

The number of statements that a request sends to PostgreSQL, without `BEGIN` and `COMMIT`.

{queries}"""


def timed(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def floor(broker: Broker) -> Iterator[str]:
    """The echo's API and worker; gives the address."""
    settings = environment(**{echo.URL: broker.url})
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        fd, address = listener.fileno(), "http://{}:{}".format(*listener.getsockname())
        api = ["benchmarks.echo", str(fd)]
        worker = ["celery", "--quiet", "--app", "benchmarks.echo:worker", "worker", "--pool", "threads"]
        worker += ["--concurrency", "8", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"]
        children = [
            subprocess.Popen([sys.executable, "-m", *command], env=settings, stdout=subprocess.DEVNULL, pass_fds=[fd])
            for command in (api, worker)
        ]
    try:
        httpx.post(f"{address}/echo/wait", json=REQUEST, timeout=60, trust_env=False).raise_for_status()
        yield address
    finally:
        for child in children:
            child.terminate()
            child.wait(30)


def submissions(address: str, path: str, number: int, at_once: int) -> dict[str, Any]:
    """Submit so many jobs one after another, and then so many with `at_once` under way."""
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        alone = [timed(lambda: client.post(path, json=REQUEST).raise_for_status()) for _ in range(number)]

    async def together() -> tuple[float, list[float]]:
        turns, took = asyncio.Semaphore(at_once), list[float]()

        async def one(client: httpx.AsyncClient) -> None:
            async with turns:
                began = time.perf_counter()
                (await client.post(path, json=REQUEST)).raise_for_status()
                took.append(time.perf_counter() - began)

        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as client:
            began = time.perf_counter()
            await asyncio.gather(*(one(client) for _ in range(number)))
            return time.perf_counter() - began, took

    seconds, took = asyncio.run(together())
    return {"alone": percentiles(alone), "together": percentiles(took), "a_second": round(number / seconds)}


def followed(client: httpx.Client, request: dict[str, Any]) -> tuple[float, list[tuple[int, float]]]:
    """Submit a job and follow it: seconds from the POST to the first iterate's event, and when (Unix time) each
    iterate was heard of."""
    began = time.perf_counter()
    job = client.post("/v1/jobs", json=request).raise_for_status().json()["id"]
    first, heard, kind = 0.0, list[tuple[int, float]](), ""
    with client.stream("GET", f"/v1/jobs/{job}/events") as response:
        for line in response.iter_lines():
            kind = line[7:] if line.startswith("event: ") else kind
            if line.startswith("id: ") and kind == "iterate":
                heard.append((int(line[4:]), time.time()))
                first = first or time.perf_counter() - began
    return first, heard


def previews(made: crowd.Service, threads: int, number: int) -> dict[str, Any]:
    """From the request to the first preview, in the service and in the sampler alone, in turn."""
    torch.set_num_threads(threads)
    card = load_catalog(SHIPPED_CATALOG).default
    studio = Studio(card, None, "cpu")
    url = made.engine.url.render_as_string(hide_password=False)
    found: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        httpx.Client(base_url=made.address, trust_env=False, timeout=60) as client,
    ):
        settings = {"UNDERPAINT_DATABASE_URL": url, "UNDERPAINT_REDIS_URL": made.broker.url}
        fleet = Fleet(Path(folder), made.broker, settings | {"OMP_NUM_THREADS": str(threads)})
        try:
            fleet.have(1)
            for steps in (1, card.defaults.steps):
                request = REQUEST | {"steps": steps}
                studio.make([request])
                followed(client, request)
                pairs: list[tuple[float, float]] = []
                lags: list[float] = []
                for _ in range(number):
                    ours = studio.make([request])[0].first
                    first, heard = followed(client, request)
                    pairs.append((ours, first))
                    lags += since_saved(made.engine, heard)
                found[str(steps)] = {
                    "sampler": percentiles([ours for ours, _ in pairs]),
                    "service": percentiles([first for _, first in pairs]),
                    "added": percentiles([first - ours for ours, first in pairs]),
                    "told": percentiles(lags),
                }
        finally:
            fleet.stop()
    studio.close()
    return found


def since_saved(engine: Engine, heard: Sequence[tuple[int, float]]) -> list[float]:
    """Seconds from the beginning of the transaction that saved each iterate of the newest job until it was heard of."""
    query = text(
        "select seq, extract(epoch from created_at) from events where kind = 'iterate' and job_id ="
        " (select id from jobs order by created_at desc limit 1)"
    )
    with engine.connect() as connection:
        saved = {seq: float(at) for seq, at in connection.execute(query)}
    return [at - saved[seq] for seq, at in heard if seq in saved]


def told(made: crowd.Service, number: int) -> dict[str, Any]:
    """From the commit that saves an iterate to one client: by events, by a held response, by polling."""
    kinds = {"server-sent events": _stream, "a held response": _hold, "polling": _poll}
    return {name: percentiles(_lags(made, number, follow)) for name, follow in kinds.items()}


def _lags(
    made: crowd.Service, number: int, follow: Callable[[httpx.Client, str, Callable[[int], None]], None]
) -> list[float]:
    worker = Worker(made.engine)
    with (
        httpx.Client(base_url=made.address, trust_env=False, timeout=60) as client,
        redis.Redis.from_url(made.broker.url) as valkey,
    ):
        job = client.post("/v1/jobs", json=REQUEST).raise_for_status().json()["id"]
        worker.claim(job)
        heard: dict[int, float] = {}

        def hear(seq: int) -> None:
            heard.setdefault(seq, time.perf_counter())

        follower = threading.Thread(target=follow, args=(client, job, hear))
        follower.start()
        time.sleep(0.5)
        saved: dict[int, float] = {}
        for iterate in range(number):
            # Not in step with whatever else is periodic.
            time.sleep(0.05 + 0.07 * (iterate % 7) / 7)
            seq = worker.save(job, iterate, png(iterate % 200), final=iterate == number - 1).seq
            saved[seq] = time.perf_counter()
            wakeups.publish(valkey, UUID(job), seq)
        worker.finish(job)
        wakeups.publish(valkey, UUID(job), number + 4)
        follower.join()
    # Who polls may see two at once, and the first one only by the second.
    return [
        min(at for seq_heard, at in heard.items() if seq_heard >= seq) - at_saved for seq, at_saved in saved.items()
    ]


def _stream(client: httpx.Client, job: str, hear: Callable[[int], None]) -> None:
    with client.stream("GET", f"/v1/jobs/{job}/events") as response:
        for line in response.iter_lines():
            if line.startswith("id: "):
                hear(int(line[4:]))


def _hold(client: httpx.Client, job: str, hear: Callable[[int], None], wait: str = "?wait=20") -> None:
    known: dict[str, str] = {}
    while True:
        response = client.get(f"/v1/jobs/{job}{wait}", headers=known)
        if response.status_code != 304:
            known = {"If-None-Match": response.headers["etag"]}
            hear(int(response.headers["etag"].strip('W/"').partition("-")[0]))
            if response.json()["state"] == "succeeded":
                return
        if not wait:
            time.sleep(POLL)


def _poll(client: httpx.Client, job: str, hear: Callable[[int], None]) -> None:
    _hold(client, job, hear, wait="")


def crowds(sizes: Sequence[int], submissions: int) -> dict[str, Any]:
    """`benchmarks.crowd` with so many clients each, at most 50 of whom follow one job."""
    found: dict[str, Any] = {}
    for clients in sizes:
        with crowd.service() as made:
            measured = asyncio.run(crowd.measure(made, clients, submissions))
        api = measured["api"]
        grown = api["with_the_crowd"]["memory_mib"] - api["before"]["memory_mib"]
        found[str(clients)] = measured | {"kib_per_client": round(1024 * grown / clients)}
    return found


def page(found: dict[str, Any]) -> str:
    """The figures for people."""
    columns = ("p50", "p95", "p99", "max")

    def row(name: str, figures: dict[str, float], *more: Any) -> list[Any]:
        return [name, *(f"{figures[column]:g}" for column in columns), *more]

    submitted = found["submissions"]
    first = [("echo, to the worker and back", found["echo"])]
    for steps, figures in found["previews"].items():
        first += [(f"N = {steps}: {name}", figures[name]) for name in ("sampler", "service", "added")]
    lags = [row(name, figures) for name, figures in found["told"].items()]
    lags += [row(f"while it computes, N = {n}", figures["told"]) for n, figures in found["previews"].items()]
    crowd_rows: list[list[Any]] = []
    for clients, measured in found["crowds"].items():
        kinds = measured["milliseconds_from_commit"]
        crowd_rows += [
            row(f"{clients}: {name}", kinds[kind]["before_the_burst"], measured["kib_per_client"])
            for kind, name in (("events", "server-sent events"), ("wait", "held responses"))
        ]
    return TEXT.format(
        machine=about(found),
        submitted=table(
            ("", *columns, "a second"),
            [
                line
                for name, figures in submitted.items()
                for line in (
                    row(f"{name}, one after another", figures["alone"], ""),
                    row(f"{name}, at once", figures["together"], figures["a_second"]),
                )
            ],
        ),
        first=table(("", *columns), [row(*pair) for pair in first]),
        told=table(("", *columns), lags),
        crowds=table(("clients", *columns, "KiB a client"), crowd_rows),
        queries=table(("request", "statements"), found["queries"].items()),
        poll=1000 * POLL,
        **found["settings"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--previews", type=int, default=10)
    parser.add_argument("--saves", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1, help="of the worker's network")
    parser.add_argument("--clients", type=int, nargs="*", default=[100])
    options = parser.parse_args()
    crowd.lift_file_limit()
    found: dict[str, Any] = {"about": machine(options.threads), "submissions": {}}
    names = ("submissions", "at_once", "previews", "saves", "threads")
    found["settings"] = {name: getattr(options, name) for name in names}
    with crowd.service() as made:
        with floor(made.broker) as address, httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            found["submissions"]["echo"] = submissions(address, "/echo", options.submissions, options.at_once)
            client.post("/echo/wait", json=REQUEST)
            waits = [timed(lambda: client.post("/echo/wait", json=REQUEST)) for _ in range(options.submissions)]
            found["echo"] = percentiles(waits)
        found["previews"] = previews(made, options.threads, options.previews)
        found["told"] = told(made, options.saves)
        found["queries"] = queries.count(made)
        found["submissions"]["Underpaint"] = submissions(made.address, "/v1/jobs", options.submissions, options.at_once)
    found["crowds"] = crowds(options.clients, options.submissions)
    write(options.out, "service", found, page(found))


if __name__ == "__main__":
    main()
