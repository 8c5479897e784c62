"""Path parameters."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Path
from pydantic import BeforeValidator, WithJsonSchema

# Image and iterate numbers have no natural bound. This one keeps them within the integers of PostgreSQL.
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
