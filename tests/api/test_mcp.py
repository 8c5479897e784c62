"""Who may use the tools of the Model Context Protocol at ``/mcp``."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

HEADERS = {"Accept": "application/json, text/event-stream"}


def call(client: httpx.Client, tool: str, **arguments: Any) -> httpx.Response:
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    return client.post("/mcp", json=request, headers=HEADERS)


def test_a_key_is_needed_and_used(holder: Callable[..., httpx.Client]) -> None:
    one, two, reader = holder("one"), holder("two"), holder("reader", "read")
    made = call(one, "generate", prompt="red heart", wait=False)
    assert made.status_code == 200, made.text
    (job,) = one.get("/v1/jobs").json()["jobs"]
    assert job["id"] in made.text
    assert "queued" in call(one, "status", job=job["id"]).text
    assert "There is no job" in call(two, "status", job=job["id"]).text
    assert "scope submit" in call(reader, "generate", prompt="red heart", wait=False).text
    for wrong in ("", "Bearer up_wrong"):
        one.headers["Authorization"] = wrong
        answer = call(one, "list_models")
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:underpaint:problem:unauthorized")


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}]
)
def test_other_sites_cannot_use_a_server_without_keys(client: httpx.Client, headers: dict[str, str]) -> None:
    client.headers.update(headers)
    assert call(client, "list_models").status_code in {403, 421}
    assert client.get("/mcp").status_code != 200
