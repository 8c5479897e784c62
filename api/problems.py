"""Every way in which a request can go wrong. HTTP status codes are decided here and nowhere else.

A problem is raised where it is found. ``api.errors`` has the surface make a response of it. Its ``detail`` says what to
change, and never shows internals of the server.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from starlette.exceptions import HTTPException

from contract.problems import Code, FieldProblem


class Problem(HTTPException):
    """One occurrence of a problem.

    Args:
        detail: what went wrong, and what to change.
        errors: the fields at fault.
        headers: further headers of the response.
        members: further members of the body (RFC 9457, section 3.2).
    """

    status: ClassVar[HTTPStatus]
    slug: ClassVar[str]
    title: ClassVar[str]
    example: ClassVar[str]
    """A ``detail`` for the documentation."""

    def __init__(
        self,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(self.status.value, detail, dict(headers or {}))
        self.errors = errors
        self.members = members or {}

    @classmethod
    def uri(cls) -> str:
        """The ``type`` of RFC 9457: a name, not an address."""
        return f"urn:underpaint:problem:{cls.slug}"


class Unauthorized(Problem):
    status = HTTPStatus.UNAUTHORIZED
    slug = "unauthorized"
    title = "A key is needed"
    example = "Send a key in the header Authorization: Bearer KEY."


class Misdirected(Problem):
    status = HTTPStatus.MISDIRECTED_REQUEST
    slug = "misdirected"
    title = "The server does not answer to this name"
    example = "This server has no keys, and answers to addresses and names that it knows only."


class Forbidden(Problem):
    status = HTTPStatus.FORBIDDEN
    slug = "forbidden"
    title = "The key does not allow this"
    example = "This needs a key with the scope submit, or admin; this key has read."


class NoSuchPath(Problem):
    status = HTTPStatus.NOT_FOUND
    slug = "no-such-path"
    title = "There is nothing at this path"
    example = "job_id must be a valid UUID"


class NoSuchJob(Problem):
    status = HTTPStatus.NOT_FOUND
    slug = "no-such-job"
    title = "There is no such job"
    example = "There is no job 8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e: it was deleted, or it never was."

    @classmethod
    def of(cls, job: UUID) -> "NoSuchJob":
        """For a job that is not there, as far as the client may know."""
        return cls(f"There is no job {job}: it was deleted, or it never was.")


class NoSuchModel(Problem):
    status = HTTPStatus.NOT_FOUND
    slug = "model-not-found"
    title = "There is no such model"
    example = "There is no model dall-e-3 on this server: it has emoji."

    @classmethod
    def called(cls, name: str, on_offer: Iterable[str]) -> "NoSuchModel":
        """For a model of this name."""
        detail = f"There is no model {name[:100]} on this server: it has {', '.join(on_offer)}."
        return cls(detail, [FieldProblem("model", Code.CHOICE, "must be one of the models on offer")])


class NoSuchPicture(Problem):
    status = HTTPStatus.NOT_FOUND
    slug = "no-such-picture"
    title = "There is no such picture"
    example = "Image 0 has no iterate 7 yet: the newest one is 3."


class NoSuchDelivery(Problem):
    status = HTTPStatus.NOT_FOUND
    slug = "no-such-delivery"
    title = "There is no such delivery"
    example = "The job has no delivery 5d0c6f0a-3f56-4a8e-8f0e-0c2f5a1f9b11."


class MethodNotAllowed(Problem):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    slug = "method-not-allowed"
    title = "This path does not take this method"
    example = "/v1/models takes GET and HEAD, not POST."


class NotAcceptable(Problem):
    status = HTTPStatus.NOT_ACCEPTABLE
    slug = "not-acceptable"
    title = "No picture can be sent that the Accept header allows"
    example = "Pictures are sent as image/png, image/webp or image/jpeg: let the Accept header allow one of them."


class NoSuchUpload(Problem):
    status = HTTPStatus.NOT_FOUND
    slug = "no-such-upload"
    title = "There is no such upload"
    example = "There is no upload 0f3c... of yours: it has expired, or it never was."

    @classmethod
    def of(cls, digest: str) -> "NoSuchUpload":
        """For an upload that is not there, as far as the client may know."""
        return cls(f"There is no upload {digest} of yours: it has expired, or it never was.")


class NotAnUpload(Problem):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "not-an-upload"
    title = "The body of the request is not a picture"
    example = (
        "Send the picture as the body, with the header Content-Type: image/png, image/jpeg or image/webp, or as the "
        "part file of a multipart/form-data body."
    )


class NotAForm(Problem):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "not-a-form"
    title = "The body of the request is not a form"
    example = "Send the body as a form with files: Content-Type: multipart/form-data."


class TooManyUploads(Problem):
    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "too-many-uploads"
    title = "The uploads of the key have too many bytes"
    example = "Uploads may have 1073741824 bytes together: delete some, or wait until they expire."


class NotFinished(Problem):
    status = HTTPStatus.CONFLICT
    slug = "not-finished"
    title = "The job has not ended"
    example = "The job is running, and only jobs that have ended can be deleted: cancel it first."


class NothingToAccept(Problem):
    status = HTTPStatus.CONFLICT
    slug = "nothing-to-accept"
    title = "The job has nothing to accept"
    example = "The job is queued, and has no picture yet that could be accepted: wait for its first, or cancel it."


class NotRefinable(Problem):
    status = HTTPStatus.CONFLICT
    slug = "not-refinable"
    title = "The job cannot be refined"
    example = "The job is exact: there is nothing left to refine."


class PathTooLong(Problem):
    status = HTTPStatus.REQUEST_URI_TOO_LONG
    slug = "path-too-long"
    title = "The address of the request is too long"
    example = "Path and query may have at most 8192 bytes together."


class HeadTooLarge(Problem):
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    slug = "head-too-large"
    title = "The header of the request is too large"
    example = "The header fields may have at most 16384 bytes together."


class TooManyRequests(Problem):
    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "too-many-requests"
    title = "The key has sent too many requests"
    example = "This key may send 1200 requests a minute: send the next one after 3 s."


class TooManyQueued(Problem):
    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "too-many-queued"
    title = "The key has too many queued jobs"
    example = "1000 jobs of this key are queued, which is its limit: wait for one to start, or cancel one."


class TooSlow(Problem):
    status = HTTPStatus.REQUEST_TIMEOUT
    slug = "too-slow"
    title = "The request took too long to arrive"
    example = "The body of the request took too long to arrive."


class BodyTooLarge(Problem):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "body-too-large"
    title = "The body of the request is too large"
    example = "The body may have at most 262144 bytes."


class NotJson(Problem):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "not-json"
    title = "The body of the request is not JSON"
    example = "Send the body as JSON, with the header Content-Type: application/json."


class BadRequest(Problem):
    """`InvalidRequest` on OpenAI's surface, whose clients do not know 422."""

    status = HTTPStatus.BAD_REQUEST
    slug = "bad-request"
    title = "The request is not valid"
    example = "n must be from 1 to 8"


class GenerationCanceled(Problem):
    status = HTTPStatus.CONFLICT
    slug = "generation-canceled"
    title = "The job was canceled"
    example = "The job 8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e was canceled: ask again for another."


class GenerationFailed(Problem):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    slug = "generation-failed"
    title = "The job failed"
    example = "The job 8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e failed: the state is not finite."


class DeadlineExceeded(Problem):
    status = HTTPStatus.GATEWAY_TIMEOUT
    slug = "deadline-exceeded"
    title = "The job did not end by its deadline"
    example = "The job 8a6f1f0e-6f0c-4c1e-9a55-0d6a3c1f7b2e failed: the job had not ended by its deadline."


class InvalidRequest(Problem):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-request"
    title = "The request is not valid"
    example = "steps must be from 1 to 1000; seed must be a valid integer"

    @classmethod
    def of(cls, errors: Sequence[FieldProblem]) -> "InvalidRequest":
        """For all that is wrong with a request, at once."""
        return cls("; ".join(f"{each.field} {each.message}" for each in errors), errors)


class IdempotencyKeyReused(Problem):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another request"
    example = (
        "The Idempotency-Key came with another request before: send that one again as it was, or this one with a key "
        "of its own."
    )


class QueueFull(Problem):
    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "queue-full"
    title = "Too many jobs are waiting"
    example = "10000 jobs are waiting, which is the limit: nothing was accepted. Try again in 3 seconds."

    @classmethod
    def of(cls, max_queued: int, retry_after: int) -> "QueueFull":
        """With ``Retry-After``, in seconds."""
        return cls(
            f"{max_queued} jobs are waiting, which is the limit: nothing was accepted. "
            f"Try again in {retry_after} seconds.",
            headers={"Retry-After": str(retry_after)},
        )


class ServerError(Problem):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    slug = "server-error"
    title = "The server made a mistake"
    example = "The request may be sent again. If that does not help, the server's log says what happened."


class Busy(Problem):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "busy"
    title = "The server has too many connections"
    example = "The server has as many connections as it can keep: send the request again in a few seconds."


class DatabaseGone(Problem):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "database-gone"
    title = "The database cannot be reached"
    example = "The request may be sent again in a few seconds."


class PicturesGone(Problem):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "pictures-gone"
    title = "The pictures cannot be reached"
    example = "The request may be sent again in a few seconds."


class NotReady(Problem):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "not-ready"
    title = "The server is not ready to run jobs"
    example = "No worker is there: start one with `underpaint worker`."
