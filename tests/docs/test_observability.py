"""The page, the dashboard and the alerts name the metrics that there are, and no others."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.docs.metrics import PARTS, families

ROOT = Path(__file__).parents[2]
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def metrics() -> dict[str, tuple[str, str]]:
    return {name: what for part in PARTS for name, what in families(part).items()}


def dashboard() -> str:
    found = json.loads((ROOT / "deploy/grafana/underpaint.json").read_text())
    return "\n".join(target["expr"] for panel in found["panels"] for target in panel.get("targets", []))


def alerts() -> str:
    (group,) = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    return "\n".join(rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("queries", [dashboard, alerts])
def test_queries_ask_for_what_there_is(queries) -> None:
    there = {name + suffix for name, (kind, _) in metrics().items() for suffix in SUFFIXES[kind]}
    asked = set(re.findall(r"underpaint_\w+", queries()))
    assert asked
    assert asked - there == set()


def test_the_page_tells_the_meaning_of_every_metric() -> None:
    page = (ROOT / "docs/observability.md").read_text()
    rows = {
        name: (kind, parts.split(", "), text)
        for name, kind, parts, text in re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]+) \| (.*) \|$", page, re.MULTILINE)
    }
    assert rows == {
        name: (kind, [part for part in PARTS if name in families(part)], text)
        for name, (kind, text) in metrics().items()
    }
