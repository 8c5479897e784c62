"""Request ids: in every answer and every problem, chosen by the client where what it sends can be logged."""

import re

import httpx
import pytest

MADE = re.compile(r"[0-9a-f]{32}")


@pytest.mark.parametrize("given", ["a", "5d1c.7:x/+=@-_", "x" * 128, "3f0c5a4e-9a55-4c1e-8a6f-0d6a3c1f7b2e"])
def test_a_clients_own_id_comes_back(client: httpx.Client, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", 'quote"', "{}", "\xe9"])
def test_one_that_will_not_do_is_replaced(client: httpx.Client, given: str) -> None:
    sent = {b"X-Request-Id": given.encode("latin-1")}
    answers = [client.get("/healthz", headers=sent).headers["X-Request-Id"] for _ in range(2)]
    assert answers[0] != answers[1]
    assert all(MADE.fullmatch(answer) for answer in answers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/jobs/8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e", 404),
        ("DELETE", "/healthz", 405),
        ("POST", "/v1/jobs", 415),
        ("GET", "/v1/jobs?limit=0", 422),
        ("GET", "/readyz", 503),
    ],
)
def test_a_problem_has_it_in_its_body_too(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path, content="x" if method == "POST" else None)
    assert response.status_code == status
    assert response.json()["request_id"] == response.headers["X-Request-Id"]


def test_so_has_a_body_that_is_refused_unread(client: httpx.Client) -> None:
    response = client.post("/v1/jobs", content=b" " * 270_000, headers={"X-Request-Id": "mine"})
    assert response.status_code == 413
    assert response.json()["request_id"] == response.headers["X-Request-Id"] == "mine"
