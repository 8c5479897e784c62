"""The options of commands that send a request, from the contract's table of request fields.

They are built when such a command runs, completes or prints its help. Importing the table takes longer than importing
all other commands, because of pydantic.
"""

import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from cli.options import words

if TYPE_CHECKING:
    from contract.table import RequestFieldInfo

PANEL = "Request"


class RequestCommand(TyperCommand):
    """A command that has an option for each field of a request. Its function gets their values as ``context.obj``."""

    @cached_property
    def options(self) -> list[Any]:
        """The options, as click's parameters."""
        return _options(self.fields())

    def fields(self) -> "list[RequestFieldInfo]":
        """The fields that have an option: the prompt is an argument, and a webhook too much for one."""
        from contract.table import FIELDS

        return [row for row in FIELDS.values() if not row.required and row.type != "object"]

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), *self.options]

    def invoke(self, ctx: Any) -> Any:
        ctx.obj = {option.name: ctx.params.pop(option.name) for option in self.options}
        if "loras" in ctx.obj:
            ctx.obj["loras"] = [_lora(each) for each in ctx.obj["loras"] or ()] or None
            ctx.obj["references"] = ctx.obj["references"] or None
        return super().invoke(ctx)


class EditCommand(RequestCommand):
    """A command that has an option for each field but the picture to begin with, which is an argument."""

    def fields(self) -> "list[RequestFieldInfo]":
        return [row for row in super().fields() if row.name != "image"]


class RefineCommand(RequestCommand):
    """A command that has an option for each field that can be changed when a job is refined."""

    def fields(self) -> "list[RequestFieldInfo]":
        return [row for row in super().fields() if row.refinable]


def _lora(given: str) -> dict[str, Any]:
    """NAME or NAME:SCALE as the API takes it."""
    name, _, scale = given.rpartition(":")
    if not name:
        return {"name": given}
    try:
        return {"name": name, "scale": float(scale)}
    except ValueError:
        raise typer.BadParameter(f"{given!r} is not NAME or NAME:SCALE", param_hint="--lora") from None


def _options(rows: "Sequence[RequestFieldInfo]") -> list[Any]:
    """The options, made by typer from the signature of a function."""

    def function(**_: Any) -> None: ...

    parameters = [
        inspect.Parameter(row.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(row))
        for row in rows
    ]
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return typer.main.get_command(app).params


def _annotation(row: "RequestFieldInfo") -> Any:
    # The server checks the values: it knows the limits of the model, and reports all errors at once.
    kind: dict[str, Any] = {"metavar": f"<{row.about.unit}>"} if row.about.unit else {}
    if row.type == "array":
        option = typer.Option(f"--{row.name.removesuffix('s')}", help=row.about.help, rich_help_panel=PANEL)
        return Annotated[list[str] | None, option]
    if row.choices:
        kind = words(row.choices)
    option = typer.Option(help=f"{row.about.help}{_range(row)}", rich_help_panel=PANEL, **kind)
    return Annotated[row.python | None, option]


def _range(row: "RequestFieldInfo") -> str:
    """The bounds for every model, in parentheses; rich would take brackets for markup."""
    least, above, most = row.fixed.least, row.fixed.above, row.fixed.most
    if least is not None:
        return f" ({least} or more)" if most is None else f" ({least} to {most})"
    parts = [f"{word} {bound}" for word, bound in (("more than", above), ("at most", most)) if bound is not None]
    return f" ({', '.join(parts)})" if parts else ""
