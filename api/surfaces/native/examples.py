"""Responses for the documentation. They are instances of the classes of real responses, and cannot go stale."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi.sse import format_sse_event

from api.links import Links
from api.surfaces.native import schemas
from contract.fields import Generation

_ID = UUID("8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e")
_LINKS = Links("http://127.0.0.1:8000")
_SUBMITTED = datetime(2026, 1, 1, 12, tzinfo=UTC)
_STARTED = _SUBMITTED + timedelta(milliseconds=40)
_SAVED = _STARTED + timedelta(seconds=1.2)

_REQUEST = Generation(
    model="emoji",
    prompt="red heart",
    method="srds",
    steps=50,
    guidance_scale=3.0,
    width=64,
    height=64,
    seed=7,
    images=1,
    tolerance=0.005,
)


def _job(running: bool) -> schemas.Job:
    return schemas.Job(
        id=_ID,
        state="running" if running else "queued",
        stopped=None,
        error=None,
        failure=None,
        priority="normal",
        cancel_requested=False,
        accept_requested=False,
        queue_position=None if running else 1,
        estimated_wait_seconds=None if running else 0.0,
        preparing=None,
        deadline_at=None,
        created_at=_SUBMITTED,
        started_at=_STARTED if running else None,
        finished_at=None,
        updated_at=_SAVED if running else _SUBMITTED,
        request=_REQUEST,
        webhook=schemas.Webhook(url="https://example.org/hook", events=["done"]),
        warnings=[],
        images=[
            schemas.Image(
                number=0,
                seed=7,
                iterate=1 if running else None,
                residual=0.021 if running else None,
                error_estimate=0.004 if running else None,
                rounds=14 if running else 0,
                evaluations=57 if running else 0,
                method="srds" if running else None,
                blocks=10 if running else None,
                predicted_rounds=18 if running else None,
                predicted_evaluations=96 if running else None,
                stopped=None,
                error=None,
                links=schemas.ImageLinks(latest=_LINKS.picture(_ID, 0, "latest"), final=None),
            )
        ],
        links=schemas.JobLinks(
            self=_LINKS.job(_ID),
            cancel=_LINKS.cancel(_ID),
            accept=_LINKS.accept(_ID),
            refine=_LINKS.refine(_ID),
            events=_LINKS.events(_ID),
            iterates=_LINKS.iterates(_ID),
            deliveries=_LINKS.deliveries(_ID),
        ),
    )


SUBMITTED = _job(running=False)
RUNNING = _job(running=True)
REFINED = SUBMITTED.model_copy(
    update={
        "started_at": _STARTED,
        "updated_at": _SAVED,
        "request": _REQUEST.model_copy(update={"tolerance": 0.001}),
        "images": RUNNING.images,
    }
)
PAGE = schemas.JobPage(jobs=[RUNNING], next_cursor=None)
ITERATES = schemas.Iterates(
    iterates=[
        schemas.Iterate(
            image=0,
            iterate=number,
            residual=residual,
            error_estimate=estimate,
            rounds=rounds,
            evaluations=evaluations,
            elapsed=elapsed,
            final=False,
            created_at=_STARTED + timedelta(seconds=elapsed),
            picture=_LINKS.picture(_ID, 0, number),
        )
        for number, residual, estimate, rounds, evaluations, elapsed in (
            (0, None, None, 10, 10, 0.8),
            (1, 0.021, 0.004, 14, 57, 1.2),
        )
    ]
)
_TOKEN = "us_bU3c2yO7Gk8r1sXwq0PzV5nT4mLhJdE6fA9iCoKyZxQ"
SHARE = schemas.Share(token=_TOKEN, links=schemas.ShareLinks(page=_LINKS.page(_ID, _TOKEN)))
_DELIVERY = UUID("5d0c6f0a-3f56-4a8e-8f0e-0c2f5a1f9b11")
DELIVERY = schemas.Delivery(
    id=_DELIVERY,
    seq=6,
    event="done",
    state="pending",
    attempts=1,
    status=503,
    error="the answer was 503, not 2xx",
    created_at=_SAVED,
    attempted_at=_SAVED + timedelta(milliseconds=20),
    next_attempt_at=_SAVED + timedelta(seconds=5),
    links=schemas.DeliveryLinks(send=_LINKS.send(_ID, _DELIVERY)),
)
DELIVERIES = schemas.DeliveryPage(deliveries=[DELIVERY], disabled=None, next_cursor=None)
# As `api.live.sse` sends it.
_FIGURES = {
    "residual": None,
    "error_estimate": None,
    "rounds": 10,
    "evaluations": 10,
    "elapsed": 0.8,
    "etag": "9f2c...",
    "final": False,
}
_STATE = {
    "state": "running",
    "stopped": None,
    "error": None,
    "failure": None,
    "cancel_requested": False,
    "accept_requested": False,
}
STREAM = (
    format_sse_event(retry=2000)
    + format_sse_event(
        data_str=json.dumps(_STATE),
        event="state",
        id="2",
    )
    + format_sse_event(
        data_str=json.dumps({"image": 0, "iterate": 0, **_FIGURES, "picture": _LINKS.picture(_ID, 0, 0)}),
        event="iterate",
        id="4",
    )
).decode()

_UPLOAD = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
UPLOAD = schemas.Upload(
    id=_UPLOAD, width=64, height=64, bytes=5120, expires_after_seconds=86400, link=_LINKS.upload(_UPLOAD)
)
