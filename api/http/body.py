"""Bodies of requests and responses as JSON, before a surface looks at what they mean."""

import json
from typing import Annotated, Any

from fastapi import Body, Request
from pydantic import AfterValidator, BaseModel, ConfigDict

from api.problems import NotJson
from contract.annotations import whole


class Sent(BaseModel):
    """JSON that is sent. Every member is always there, null if there is no value; the OpenAPI document says so."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_serialization_defaults_required=True)


async def is_json(request: Request) -> None:
    """A dependency of routes that take a body: the Content-Type must be JSON.

    Raises:
        NotJson: it is missing, or another one.
    """
    kind, _, subtype = request.headers.get("content-type", "").partition(";")[0].strip().lower().partition("/")
    if not (kind == "application" and (subtype == "json" or subtype.endswith("+json"))) and await request.body():
        raise NotJson(NotJson.example)


def _encodable(body: dict[str, Any]) -> dict[str, Any]:
    # JSON can carry half of a surrogate pair ("\ud83d"), but UTF-8 and PostgreSQL cannot.
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise ValueError("must be flat, and hold whole characters: a \\u escape in it is half of a pair") from None
    return {name: whole(value) for name, value in body.items()}


JsonBody = Annotated[dict[str, Any], Body(), AfterValidator(_encodable)]
