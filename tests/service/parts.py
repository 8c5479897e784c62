"""The API as a process that a test can kill, and its clients."""

import base64
import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from tests.api.sse import ServerEvent, parse
from tests.until import PATIENCE, until


class Api:
    """The API at one address, which stays the same after a restart."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._log = folder / "log"
        self._environment = environment

    def start(self) -> None:
        # Like `underpaint api`. Otherwise an idle connection may be closed just when a request is sent on it.
        options = ["--port", str(self._port), "--timeout-keep-alive", "75"]
        command = [sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", *options]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=subprocess.STDOUT)
        until(self._answers, why=self._log.read_text)

    def _answers(self) -> bool:
        try:
            httpx.get(f"{self.address}/healthz", timeout=1, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    def log(self) -> str:
        """Its log."""
        return self._log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, trust_env=False, timeout=PATIENCE)

    def submit(self, **fields: Any) -> str:
        with self.client() as client:
            response = client.post("/v1/jobs", json={"prompt": "red heart", "seed": 7, "method": "srds", **fields})
            assert response.status_code == 202, response.text
            return response.json()["id"]

    def get(self, job: str) -> dict[str, Any]:
        with self.client() as client:
            return client.get(f"/v1/jobs/{job}").json()

    def follow(self, job: str) -> Iterator[ServerEvent]:
        """All events of a job. The client reconnects like EventSource: with the id of the last event, and not after an
        error response."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        deadline = time.monotonic() + PATIENCE
        with self.client() as client:
            while time.monotonic() < deadline:
                try:
                    with client.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as stream:
                        if stream.status_code == 204:
                            return
                        assert stream.status_code == 200, stream.read()
                        for event in parse(stream.iter_lines()):
                            headers["Last-Event-ID"] = str(event.id)
                            yield event
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
        raise AssertionError("the job did not end")


def pixels(picture: str | bytes | None) -> np.ndarray[Any, Any]:
    """A picture (H, W, 3), from its bytes or from base64."""
    assert picture is not None
    data = base64.b64decode(picture) if isinstance(picture, str) else picture
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.float64)
