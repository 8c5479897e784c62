"""Prometheus takes its configuration, and each alert fires when it should and only then, by promtool."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.deploy.compose import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
ALERTS = {rule["alert"]: rule for rule in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]}

# Every 15 s for half an hour, in promtool's notation: what all is well with, and for each alert what is not.
WELL = {
    'up{job="underpaint-api"}': "1x120",
    "underpaint_workers": "2x120",
    "underpaint_beats": "1x120",
    "underpaint_queue_oldest_seconds": "4x120",
    "underpaint_queue_unsent_jobs": "0x120",
    "underpaint_database_up": "1x120",
    "underpaint_jobs_ended_total": "0+10x120",
    "underpaint_jobs_failed_total": "0+0.4x120",
    "underpaint_jobs_rescued_total": "0+0.01x120",
    "underpaint_janitor_last_sweep_timestamp_seconds": "0+15x120",
}
ILL = [
    ("UnderpaintApiGone", {'up{job="underpaint-api"}': "0x120"}),
    ("UnderpaintApiGone", {'up{job="underpaint-api"}': "1x20 stale"}),
    ("UnderpaintNoWorkers", {"underpaint_workers": "0x120"}),
    ("UnderpaintNoBeat", {"underpaint_beats": "0x120"}),
    ("UnderpaintQueueOld", {"underpaint_queue_oldest_seconds": "0+15x120"}),
    ("UnderpaintBrokerTakesNothing", {"underpaint_queue_unsent_jobs": "3x120"}),
    ("UnderpaintDatabaseGone", {"underpaint_database_up": "0x120"}),
    ("UnderpaintJobsFail", {"underpaint_jobs_failed_total": "0+1x120"}),
    ("UnderpaintWorkersDie", {"underpaint_jobs_rescued_total": "0+0.1x120"}),
    ("UnderpaintJanitorStopped", {"underpaint_janitor_last_sweep_timestamp_seconds": "0+15x20 300x100"}),
    ("UnderpaintJanitorStopped", {"underpaint_janitor_last_sweep_timestamp_seconds": "0+15x20 stale"}),
]


def promtool(*arguments: str | Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool: on Debian, apt install prometheus")
    ran = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_it_takes_the_configuration(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    token = tmp_path / "token"
    token.write_text("hush")
    written = (tmp_path / "prometheus.yml").read_text()
    assert "/etc/metrics-token" in written
    (tmp_path / "prometheus.yml").write_text(written.replace("/etc/metrics-token", str(token)))
    promtool("check", "config", tmp_path / "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    assert {name for name, _ in ILL} == ALERTS.keys()
    tests = [scenario(WELL, []), *(scenario(WELL | series, [name]) for name, series in ILL)]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(FOLDER / "alerts.yml")], "tests": tests}))
    promtool("test", "rules", file)


def scenario(series: dict[str, str], firing: Sequence[str]) -> dict[str, object]:
    """A test of promtool: after 25 minutes of these series, these alerts fire and no others."""

    return {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": "25m",
                "alertname": name,
                "exp_alerts": [{"exp_annotations": rule["annotations"]}] if name in firing else [],
            }
            for name, rule in ALERTS.items()
        ],
    }
