"""The JSON of responses to OpenAI's clients, with some members more."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from contract.warnings import Warning
from store import tables


class _Sent(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class TokenDetails(_Sent):
    text_tokens: int
    image_tokens: int


class Usage(_Sent):
    """What the pictures cost. Diffusion models generate no tokens: `output_tokens` and `total_tokens` are evaluations
    of the model. The tokens of the prompt are not counted."""

    input_tokens: int = 0
    input_tokens_details: TokenDetails = TokenDetails(text_tokens=0, image_tokens=0)
    output_tokens: int
    output_tokens_details: TokenDetails
    total_tokens: int
    evaluations: int
    """Model evaluations of all pictures."""
    rounds: int
    """Batched model calls of the slowest picture."""


class Picture(_Sent):
    """Either `b64_json` or `url` has a value."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None
    """Always null: no prompt is rewritten."""


class ImagesResponse(_Sent):
    """The finished pictures."""

    created: int
    """When the job ended, in seconds since 1970."""
    background: Literal["opaque"] = "opaque"
    data: list[Picture]
    output_format: str
    quality: str | None = None
    """What the request asked for. It has no effect."""
    size: str
    warnings: list[Warning] = []
    """The fields that do nothing, or less than they say. OpenAI's API has no such member."""
    usage: Usage


class StreamedPicture(_Sent):
    """What all events of a stream have. The figures are those of the iterate."""

    b64_json: str
    background: Literal["opaque"] = "opaque"
    created_at: int
    output_format: str
    quality: Literal["auto"] = "auto"
    size: str
    iterate: int
    residual: float | None
    error_estimate: float | None
    rounds: int
    evaluations: int


class PartialImage(StreamedPicture):
    """An iterate on the way to the finished picture."""

    type: Literal["image_generation.partial_image", "image_edit.partial_image"] = "image_generation.partial_image"
    partial_image_index: int


class Completed(StreamedPicture):
    """The finished picture."""

    type: Literal["image_generation.completed", "image_edit.completed"] = "image_generation.completed"
    usage: Usage


class Error(_Sent):
    message: str
    """What went wrong, and what to change."""
    type: str
    param: str | None
    """The field at fault, or the first of several."""
    code: str


class ErrorResponse(_Sent):
    """What went wrong, in OpenAI's format."""

    error: Error


def usage(images: list[tables.Image]) -> Usage:
    """What these images cost."""
    evaluations = sum(image.evaluations for image in images)
    rounds = max(image.rounds for image in images)
    return Usage(
        output_tokens=evaluations,
        output_tokens_details=TokenDetails(text_tokens=0, image_tokens=evaluations),
        total_tokens=evaluations,
        evaluations=evaluations,
        rounds=rounds,
    )
