"""The HTTP API, as far as `generate` needs it."""

from types import TracebackType
from typing import Any, Self

import httpx

from cli.errors import Explained

Json = dict[str, Any]


class Unreachable(Explained):
    """The server does not answer, for now at least."""


class Client:
    """A server at one address.

    Every method raises `Explained` when the server refuses, and `Unreachable` when there is none.
    """

    def __init__(self, server: str, key: str | None = None) -> None:
        self._server = server.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self._server, headers=headers, timeout=httpx.Timeout(30, connect=5))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, request: Json) -> Json:
        """The new job."""
        return self._call("POST", "/v1/jobs", json=request).json()

    def job(self, job: str) -> Json:
        """The job as it is now."""
        return self._call("GET", f"/v1/jobs/{job}").json()

    def iterates(self, job: str) -> list[Json]:
        """The figures of every saved iterate of every image."""
        return self._call("GET", f"/v1/jobs/{job}/iterates").json()["iterates"]

    def picture(self, job: str, image: int, iterate: int) -> bytes:
        """The picture of an iterate, as PNG."""
        path = f"/v1/jobs/{job}/images/{image}/iterates/{iterate}"
        return self._call("GET", path, headers={"Accept": "image/png"}).content

    def cancel(self, job: str) -> None:
        """Stops the job, within a round if it runs."""
        self._call("POST", f"/v1/jobs/{job}/cancel")

    def _call(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **how)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Explained(
                f"{self._server!r} is not the address of a server ({error}). Use --server http://HOST:PORT."
            ) from error
        except httpx.TransportError as error:
            raise Unreachable(
                f"No server answers at {self._server} ({error or type(error).__name__}). Start one with "
                "`underpaint up`, or name another one with --server or UNDERPAINT_SERVER."
            ) from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise Explained(f"{_problem(response)} Name one with --key or UNDERPAINT_KEY.")
        if not response.is_success:
            raise Explained(_problem(response))
        return response


def _problem(response: httpx.Response) -> str:
    """What an error response says, for people (RFC 9457)."""
    try:
        problem = response.json()
        errors = [f"  {error['field']} {error['message']}" for error in problem.get("errors", [])]
        # Where there are errors, the detail is all of them in one line.
        lines = [problem["title"], *errors] if errors else [problem.get("detail") or problem["title"]]
    except (ValueError, LookupError, TypeError, AttributeError):
        return (
            f"{response.request.method} {response.request.url} answered {response.status_code} {response.reason_phrase}"
        )
    return "\n".join(lines)
