"""`underpaint bench`: the methods of a worker's engine compared with the serial sampler, on this machine.

Another process measures, since this one never loads torch.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import typer

from cli.errors import CommandError
from contract.words import Method
from underpaint_command import MODULE

WIDTH = max(map(len, get_args(Method)))
HEAD = f"    N  {'method':<{WIDTH}}  tolerance  first preview   image  rounds  evaluations     error"
NOTE = "Times are shares of the serial sampler's; error is relative to its image. Medians; the worst error."


def bench(arguments: Sequence[str], output: Path | None) -> None:
    """Runs `tasks.bench` with these arguments, prints its rows as they come, and saves them as JSON.

    Raises:
        CommandError: it failed; its messages are on stderr.
    """
    rows: list[dict[str, Any]] = []
    command = [*MODULE, "tasks.bench", *arguments]
    environment = {"TRANSFORMERS_VERBOSITY": "error", **os.environ}  # its advice is for programmers
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        typer.echo(f"{NOTE}\n{HEAD}")
        for line in process.stdout:
            rows.append(json.loads(line))
            typer.echo(row(rows[-1]))
    if process.returncode:
        raise CommandError("The benchmark ended early. Its messages are above.")
    if output:
        output.write_text(json.dumps(rows, indent=1) + "\n")


def row(figures: dict[str, Any]) -> str:
    """A row of the table under `HEAD`."""
    if "seconds" in figures:
        return f"{figures['steps']:>5}  {figures['method']:<{WIDTH}}  {figures['seconds']:.3g} s"
    return (
        "{steps:>5}  {method:<{name}}  {tolerance:>9g}  {first:>13.0%}  {all:>6.0%}  {rounds:>6g}  {evaluations:>11g}"
        "  {error:>8.1e}".format(name=WIDTH, **figures)
    )
