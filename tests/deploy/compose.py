"""docker-compose.yml as Compose reads it: with anchors resolved and variables substituted."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"


def load(file: Path = FILE, **variables: str) -> dict[str, Any]:
    """A Compose file after interpolation: ``${NAME:-default}`` and ``${NAME:?message}`` become the values in
    ``variables``, and ``$$`` becomes ``$``."""

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        return variables.get(match["name"]) or match["default"]

    pattern = r"\$(?:\$|\{(?P<name>\w+):[-?](?P<default>[^}]*)\})"
    return yaml.safe_load(re.sub(pattern, value, file.read_text()))


def seconds(duration: str) -> float:
    """A duration as Compose writes it, such as "1m30s", in seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def merge(service: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """A service after Compose has merged an override file: mappings are merged, other values are replaced."""
    merged = {
        name: {**service[name], **value} if isinstance(value, dict) and isinstance(service.get(name), dict) else value
        for name, value in override.items()
    }
    return {**service, **merged}
