"""The queries that run all the time go by index, whatever the history that a server has piled up."""

from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from store import moves, pace, reads, retention
from store.queue_order import LastTry

FILL = """
with key as (
  insert into api_keys (id, name, prefix, hash, scopes)
  select gen_random_uuid(), n, 'up_', n, '{submit}' from generate_series(1, 200) n returning id, name::int)
insert into jobs (id, key_id, state, stopped, model, generation, seq, attempt, worker, lease_expires_at, created_at,
                  rank_at, sent_at, claimed_at, finished_at)
select gen_random_uuid(), key.id, state, case when state = 'succeeded' then 'exact' end, 'emoji', '{}', 1, 1,
       case when state = 'running' then 'worker' end, case when state = 'running' then now() + interval '9 seconds' end,
       now() - n * interval '1 minute', now() - n * interval '1 minute', now(), now() - n * interval '2 minute',
       case when state = 'succeeded' then now() - n * interval '1 minute' end
from (select n, case when n % 1000 < 5 then 'running' when n % 1000 < 15 then 'queued' else 'succeeded' end as state
      from generate_series(1, 20000) n) made
left join key on key.name = n % 400
"""


@pytest.fixture
def history(database: Engine, session: Session) -> tuple[Session, reads.Position]:
    """A database that holds 20,000 jobs, most of them finished, and a queued one in their middle."""
    session.execute(text(FILL))
    for rows in (
        "images (job_id, number, seed) select id, 0, 1 from jobs",
        "events (job_id, seq, kind, data) select id, 1, 'state', '{}' from jobs",
        "iterates (job_id, image, iterate, rounds, evaluations, elapsed, final, etag)"
        " select id, 0, n, 1, 1, 1, n = 1 or created_at < now() - interval '100 minutes', 'etag' from jobs,"
        " generate_series(0, 1) n",
    ):
        session.execute(text(f"insert into {rows}"))
    session.commit()
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("analyze"))
    query = text("select created_at, id from jobs where state = 'queued' order by created_at offset 100 limit 1")
    return session, reads.Position(*session.execute(query).one())


def plan(session: Session, statement: Any) -> list[dict[str, Any]]:
    """The nodes of the plan with which a statement runs."""
    compiled = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    (explained,) = session.execute(text(f"explain (analyze, format json) {compiled}".replace(":", r"\:"))).scalar_one()
    session.rollback()
    nodes: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = [explained["Plan"]]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        waiting += node.get("Plans", [])
    return nodes


INDEXES = {
    "first page": ("ix_jobs_newest", lambda at: reads.jobs(20)),
    "later page": ("ix_jobs_newest", lambda at: reads.jobs(20, at)),
    "page of a state": ("ix_jobs_queued", lambda at: reads.jobs(20, states=["queued"])),
    "page of what failed": ("ix_jobs_unlucky", lambda at: reads.jobs(20, states=["failed"])),
    "page of a model": ("ix_jobs_newest_of_model", lambda at: reads.jobs(20, model="another")),
    "job": ("pk_jobs", lambda at: reads.job(at.id)),
    "images": ("pk_images", lambda at: reads.images([at.id])),
    "iterates": ("pk_iterates", lambda at: reads.iterates(at.id)),
    "newest picture": ("pk_iterates", lambda at: reads.newest_picture(at.id, 0)),
    "events": ("pk_events", lambda at: reads.events(at.id, after=3)),
    "queue position": ("ix_jobs_rank or ix_jobs_queued", lambda at: reads.queue_positions([at.id])),
    "queue depth": ("ix_jobs_rank or ix_jobs_queued", lambda at: reads.queue_depth()),
    "unsent": ("ix_jobs_queued", lambda at: reads.unsent()),
    "unsent or stale": ("ix_jobs_queued", lambda at: reads.unsent_or_stale(30)),
    "claim": ("ix_jobs_rank", lambda at: moves.claim_next("worker", 15, LastTry(2, []))),
    "expire": ("ix_jobs_deadline", lambda at: moves.expire()),
    "pace": ("ix_jobs_finished", lambda at: pace.pace()),
    "prune previews": ("ix_iterates_previews", lambda at: retention.prune_previews(86400)),
    "renew": ("pk_jobs", lambda at: moves.renew("worker", {at.id: 1}, 15)),
    "rescue": ("ix_jobs_running", lambda at: moves.rescue(3)),
    "newest events": ("pk_jobs", lambda at: reads.seqs([at.id])),
    "accept": ("pk_jobs", lambda at: moves.accept(at.id)),
    "prune": ("ix_jobs_finished", lambda at: retention.prune(13 * 86400, limit=10)),
}


def test_frequent_queries_go_by_index(history: tuple[Session, reads.Position]):
    session, at = history
    for name, (index, statement) in INDEXES.items():
        nodes = plan(session, statement(at))
        used = {node.get("Index Name") for node in nodes}
        assert used & set(index.split(" or ")), f"{name} uses {used}"
        scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
        # They are empty or small.
        assert not scanned - {"checkpoints", "inputs", "api_keys"}, f"{name} reads all of {scanned}"
