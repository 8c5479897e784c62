"""Every request has an id: in the answer, in every problem, and in every line of the log that is about it."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from store import logs

HEADER = "X-Request-Id"
FIELD = "request_id"
# What a client may choose: it is copied into logs, where it must be short and no line of its own.
SOUND = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id() -> str | None:
    """The id of the request that is being answered."""
    return logs.field(FIELD)


class RequestIds:
    """Takes the request's id from its ``X-Request-Id``, or makes one where there is none that will do."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        mine = given if SOUND.fullmatch(given) else uuid4().hex
        # Not unbound at the end: the server logs what went wrong after the app has returned, in the same task.
        logs.bind(**{FIELD: mine})

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = mine
                # Known once the request was routed; what the server logs of the answer follows.
                if job := scope.get("path_params", {}).get("job_id"):
                    logs.bind(job_id=str(job)[:36])
            await send(message)

        await self.app(scope, receive, send_with_id)
