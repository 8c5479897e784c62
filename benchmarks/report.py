"""What the benchmarks share: the machine, medians and percentiles, tables, and the files that each writes."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

PACKAGES = ("torch", "diffusers", "numpy", "fastapi", "celery", "sqlalchemy", "psycopg", "redis")


def machine(threads: int | None = None) -> dict[str, str]:
    """The machine, its load, and the versions of what is measured."""
    about = {"machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}"}
    if threads is not None:
        about["threads"] = str(threads)
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    about |= {"load": f"{load} (of 1, 5 and 15 minutes)", "python": platform.python_version()}
    return about | {name: version(name) for name in PACKAGES}


def _processor() -> str:
    """The processor's name if the system reports it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] not in ("", "unknown") else platform.machine()


def middle(values: Iterable[float]) -> dict[str, float]:
    """The median of some runs, the lowest and the highest."""
    runs = list(values)
    return {"median": median(runs), "low": min(runs), "high": max(runs)}


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles in milliseconds, of two values in seconds or more."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {name: round(value * 1000, 1) for name, value in
            (("p50", cuts[49]), ("p95", cuts[94]), ("p99", cuts[98]), ("max", max(seconds)))}  # fmt: skip


def shown(runs: dict[str, float], form: str = ".2f") -> str:
    """A median and its spread: `0.52 (0.50 to 0.55)`."""
    return f"{runs['median']:{form}} ({runs['low']:{form}} to {runs['high']:{form}})"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table. Floats have three significant digits."""
    cells = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = [list(head), ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def about(found: dict[str, Any]) -> str:
    """The machine and the versions of a file of results, in one line."""
    return ", ".join(f"{name} {value}" for name, value in found["about"].items())


def write(folder: Path, name: str, found: dict[str, Any], page: str) -> None:
    """Write `name`.json and `name`.md, and print the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / f"{name}.md").write_text(page)
    print(page)
