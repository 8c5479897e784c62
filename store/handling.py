"""How a job is handled, beside what it computes: nothing here changes a picture."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from store.catalog import Catalog
from store.generation import Generation, Text
from store.resolve import InvalidGeneration, plain
from store.tables import EventKind, Priority
from store.targets import Targets

LONGEST_DEADLINE = 7 * 86400
LONGEST_URL = 2048
PUBLIC = Targets()


class Webhook(BaseModel):
    """Where, and of what, a client is told. The signature follows Standard Webhooks."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: Text = Field(min_length=1, max_length=LONGEST_URL)
    events: list[EventKind] = ["done"]

    @field_validator("events")
    @classmethod
    def _some_once(cls, events: list[EventKind]) -> list[EventKind]:
        if not events or len(set(events)) < len(events):
            raise ValueError("must name at least one kind of event, and each once")
        return events


class StoredWebhook(Webhook):
    """A webhook as it is kept with its job."""

    base: str
    """What the links that are sent begin with: the address that the client has sent the job to."""
    disabled: str | None = None
    """Why nothing is sent any more; None while it is."""


class Handling(BaseModel):
    """What a client may ask for beside the picture."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    priority: Priority = "normal"
    deadline_seconds: Annotated[float, Field(gt=0, le=LONGEST_DEADLINE)] | None = None
    """A job that has not ended so many seconds after it was accepted fails."""
    webhook: Webhook | None = None


FIELDS = tuple(Handling.model_fields)


def resolve_request(
    catalog: Catalog, request: Mapping[str, Any], targets: Targets = PUBLIC
) -> tuple[Generation, Handling]:
    """What a request asks to be computed (see ``Catalog.resolve``), and how it asks to be handled. ``targets``: where
    its webhook may go.

    Raises:
        InvalidGeneration: with every problem of the request at once.
    """
    picture = {field: value for field, value in request.items() if field not in FIELDS}
    handling, found = _handling({field: request[field] for field in FIELDS if request.get(field) is not None})
    if handling.webhook and (fault := targets.fault(handling.webhook.url)):
        found.append(("webhook.url", fault))
    try:
        generation = catalog.resolve(picture)
    except InvalidGeneration as error:
        raise InvalidGeneration([*error.problems, *found]) from None
    if found:
        raise InvalidGeneration(found)
    return generation, handling


def _handling(given: Mapping[str, Any]) -> tuple[Handling, list[tuple[str, str]]]:
    try:
        return Handling.model_validate(given), []
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        found = [(".".join(map(str, each["loc"])), plain(each["type"], each["msg"])) for each in problems]
        return Handling(), found
