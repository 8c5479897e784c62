"""A client's request, checked against the model that it names and the targets that its webhook may have."""

from collections.abc import Mapping
from typing import Any

from contract.fields import Generation, Handling
from contract.problems import Code, FieldProblem, InvalidFields
from contract.resolve import handling
from contract.table import HANDLING
from store.catalog import Catalog
from store.targets import Targets

PUBLIC = Targets()


def resolve_request(
    catalog: Catalog, request: Mapping[str, Any], targets: Targets = PUBLIC
) -> tuple[Generation, Handling]:
    """What a request asks to be computed (see ``Catalog.resolve``), and how it asks to be handled. ``targets``: where
    its webhook may go.

    Raises:
        InvalidFields: with every problem of the request at once.
    """
    picture = {name: value for name, value in request.items() if name not in HANDLING}
    handled, found = handling(request)
    if handled.webhook and (fault := targets.fault(handled.webhook.url)):
        found.append(FieldProblem("webhook.url", Code.VALUE, fault))
    try:
        generation = catalog.resolve(picture)
    except InvalidFields as error:
        raise InvalidFields([*error.problems, *found]) from None
    if found:
        raise InvalidFields(found)
    return generation, handled
