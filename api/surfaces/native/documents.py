"""What the OpenAPI document says about the request for a job."""

from typing import Any

from api.openapi import REF
from contract.schema import request_schema
from store.catalog import Catalog

NAME = "JobRequest"


def document(document: dict[str, Any], catalog: Catalog) -> None:
    """Complete the OpenAPI document."""
    document["components"]["schemas"][NAME] = job_request_schema(catalog)
    body = {"schema": {"$ref": f"{REF}{NAME}"}, "examples": request_examples(catalog)}
    document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"] = body


def job_request_schema(catalog: Catalog) -> dict[str, Any]:
    """The schema of the body of ``POST /v1/jobs``."""
    return {
        "title": NAME,
        "description": "What to make. Only `prompt` is needed; null is the same as leaving a field out.",
        **request_schema([card.terms for card in catalog.values()]),
    }


def request_examples(catalog: Catalog) -> dict[str, Any]:
    """Requests to try, by name."""
    card = catalog.default
    prompt, other = card.example_prompts[0], card.example_prompts[-1]
    return {
        "prompt": {"summary": "Only a prompt", "value": {"prompt": prompt}},
        "series": {
            "summary": "Two pictures that can be made again, nearly exact",
            "value": {"prompt": other, "model": card.id, "seed": 7, "images": 2, "tolerance": 0.001},
        },
        "serial": {
            "summary": "The plain sampler, to compare with",
            "value": {"prompt": prompt, "method": "serial", "seed": 7},
        },
        "webhook": {
            "summary": "Tell a webhook of the end",
            "value": {"prompt": prompt, "webhook": {"url": "https://example.org/hook", "events": ["done"]}},
        },
    }
