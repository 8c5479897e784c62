"""Every request has an id: in the response, in every problem, and in every line of the log about it."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problem_json import REQUEST_ID
from store import logs

# What a client may choose. It is copied into logs: it must be short, and must not look like a line of its own.
SAFE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestIds:
    """Takes the request's id from its ``X-Request-Id``, or makes one if that is missing or unsafe."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        own = given if SAFE.fullmatch(given) else uuid4().hex
        # Not unbound at the end: uvicorn logs an exception after the app has returned, in the same task.
        logs.bind(request_id=own)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = own
                # Known once the request is routed; uvicorn's access log follows.
                if job := scope.get("path_params", {}).get("job_id"):
                    logs.bind(job_id=str(job)[:36])
            await send(message)

        await self.app(scope, receive, send_with_id)
