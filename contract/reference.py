"""docs/request.md, the reference of request fields: ``python -m contract.reference > docs/request.md``."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from contract.table import GENERATION, HANDLING, WEBHOOK, RequestFieldInfo
from contract.words import Method

_HEAD = """\
# Fields of a request

Written by `python -m contract.reference` from [contract/fields.py](../contract/fields.py).

The body of `POST /v1/jobs` is a JSON object with these fields. Only `prompt` is needed; null is the same as leaving a
field out. `underpaint generate` has an option for most of them (`--guidance-scale`), the [Python client](client.md) a
keyword for each, and [OpenAI's client](openai.md) takes them in `extra_body`. A bound or a default that is named in
words is the model's: `GET /v1/models` lists each model's fields with its own values. Everything that is wrong with a
request is reported at once.
"""
_PARTS: tuple[tuple[str, Mapping[str, RequestFieldInfo]], ...] = (
    ("The picture", GENERATION),
    ("How the job is handled", HANDLING),
    ("An item of `loras`", GENERATION["loras"].items),
    ("`webhook`", WEBHOOK),
)


def markdown() -> str:
    """docs/request.md."""
    lines = [_HEAD]
    for title, rows in _PARTS:
        lines += [f"## {title}", "", "| field | |", "|---|---|"]
        for row in rows.values():
            lines.append(f"| `{row.name}` | {row.about.description} {' '.join(_notes(row))} |")
        lines.append("")
    return "\n".join(lines)


def _notes(row: RequestFieldInfo) -> Iterator[str]:
    yield f"*Type:* {_type(row)}."
    if row.about.unit is not None:
        yield f"*Unit:* {row.about.unit}."
    if row.required:
        yield "*Required.*"
    elif row.model_default:
        yield "*Default:* the model's."
    elif row.default is not None:
        yield f"*Default:* {_json(row.default)}."
    if row.methods != get_args(Method):
        yield f"*Methods:* {_names(row.methods)}."
    if row.about.kinds is not None:
        yield f"*Models:* {_names(row.about.kinds)}."
    if row.about.of_pipeline:
        yield "*Models:* those whose pipeline has an argument of this name."
    if row.about.only_with:
        yield f"*Only with:* {', '.join(f'`{name}` `{value}`' for name, value in row.about.only_with.items())}."
    if row.refinable:
        yield "*May be changed when the job is refined.*"


def _type(row: RequestFieldInfo) -> str:
    about, fixed = row.about, row.fixed
    if row.type == "array" and row.item:
        return f"array of objects, at most {fixed.max_length}"
    if row.type == "array" and not row.choices:
        return f"array of strings, at most {fixed.max_length}"
    if row.type == "array":
        return f"array of {_names(row.choices)}"
    if row.choices:
        return _names(row.choices)
    least, most = about.minimum or fixed.least, about.maximum or fixed.most
    bounds: list[str] = []
    if fixed.above is not None:
        bounds.append(f"greater than {fixed.above}, at most {_bound(most)}")
    elif least is not None:
        bounds.append(f"from {_bound(least)} to {_bound(most)}")
    if about.multiple_of is not None:
        bounds.append(f"a multiple of {_bound(about.multiple_of)}")
    if row.type == "string" and (longest := about.max_length or fixed.max_length):
        bounds.append(f"at most {_bound(longest)}{' characters' if isinstance(longest, int) else ''}")
    return ", ".join([row.type, *bounds])


def _bound(bound: Any) -> str:
    return f"`{bound}`" if isinstance(bound, str) else str(bound)


def _names(values: tuple[str, ...]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _json(value: Any) -> str:
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case list():
            return f"`{value}`".replace("'", '"')
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(markdown())
