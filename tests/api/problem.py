"""What every answer that refuses must look like."""

from typing import Any

import httpx


def problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The body of a problem, checked for what all of them have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body["type"] == f"urn:underpaint:problem:{slug}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["instance"].startswith("/")
    assert all(set(error) == {"field", "message"} for error in body["errors"])
    assert "Traceback" not in response.text
    return body


def faults(response: httpx.Response) -> dict[str, str]:
    """The fields of a 422 and what is said of each."""
    body = problem(response, 422, "invalid-request")
    found = {error["field"]: error["message"] for error in body["errors"]}
    assert all(f"{field} {message}" in body["detail"] for field, message in found.items())
    return found
