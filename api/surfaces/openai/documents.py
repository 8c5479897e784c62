"""What the OpenAPI document says about this surface."""

from typing import Any

from fastapi.sse import format_sse_event

from api.openapi import REF
from api.problems import (
    BadRequest,
    BodyTooLarge,
    DatabaseGone,
    DeadlineExceeded,
    Forbidden,
    GenerationCanceled,
    GenerationFailed,
    IdempotencyKeyReused,
    Misdirected,
    NoSuchModel,
    NotJson,
    PicturesGone,
    Problem,
    QueueFull,
    ServerError,
    TooManyQueued,
    TooManyRequests,
    Unauthorized,
)
from api.surfaces.native.documents import job_request_schema
from api.surfaces.openai import errors, schemas
from api.surfaces.openai.request import Fields
from store.catalog import Catalog

NAME = "ImageGenerationRequest"

_TEXT = {"description": "", "schema": {"type": "string"}}
_HEADERS = {
    "Underpaint-Job": {**_TEXT, "description": "The `id` of the job."},
    "Idempotency-Replayed": {**_TEXT, "description": "`true` if the job is that of an earlier request."},
}
_PNG = "iVBORw0KGgo..."
_FIGURES = {"created_at": 1767268802, "output_format": "png", "size": "64x64"}
_USAGE = schemas.Usage(
    output_tokens=96,
    output_tokens_details=schemas.TokenDetails(text_tokens=0, image_tokens=96),
    total_tokens=96,
    evaluations=96,
    rounds=18,
)
_ANSWER = schemas.ImagesResponse(
    created=1767268802, data=[schemas.Picture(b64_json=_PNG)], output_format="png", size="64x64", usage=_USAGE
)
_PARTIAL = schemas.PartialImage(
    b64_json=_PNG,
    partial_image_index=0,
    iterate=0,
    residual=None,
    error_estimate=None,
    rounds=10,
    evaluations=10,
    **_FIGURES,
)
_COMPLETED = schemas.Completed(
    b64_json=_PNG, iterate=2, residual=0.002, error_estimate=0.0004, rounds=18, evaluations=96, usage=_USAGE, **_FIGURES
)
_STREAM = b"".join(
    format_sse_event(event=picture.type, data_str=picture.model_dump_json()) for picture in (_PARTIAL, _COMPLETED)
).decode()
# One parsed event (OpenAPI 3.2, "Server-Sent Event Streams").
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": [_PARTIAL.type, _COMPLETED.type, "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}


def document(document: dict[str, Any], catalog: Catalog) -> None:
    """Complete the OpenAPI document."""
    document["components"]["schemas"][NAME] = request_of(catalog)
    body = {"schema": {"$ref": f"{REF}{NAME}"}, "examples": request_examples(catalog)}
    document["paths"]["/v1/images/generations"]["post"]["requestBody"]["content"]["application/json"] = body


def request_of(catalog: Catalog) -> dict[str, Any]:
    """The schema of the body of ``POST /v1/images/generations``."""
    job = job_request_schema(catalog)
    own = Fields.model_json_schema()["properties"]
    images = job["properties"].pop("images")
    own["n"] |= {"anyOf": [{"type": "integer", "minimum": 1, "maximum": images["maximum"]}, {"type": "null"}]}
    rest = {name: field for name, field in job["properties"].items() if name not in own}
    return {
        **job,
        "title": NAME,
        "description": "What OpenAI's clients send, and the fields of `POST /v1/jobs` (by `extra_body`).",
        "properties": {"prompt": rest.pop("prompt"), "model": rest.pop("model"), **own, **rest},
    }


def request_examples(catalog: Catalog) -> dict[str, Any]:
    """Requests to try, by name."""
    prompt = catalog.default.example_prompts[0]
    return {
        "prompt": {"summary": "Only a prompt", "value": {"prompt": prompt}},
        "stream": {
            "summary": "Two partial images, then the finished one",
            "value": {"prompt": prompt, "stream": True, "partial_images": 2, "seed": 7},
        },
    }


def _refused(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        response = found.setdefault(kind.status.value, {"model": schemas.ErrorResponse, "titles": [], "examples": {}})
        response["titles"].append(kind.title)
        response["examples"][kind.slug] = {
            "summary": kind.title,
            "value": {"error": errors.error(kind(kind.example))},
        }
    return {
        status: {
            "model": response["model"],
            "description": "; ".join(response["titles"]),
            "content": {"application/json": {"examples": response["examples"]}},
        }
        for status, response in found.items()
    }


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": _HEADERS,
        "content": {
            "application/json": {"example": _ANSWER.model_dump()},
            "text/event-stream": {"itemSchema": _EVENT, "example": _STREAM},
        },
    },
    **_refused(
        BadRequest,
        Unauthorized,
        Forbidden,
        Misdirected,
        NoSuchModel,
        GenerationCanceled,
        BodyTooLarge,
        NotJson,
        IdempotencyKeyReused,
        TooManyRequests,
        TooManyQueued,
        QueueFull,
        ServerError,
        GenerationFailed,
        DeadlineExceeded,
        DatabaseGone,
        PicturesGone,
    ),
}
