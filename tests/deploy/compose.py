"""docker-compose.yml as Compose reads it: anchors merged, variables filled in."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"


def load(file: Path = FILE, **variables: str) -> dict[str, Any]:
    """A file with ``${NAME:-default}`` and ``${NAME:?message}`` filled in from ``variables``, and ``$$`` as ``$``."""

    def fill(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        return variables.get(match["name"]) or match["default"]

    pattern = r"\$(?:\$|\{(?P<name>\w+):[-?](?P<default>[^}]*)\})"
    return yaml.safe_load(re.sub(pattern, fill, file.read_text()))


def seconds(duration: str) -> float:
    """Compose's "1m30s", in seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def merge(service: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """A service as Compose makes it of two files: mappings are merged, anything else is replaced."""
    merged = {
        name: {**service[name], **value} if isinstance(value, dict) and isinstance(service.get(name), dict) else value
        for name, value in override.items()
    }
    return {**service, **merged}
