"""What the OpenAPI document cannot express, so that every request that it allows is one that the server takes."""

from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, HookContext

from contract.methods import METHODS
from contract.table import FIELDS

TAKES_NO = {method: [name for name, row in FIELDS.items() if method not in row.methods] for method in METHODS}


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.operation.label == "GET /v1/jobs" and isinstance(case.query, dict):
        case.query.pop("cursor", None)  # only the server makes them
    # Nothing happens here that would be worth a wait of a minute.
    if isinstance(case.query, dict) and "wait" in case.query:
        case.query["wait"] = 1
    if case.headers is not None and "wait" in (case.headers.get("Prefer") or "").lower():
        case.headers["Prefer"] = "wait=1"
    if case.headers is not None and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid4())  # the same one with another body is refused
    if case.operation.label == "POST /v1/jobs/{job_id}/refine" and isinstance(case.body, dict):
        _agree_with_the_job(case.body)
    if case.operation.label == "POST /v1/jobs" and isinstance(case.body, dict):
        _agree(case.body)
    if case.operation.label == "POST /v1/images/generations" and isinstance(case.body, dict):
        _agree(case.body)
        _agree_on_images(case.body)


def _agree_with_the_job(refine: dict[str, Any]) -> None:
    """What may be given depends on the job: on its method, and on the estimated error that it has reached."""
    refine.pop("max_iterations", None)
    if refine.get("tolerance"):
        refine["tolerance"] = min(refine["tolerance"], 0.005)


def _agree_on_images(request: dict[str, Any]) -> None:
    """The same for what is OpenAI's own."""
    for side in ("width", "height"):
        request.pop(side, None)
    if request.get("size") not in (None, "auto"):
        request["size"] = "64x64"
    if request.get("response_format") == "url" or request.get("output_format") in (None, "png"):
        for field in ("output_format", "output_compression"):
            request.pop(field, None)
    if request.get("stream"):
        for field in ("n", "response_format", "previews"):
            request.pop(field, None)
    else:
        request.pop("partial_images", None)


def _agree(request: dict[str, Any]) -> None:
    """Let the values of a request agree with each other."""
    if isinstance(webhook := request.get("webhook"), dict):
        webhook["url"] = "https://example.org/hook"  # the schema cannot express which hosts are public
    for field in ("image", "mask", "strength"):  # only the server makes ids
        request.pop(field, None)
    for field in TAKES_NO.get(request.get("method") or "", ()):
        request.pop(field, None)
    if request.get("solver") != "ddim":
        request.pop("eta", None)
    if request.get("blocks"):
        request["blocks"] = min(request["blocks"], request.get("steps") or 50)
    if request.get("seed"):
        request["seed"] = min(request["seed"], 2**32 - (request.get("images") or request.get("n") or 1))
