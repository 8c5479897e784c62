"""The sub-commands of `underpaint pictures`. Like those of `cli.main` they import what they need when they run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import report_errors
from cli.options import DataDirectory

app = typer.Typer(
    help="Move pictures and checkpoints between the database and a bucket (S3).",
    no_args_is_help=True,
)


class Place(StrEnum):
    S3 = "s3"
    POSTGRES = "postgres"


@app.command()
def move(
    to: Annotated[Place, typer.Argument(help="Where everything goes: s3 or postgres.")],
    data_dir: DataDirectory = Path(".underpaint"),
) -> None:
    """Move all pictures and checkpoints, while the server runs. It may be stopped and started again.

    First give UNDERPAINT_PICTURES this value for all processes, so that new pictures go there too.
    """
    with report_errors():
        from cli.pictures import commands

        commands.move(data_dir, to.value)


@app.command()
def adopt(data_dir: DataDirectory = Path(".underpaint")) -> None:
    """Make what is in the bucket that of this database, after it was restored or replaced by another one.

    A bucket belongs to one database: to any other, its pictures look as if nothing referred to them.
    """
    with report_errors():
        from cli.pictures import commands

        commands.adopt(data_dir)
