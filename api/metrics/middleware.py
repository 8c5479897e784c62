"""Counts and times every request, by the template of its path."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics.process import Metrics


class Measured:
    """Measures what the app within answers. A stream counts as answered when it begins."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        answered = False

        def tell(status: int | None) -> None:
            nonlocal answered
            if not answered:
                answered = True
                route = getattr(scope.get("route"), "path", None)
                self.metrics.answered(route, scope["method"], status, perf_counter() - began)

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                tell(message["status"])
            await send(message)

        with self.metrics.in_progress.track_inprogress():
            try:
                await self.app(scope, receive, send_measured)
            except Exception:
                tell(500)  # as which it is answered, further out
                raise
            finally:
                tell(None)
