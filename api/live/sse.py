"""A job's events as server-sent events.

The number of an event is its ``id:``. A client that reconnects sends it as ``Last-Event-ID``, and misses nothing and
gets nothing twice, even if this process was restarted or Redis was emptied meanwhile.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.links import Links
from api.live.subscriptions import Subscriptions
from api.live.tail import follow
from store.tables import Event

MEDIA_TYPE = "text/event-stream"
# Proxies must neither cache the stream nor buffer it.
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
RETRY = 2000  # ms until a client reconnects


class EventStream(EventSourceResponse):
    """The events of a job after number ``after``, until the job has ended or is deleted."""

    def __init__(self, subscriptions: Subscriptions, links: Links, job: UUID, after: int) -> None:
        self._events = _stream(subscriptions, links, job, after)
        super().__init__(self._events, headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):  # as soon as the client disconnects
            await super().__call__(scope, receive, send)


def is_wanted(request: Request) -> bool:
    """Whether the client is an ``EventSource``, or behaves like one."""
    return request.method == "GET" and MEDIA_TYPE in request.headers.get("accept", "")


def come_back() -> Response:
    """A stream that ends at once. An ``EventSource`` reconnects then, with its ``Last-Event-ID``, but never after an
    error such as 503 (HTML standard, section 9.2.3)."""
    return Response(format_sse_event(retry=RETRY), headers=HEADERS, media_type=MEDIA_TYPE)


async def _stream(subscriptions: Subscriptions, links: Links, job: UUID, after: int) -> AsyncGenerator[bytes]:
    yield format_sse_event(retry=RETRY)
    async with aclosing(follow(subscriptions, job, after)) as events:
        async for event in events:
            if event is None:
                yield KEEPALIVE_COMMENT
            else:
                yield format_sse_event(data_str=json.dumps(_data(links, event)), event=event.kind, id=str(event.seq))


def _data(links: Links, event: Event) -> dict[str, Any]:
    """The stored data of an event. That of an iterate gets the address of its picture."""
    if event.kind != "iterate":
        return event.data
    data = event.data
    picture = links.picture(event.job_id, data["image"], data["iterate"]) if data["etag"] else None
    return {**data, "picture": picture}
