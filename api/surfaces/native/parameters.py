"""The parameters that several paths share."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Header, Path
from pydantic import BeforeValidator, WithJsonSchema

# Image and iterate numbers have no bound of their own: this one keeps them within PostgreSQL's integers.
_NUMBER = r"0|[1-9]\d{0,8}"


def _image(text: str) -> int:
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        raise ValueError("must be the number of an image, from 0")
    return int(text)


def _iterate(text: str) -> int | None:
    if text == "latest":
        return None
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        raise ValueError("must be the number of an iterate, from 0, or latest")
    return int(text)


JobId = Annotated[UUID, Path(description="The `id` of a job.")]

DeliveryId = Annotated[UUID, Path(description="The `id` of a delivery.")]

ImageNumber = Annotated[
    int,
    BeforeValidator(_image),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 999_999_999}),
    Path(description="The number of an image, from 0."),
]

IterateNumber = Annotated[
    int | None,  # None: the latest
    BeforeValidator(_iterate),
    WithJsonSchema({"type": "string", "pattern": rf"^(latest|{_NUMBER})$"}),
    Path(description="The number of an iterate, from 0, or `latest`.", examples=["latest", "0"]),
]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A name of your choice for this request, as a UUID: however often it comes with this name, it "
        "makes one job.",
    ),
]

IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="The `ETag` of an earlier answer.")]
