"""Those who use the service meanwhile: they submit jobs, follow them, and receive webhooks."""

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.api.sse import parse


@dataclass
class Outcome:
    """What a client saw of its job."""

    job: str = ""
    acknowledged: float = 0.0
    """Seconds until the 202."""
    ended: float = 0.0
    """Seconds from the 202 to the last event."""
    connections: int = 0
    events: list[int] = field(default_factory=list[int])
    state: str = ""


class Client:
    """Submits a job until it is acknowledged, and follows it until it has ended, at whichever API answers."""

    def __init__(self, apis: Sequence[str], patience: float) -> None:
        self._apis = apis
        self._patience = patience

    def run(self, number: int, request: Mapping[str, Any]) -> Outcome:
        """Raises:
        AssertionError: it did not end in time, or an event was missed or came twice.
        """
        outcome = Outcome()
        began = time.monotonic()
        outcome.job = self._submit(number, request, began)
        outcome.acknowledged = time.monotonic() - began
        began = time.monotonic()
        self._follow(number, outcome, began)
        outcome.ended = time.monotonic() - began
        return outcome

    def _submit(self, number: int, request: Mapping[str, Any], began: float) -> str:
        key = {"Idempotency-Key": f"chaos-{number}"}
        turn = number
        while time.monotonic() - began < self._patience:
            turn += 1
            try:
                api = self._apis[turn % len(self._apis)]
                response = httpx.post(f"{api}/v1/jobs", json=request, headers=key, timeout=10, trust_env=False)
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            if response.status_code == 202:
                return response.json()["id"]
            assert response.status_code in (429, 503, 409), f"{response.status_code} {response.text}"
            time.sleep(0.5)
        raise AssertionError(f"job {number} was not acknowledged")

    def _follow(self, number: int, outcome: Outcome, began: float) -> None:
        headers = {"Accept": "text/event-stream"}
        turn = number
        while time.monotonic() - began < self._patience:
            turn += 1
            outcome.connections += 1
            url = f"{self._apis[turn % len(self._apis)]}/v1/jobs/{outcome.job}/events"
            try:
                with httpx.stream("GET", url, headers=headers, timeout=20, trust_env=False) as stream:
                    if stream.status_code == 204:
                        return
                    for event in parse(stream.iter_lines()):
                        headers["Last-Event-ID"] = str(event.id)
                        expected = outcome.events[-1] + 1 if outcome.events else 1
                        assert event.id == expected, f"{outcome.job}: event {event.id}, not {expected}"
                        outcome.events.append(event.id)
                        if event.kind == "done":
                            outcome.state = event.data["state"]
            except httpx.TransportError:
                pass
            if outcome.state:
                return
            time.sleep(0.2)
        raise AssertionError(f"job {outcome.job} did not end")


class Receiver:
    """Receives webhooks; every fifth one gets 503 the first time."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        """How often the webhook of each job's end came."""
        self._lock = threading.Lock()
        self._refused: set[str] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(receiver._take(self.headers["webhook-id"], body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, webhook: str, body: Mapping[str, Any]) -> int:
        with self._lock:
            if len(self._refused) * 5 <= len(self.received) and webhook not in self._refused:
                self._refused.add(webhook)
                return 503
            self.received[body["data"]["job"]] += 1
            return 204
