"""`underpaint bench`: what a worker's engine makes of a model on this machine, beside the serial sampler.

The measuring is done by a process of its own, since this one never loads torch.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from cli.errors import Explained

HEAD = "    N  method  tolerance  first preview   image  rounds  evaluations     error"
NOTE = "Times are shares of the serial sampler's; error is relative to its image. Medians; the worst error."


def bench(arguments: Sequence[str], output: Path | None) -> None:
    """Run the benchmark with these arguments of `tasks.bench`, show its rows as they come, and save them as JSON.

    Raises:
        Explained: it failed; what it said is on stderr.
    """
    rows: list[dict[str, Any]] = []
    command = [sys.executable, "-P", "-m", "tasks.bench", *arguments]
    environment = {"TRANSFORMERS_VERBOSITY": "error", **os.environ}  # its advice is for those who write code with it
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        typer.echo(f"{NOTE}\n{HEAD}")
        for line in process.stdout:
            rows.append(json.loads(line))
            typer.echo(shown(rows[-1]))
    if process.returncode:
        raise Explained("The benchmark ended early. What it said is above.")
    if output:
        output.write_text(json.dumps(rows, indent=1) + "\n")


def shown(row: dict[str, Any]) -> str:
    """A row, under `HEAD`."""
    if row["method"] == "serial":
        return f"{row['steps']:>5}  serial  {row['seconds']:.3g} s"
    return (
        f"{row['steps']:>5}  {row['method']:<7} {row['tolerance']:>9g}  {row['first']:>13.0%}  {row['all']:>6.0%}"
        f"  {row['rounds']:>6g}  {row['evaluations']:>11g}  {row['error']:>8.1e}"
    )
