"""The body of a request, before anybody asks what it means."""

import json
from typing import Annotated, Any

from fastapi import Body, Request
from pydantic import AfterValidator

from api.problems import NotJson
from contract.annotations import whole


async def is_json(request: Request) -> None:
    """A dependency of routes that take a body: refuses one that does not say that it is JSON.

    Raises:
        NotJson: the Content-Type is missing, or is another one.
    """
    kind, _, subtype = request.headers.get("content-type", "").partition(";")[0].strip().lower().partition("/")
    if not (kind == "application" and (subtype == "json" or subtype.endswith("+json"))) and await request.body():
        raise NotJson(NotJson.example)


def _sound(body: dict[str, Any]) -> dict[str, Any]:
    # JSON can carry half of a surrogate pair ("\ud83d"), but UTF-8 and PostgreSQL cannot.
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise ValueError("must be flat, and hold whole characters: a \\u escape in it is half of a pair") from None
    return {name: whole(value) for name, value in body.items()}


JsonBody = Annotated[dict[str, Any], Body(), AfterValidator(_sound)]
