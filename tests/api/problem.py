"""Checks of error responses (RFC 9457)."""

from typing import Any

import httpx


def problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Check what all problems have in common. Returns the body."""
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
    """The message for each invalid field of a 422 response."""
    body = problem(response, 422, "invalid-request")
    found = {error["field"]: error["message"] for error in body["errors"]}
    assert all(f"{field} {message}" in body["detail"] for field, message in found.items())
    return found
