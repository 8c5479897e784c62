"""The sub-commands of `underpaint models`. Like those of `cli.main` they import what they need when they run."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import report_errors
from cli.options import AsJson, Key, Server

app = typer.Typer()

CatalogFile = Annotated[
    Path | None,
    typer.Option("--catalog", help="The catalogue. By default UNDERPAINT_CATALOG, or catalog.toml in this folder."),
]
Id = Annotated[str, typer.Argument(help="The id of a model in the catalogue.")]


@app.callback(invoke_without_command=True)
def models(context: typer.Context, server: Server = None, key: Key = None, as_json: AsJson = False) -> None:
    """List the models of a server; or add models to its catalogue, and look at, check and remove them."""
    if context.invoked_subcommand is None:
        with report_errors():
            from cli.jobs import commands

            commands.models(server, key, as_json)


@app.command()
def add(
    source: Annotated[
        str,
        typer.Argument(help="A folder in diffusers' format, a .safetensors or .gguf file, or owner/name (hub)."),
    ],
    id: Annotated[str | None, typer.Option("--id", help="By default the name of the source.")] = None,
    base: Annotated[
        str | None, typer.Option(help="For a single file: the folder or repository that has what the file lacks.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Of the weights, such as fp16.")] = None,
    catalog: CatalogFile = None,
) -> None:
    """Add a model. What can be known from its files is filled in; of the hub only the small files are fetched now."""
    with report_errors():
        from cli.models import commands

        commands.add(catalog, source, id, base, variant)


@app.command("list")
def list_models(catalog: CatalogFile = None) -> None:
    """List the models of the catalogue."""
    with report_errors():
        from cli.models import commands

        commands.show_all(catalog)


@app.command()
def show(id: Id, catalog: CatalogFile = None) -> None:
    """Show the whole entry of a model, as TOML."""
    with report_errors():
        from cli.models import commands

        commands.show(catalog, id)


@app.command()
def remove(id: Id, catalog: CatalogFile = None) -> None:
    """Take a model out of the catalogue. Its files stay."""
    with report_errors():
        from cli.models import commands

        commands.remove(catalog, id)


@app.command()
def pull(id: Id, catalog: CatalogFile = None) -> None:
    """Fetch the files of a model from the hub; an interrupted download goes on."""
    with report_errors():
        from cli.models import commands

        commands.pull(catalog, id)


@app.command()
def check(catalog: CatalogFile = None) -> None:
    """Check the files of all models without loading them. `underpaint doctor --load` loads them, too."""
    with report_errors():
        from cli.models import commands

        commands.check(catalog)
