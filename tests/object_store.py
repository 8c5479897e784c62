"""A server that speaks S3 (moto's), on real HTTP, which a test can take away for a while."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import boto3
from moto.server import ThreadedMotoServer

# Of each request. Nobody reads it.
logging.getLogger("werkzeug").setLevel(logging.ERROR)


class ObjectStore:
    """Its contents last as long as the process of the test, also while it is stopped."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nothing listens at its address during the context."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def settings(self) -> dict[str, str]:
        """Those of Underpaint for a new bucket."""
        name = f"bucket-{uuid4()}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=self.url, **keys)
        client.create_bucket(Bucket=name)
        client.close()
        return {
            "UNDERPAINT_PICTURES": "s3",
            "UNDERPAINT_S3_BUCKET": name,
            "UNDERPAINT_S3_ENDPOINT": self.url,
            "UNDERPAINT_S3_ACCESS_KEY": "key",
            "UNDERPAINT_S3_SECRET_KEY": "secret",
            "UNDERPAINT_S3_GRACE_SECONDS": "0.001",
            "UNDERPAINT_S3_SWEEP_SECONDS": "0.001",
        }
