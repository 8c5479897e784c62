"""Counts and times every request, by the template of its path."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics.process import Metrics


class RequestMetrics:
    """Measures the time until the app's response begins. A stream counts as answered when it begins."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        counted = False

        def count(status: int | None) -> None:
            nonlocal counted
            if not counted:
                counted = True
                route = getattr(scope.get("route"), "path", None)
                self.metrics.answered(route, scope["method"], status, perf_counter() - began)

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        with self.metrics.in_progress.track_inprogress():
            try:
                await self.app(scope, receive, send_counted)
            except Exception:
                count(500)  # the response that Starlette makes of it, further out
                raise
            finally:
                count(None)
