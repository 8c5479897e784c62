"""The HTTP server for Prometheus."""

import socket

import pytest
from prometheus_client import CollectorRegistry

from tasks.metrics_server import serve


def test_a_port_that_is_taken_ends_the_process_with_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = rf"metrics cannot be served at 127.0.0.1:{port}: .*UNDERPAINT_WORKER_METRICS_PORT"
        with pytest.raises(SystemExit, match=message):
            serve(CollectorRegistry(), "127.0.0.1", port)
