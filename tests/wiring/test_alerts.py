"""The chart's alerts, judged by Prometheus' own tool."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.helm import ROOT, helm_objects
from tests.support.prometheus import promtool

CASES = ROOT / "tests" / "data" / "alerts.yaml"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules as the chart renders them, in a file as promtool takes them."""
    rendered = [
        one for one in helm_objects({"metrics": {"rules": {"enabled": True}}}) if one["kind"] == "PrometheusRule"
    ]
    place = tmp_path_factory.mktemp("alerts") / "rules.yaml"
    place.write_text(yaml.safe_dump(rendered[0]["spec"]))
    return place


def test_rules_are_well_formed(rules: Path) -> None:
    promtool("check", "rules", rules)


def test_alerts_fire_where_they_should(rules: Path) -> None:
    shutil.copy(CASES, rules.parent / "cases.yaml")
    promtool("test", "rules", rules.parent / "cases.yaml")


def test_each_alert_has_a_case(rules: Path) -> None:
    document: dict[str, Any] = yaml.safe_load(rules.read_text())
    alerts = {rule["alert"] for group in document["groups"] for rule in group["rules"]}
    cases = yaml.safe_load(CASES.read_text())
    firing = {case["alertname"] for test in cases["tests"] for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert firing == alerts
