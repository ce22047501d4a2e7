"""The alerts in `docker/observability/alerts.yml`, and their tests beside them, in the form of `promtool`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "docker" / "observability"
RULES = FOLDER / "alerts.yml"
TESTS = FOLDER / "alerts.test.yml"


def check(promtool: str) -> None:
    """Prometheus takes every rule, every test holds, and no alert is without one."""
    for arguments in [["check", "rules", "--lint-fatal", RULES.name], ["test", "rules", TESTS.name]]:
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, cwd=FOLDER)
        assert done.returncode == 0, done.stdout + done.stderr
    check_coverage(yaml.safe_load(RULES.read_text()), yaml.safe_load(TESTS.read_text()))


def check_coverage(rules: dict[str, Any], tests: dict[str, Any]) -> None:
    """Each alert fires in one test and does not in another."""
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    looks = [look for test in tests["tests"] for look in test["alert_rule_test"]]
    for wanted, words in [(True, "fires in no test"), (False, "is quiet in no test")]:
        seen = {look["alertname"] for look in looks if bool(look["exp_alerts"]) == wanted}
        assert alerts == seen, f"{sorted(alerts ^ seen)}: {words}, or is no alert"
