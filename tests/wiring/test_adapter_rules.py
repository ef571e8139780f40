"""The rule that docs/how-to/autoscaling.md gives to prometheus-adapter, expanded as the adapter does, by promtool."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.how_to import PAGES, adapter_values
from tests.support.prometheus import promtool

from modelservice_operator.domain.builders.scaling_metrics import CUSTOM_METRICS, SCALING_METRICS

(PAGE,) = [page for page in PAGES if page.stem == "autoscaling"]
(RULE,) = adapter_values(PAGE)["rules"]["custom"]
NAMES = [metric.name for metric in SCALING_METRICS if metric.api == CUSTOM_METRICS]
SERIES = {
    '{name}{{namespace="team-a",pod="iris-1",job="models",model="iris"}}': 4,
    '{name}{{namespace="team-a",pod="iris-1",job="another",model="iris"}}': 4,
    '{name}{{namespace="team-a",pod="iris-2",job="models",model="iris"}}': 6,
    '{name}{{namespace="team-a",pod="wine-1",job="models",model="wine"}}': 50,
    '{name}{{namespace="team-b",pod="iris-1",job="models",model="iris"}}': 70,
    '{name}{{job="laptop"}}': 90,
}


def expanded(name: str, *, namespace: str, pods: list[str]) -> str:
    """The query for pods of a namespace: the adapter selects them by the labels that the rule's resources name."""
    labels = {one["resource"]: label for label, one in RULE["resources"]["overrides"].items()}
    matchers = f'{labels["namespace"]}="{namespace}",{labels["pod"]}=~"{"|".join(pods)}"'
    query: str = RULE["metricsQuery"]
    for place, value in {"Series": name, "LabelMatchers": matchers, "GroupBy": labels["pod"]}.items():
        query = query.replace(f"<<.{place}>>", value)
    assert "<<" not in query
    return query


def judge(folder: Path, name: str, query: str, expected: list[dict[str, Any]]) -> None:
    """Have promtool ask it of the series above.

    Raises:
        AssertionError: it gives something else.
    """
    series = [{"series": one.format(name=name), "values": f"{value}x5"} for one, value in SERIES.items()]
    asked = {"expr": query, "eval_time": "1m", "exp_samples": expected}
    tests = {"interval": "15s", "input_series": series, "promql_expr_test": [asked]}
    (folder / "cases.yaml").write_text(yaml.safe_dump({"tests": [tests]}))
    promtool("test", "rules", folder / "cases.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_each_pod_that_is_asked_for_has_one_value(name: str, tmp_path: Path) -> None:
    query = expanded(name, namespace="team-a", pods=["iris-1", "iris-2"])
    expected = [{"labels": f'{{pod="{pod}"}}', "value": value} for pod, value in (("iris-1", 4), ("iris-2", 6))]
    judge(tmp_path, name, query, expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_adapter_finds_the_series_of_pods_and_no_others(name: str, tmp_path: Path) -> None:
    expected = [
        {"labels": one.format(name=name), "value": value} for one, value in SERIES.items() if "namespace=" in one
    ]
    judge(tmp_path, name, RULE["seriesQuery"], expected)


def test_a_query_that_gives_something_else_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="FAILED"):
        judge(tmp_path, NAMES[0], NAMES[0], [{"labels": "{}", "value": 1}])
