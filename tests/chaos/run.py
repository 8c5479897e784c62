"""One run: pictures without faults, jobs during faults, and what is left in the end."""

import io
import random
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import httpx
import numpy as np
from PIL import Image
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from store.pictures import PictureId
from store.pictures.s3 import S3Pictures
from store.settings import PictureSettings
from store.tables import Checkpoint, Iterate
from tests.chaos.clients import Client, Outcome, Receiver
from tests.chaos.faults import Faults
from tests.chaos.parts import Service, serving
from tests.until import until

CLIENTS = 12  # at once
CLOSE = 3  # of 255: how far a picture may be from the undisturbed one, if other jobs shared its rounds
# Every method. With tolerance 0 the picture is that of the serial sampler, however many iterates it takes.
METHODS: Sequence[Mapping[str, Any]] = (
    {"method": "srds", "steps": 24, "blocks": 6, "tolerance": 0.0},
    {"method": "collocation", "steps": 24, "tolerance": 0.0},
    {"method": "serial", "steps": 24},
    {"method": "srds", "steps": 40, "blocks": 8, "max_iterations": 2, "tolerance": 0.0},
)

# What must be 0, as numbers of rows.
WRONG = {
    "jobs that have not ended": "select count(*) from jobs where state in ('queued', 'running')",
    "jobs that ended more or less than once": """select count(*) from jobs where 1 <>
        (select count(*) from events where job_id = jobs.id and kind = 'done')""",
    "jobs with gaps in their events": """select count(*) from jobs where seq <>
        (select count(*) from events where job_id = jobs.id) or seq <>
        (select max(seq) from events where job_id = jobs.id)""",
    "images without a final picture": """select count(*) from images join jobs on jobs.id = job_id
        where state = 'succeeded' and not exists (select from iterates where iterates.job_id = images.job_id
        and iterates.image = images.number and iterates.final and etag is not null)""",
    "rows of no job": """select (select count(*) from iterates where job_id not in (select id from jobs))
        + (select count(*) from checkpoints where job_id not in (select id from jobs))
        + (select count(*) from webhook_deliveries where job_id not in (select id from jobs))""",
    "webhooks that were not delivered": "select count(*) from webhook_deliveries where state <> 'delivered'",
}


class Run:
    """The figures of a run, and what was wrong."""

    def __init__(self) -> None:
        self.figures: dict[str, object] = {}
        self.wrong: list[str] = []


def run(jobs: int, seconds: float, seed: int, *, s3: bool = False, every: float = 1.0) -> Run:
    """Run `jobs` jobs while faults happen for so long.

    Args:
        s3: whether pictures and checkpoints are kept in an object store, which is frozen at times, too.
        every: a factor of the pauses between faults.
    """
    found = Run()
    receiver = Receiver()
    requests = [
        {"prompt": prompt, "seed": seed + number, **METHODS[number % len(METHODS)]}
        for number, prompt in enumerate(("red heart", "blue car", "yellow sun", "green tree") * 2)
    ]
    try:
        with serving({}, s3) as service:
            undisturbed = _pictures(service, requests)
            faults = Faults(service, seed, every)
            outcomes = _disturbed(service, faults, requests, jobs, seconds, receiver, found)
            _compare(service, requests, outcomes, undisturbed, found)
            _wait_for_webhooks(receiver, outcomes, found)
            _look(service, outcomes, found)
            if s3:
                _look_in_bucket(service, found)
            found.figures["starts of processes"] = sum(part.starts for part in service.parts)
        if left := service.left():
            found.wrong.append(f"processes are left: {left}")
        found.figures["processes left"] = len(left)
    finally:
        receiver.close()
    return found


def _pictures(service: Service, requests: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The final picture of each request, without faults."""
    client = Client(service.apis, 600)
    return [_final(service, client.run(-1 - number, request).job) for number, request in enumerate(requests)]


def _disturbed(
    service: Service,
    faults: Faults,
    requests: Sequence[Mapping[str, Any]],
    jobs: int,
    seconds: float,
    receiver: Receiver,
    found: Run,
) -> list[Outcome]:
    client = Client(service.apis, seconds + 900)
    began = time.monotonic()
    arrivals = random.Random(jobs)
    starts = sorted(arrivals.uniform(0, 0.9 * seconds) for _ in range(jobs))

    def one(number: int) -> Outcome:
        time.sleep(max(0.0, began + starts[number] - time.monotonic()))
        webhook = {"url": receiver.url, "events": ["done"]}
        return client.run(number, {**requests[number % len(requests)], "webhook": webhook})

    breaking = Thread(target=faults.run, args=(seconds,))
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        breaking.start()
        for future in [pool.submit(one, number) for number in range(jobs)]:
            try:
                outcomes.append(future.result())
            except AssertionError as error:
                found.wrong.append(str(error))
                outcomes.append(Outcome())
    breaking.join()
    for part in service.parts:
        part.keep()
    took = time.monotonic() - began
    seen = [outcome for outcome in outcomes if outcome.job]
    acknowledged = sorted(outcome.acknowledged for outcome in seen)
    found.figures |= {
        "jobs": jobs,
        "acknowledged jobs": len(seen),
        "different jobs": len({outcome.job for outcome in seen}),
        "ends": dict(Counter(outcome.state for outcome in seen)),
        "faults": sum(faults.counts.values()),
        **{f"· {name}": count for name, count in sorted(faults.counts.items())},
        "seconds until a job was acknowledged, median and longest": _spread(acknowledged),
        "seconds until a job had ended, median and longest": _spread(sorted(outcome.ended for outcome in seen)),
        "events that clients got": sum(len(outcome.events) for outcome in seen),
        "connections that they needed for it": sum(outcome.connections for outcome in seen),
        "seconds until the last job had ended": round(took),
    }
    if len({outcome.job for outcome in seen}) != jobs:
        found.wrong.append("some requests made no job, or the same one")
    return outcomes


def _compare(
    service: Service,
    requests: Sequence[Mapping[str, Any]],
    outcomes: Sequence[Outcome],
    undisturbed: Sequence[Any],
    found: Run,
) -> None:
    differences: Counter[int] = Counter()
    for number, outcome in enumerate(outcomes):
        if outcome.state != "succeeded":
            found.wrong.append(f"job {outcome.job or number} is {outcome.state or 'not ended'}")
            continue
        picture = _final(service, outcome.job)
        most = int(np.abs(picture - undisturbed[number % len(requests)]).max())
        differences[most] += 1
        if most > CLOSE:
            found.wrong.append(f"job {outcome.job}: its picture differs by {most} of 255")
    found.figures["pictures that are identical"] = differences[0]
    found.figures["pictures that differ, by the largest difference (of 255)"] = {
        most: count for most, count in sorted(differences.items()) if most
    }


def _wait_for_webhooks(receiver: Receiver, outcomes: Sequence[Outcome], found: Run) -> None:
    jobs = {outcome.job for outcome in outcomes if outcome.job}
    try:
        until(lambda: jobs <= set(receiver.received), pause=0.2)
    except AssertionError:
        found.wrong.append(f"{len(jobs - set(receiver.received))} webhooks did not arrive")
    found.figures["webhooks that arrived"] = len(jobs & set(receiver.received))
    found.figures["webhooks that arrived more than once"] = sum(count > 1 for count in receiver.received.values())


def _look(service: Service, outcomes: Sequence[Outcome], found: Run) -> None:
    engine = create_engine(service.database_url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        until(lambda: not session.scalar(text(WRONG["webhooks that were not delivered"])) or session.rollback())
        for what, query in WRONG.items():
            found.figures[what] = count = session.scalar(text(query))
            if count:
                found.wrong.append(f"{count} {what}")
        attempts = session.execute(text("select attempt, count(*) from jobs group by attempt order by attempt")).all()
        found.figures["jobs by how often they were claimed"] = dict(attempts)
        events = dict(session.execute(text("select cast(id as text), seq from jobs")).all())
    engine.dispose()
    missed = sum(outcome.events != list(range(1, events.get(outcome.job, 0) + 1)) for outcome in outcomes)
    found.figures["clients that missed an event"] = missed
    if missed:
        found.wrong.append(f"{missed} clients missed events")


def _look_in_bucket(service: Service, found: Run) -> None:
    """In the end the bucket has what the rows refer to, and nothing else."""
    names = {name.removeprefix("UNDERPAINT_").lower(): value for name, value in service.settings.items()}
    given = {name: names[name] for name in PictureSettings.model_fields if name in names}
    settings = PictureSettings.model_validate(given)
    bucket = S3Pictures.from_settings(settings, service.database_url)
    engine = create_engine(service.database_url.replace("postgresql://", "postgresql+psycopg://"))

    def differ() -> tuple[int, int]:
        with Session(engine) as session:
            rows = [
                *session.execute(select(Iterate.job_id, Iterate.etag).where(Iterate.etag.is_not(None))),
                *session.execute(select(Checkpoint.job_id, Checkpoint.sha256)),
            ]
        referred, kept = {PictureId(*row) for row in rows}, set(bucket.kept())
        found.figures["objects in the bucket"] = len(kept)
        return len(kept - referred), len(referred - kept)

    try:
        until(lambda: differ() == (0, 0), pause=1)
    except AssertionError:
        found.wrong.append("objects without a row and rows without an object: {}, {}".format(*differ()))
    found.figures["objects without a row"], found.figures["rows without an object"] = differ()
    bucket.close()
    engine.dispose()


def _final(service: Service, job: str) -> Any:
    """The pixels of the final picture of a job, as soon as an API answers."""

    def get() -> bytes | None:
        for api in service.apis:
            try:
                response = httpx.get(
                    f"{api}/v1/jobs/{job}/images/0/iterates/latest",
                    headers={"Accept": "image/png"},
                    timeout=20,
                    trust_env=False,
                )
            except httpx.TransportError:
                continue
            if response.status_code == 200 and response.headers["underpaint-final"] == "true":
                return response.content
        return None

    return np.asarray(Image.open(io.BytesIO(until(get, pause=0.2)))).astype(np.int16)


def _spread(ordered: Sequence[float]) -> str:
    return f"{statistics.median(ordered):.2f}, {ordered[-1]:.1f}" if ordered else "none"
