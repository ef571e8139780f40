"""The chart's dashboards for Grafana, made by code: rows of panels, each a query or several."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_COLUMNS: Final = 24
_HEIGHT: Final = 8
_SCHEMA: Final = 39
"""Version of Grafana's dashboard model: that of Grafana 11."""
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


class Panel(NamedTuple):
    """A picture of queries (PromQL) by legend; ``kind`` is Grafana's name of it, ``unit`` one of Grafana's units."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"


class Dashboard(NamedTuple):
    """A file; ``variables`` are lists to choose from, each the label of a query by its name."""

    name: str
    title: str
    variables: dict[str, str]
    rows: Sequence[Sequence[Panel]]


_RATE: Final = "[$__rate_interval]"
_OF_ALL: Final = 'namespace=~"$namespace"'
_OF_ONE: Final = 'namespace="$namespace", model="$model"'


_ITSELF: Final = 'job=~".*modelservice-operator.*"'
_UNREADY: Final = f"max by (namespace, name, reason) (modelservice_not_ready{{{_OF_ALL}}})"


def _of_operator(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate(modelservice_operator_{metric}{_RATE}))"


def _rate(metric: str, of: str, by: str, more: str = "") -> str:
    labels = ", ".join(filter(None, (of, more)))
    return f"sum by ({by}) (rate({metric}{{{labels}}}{_RATE}))"


def _latency(share: float, of: str, by: str) -> str:
    buckets = _rate("modelservice_request_duration_seconds_bucket", of, f"le, {by}")
    return f"histogram_quantile({share}, {buckets})"


def _mean(metric: str, of: str, by: str) -> str:
    return f"{_rate(f'{metric}_sum', of, by)} / {_rate(f'{metric}_count', of, by)}"


OPERATOR: Final = Dashboard(
    name="operator",
    title="ModelService: operator",
    variables={},
    rows=(
        (
            Panel("Leaders", {"leaders": "sum(modelservice_operator_leader)"}, kind="stat"),
            Panel(
                "ModelServices",
                {"all": 'count(max by (namespace, name) (modelservice_condition{type="Ready"}))'},
                kind="stat",
            ),
            Panel("Waiting for a worker", {"queue": "max(modelservice_operator_queue_depth)"}, kind="stat"),
        ),
        (
            Panel(
                "Reconciles by result",
                {"{{result}}": _of_operator("reconciles_total", "result")},
                "reqps",
            ),
            Panel(
                "Seconds of a reconcile",
                {
                    f"p{round(100 * share)}": f"histogram_quantile({share}, sum by (le)"
                    f" (rate(modelservice_operator_reconcile_duration_seconds_bucket{_RATE})))"
                    for share in (0.5, 0.99)
                },
                "s",
            ),
        ),
        (
            Panel(
                "Requests to the apiserver",
                {"{{verb}} {{kind}} {{code}}": _of_operator("api_requests_total", "verb, kind, code")},
                "reqps",
            ),
            Panel(
                "Writes",
                {"{{verb}} {{kind}}": _of_operator("writes_total", "verb, kind")},
                "wps",
            ),
        ),
        (
            Panel(
                "CPU",
                {"{{pod}}": _rate("process_cpu_seconds_total", _ITSELF, "pod")},
                "percentunit",
            ),
            Panel(
                "Memory",
                {"{{pod}}": f"sum by (pod) (process_resident_memory_bytes{{{_ITSELF}}})"},
                "bytes",
            ),
        ),
    ),
)
FLEET: Final = Dashboard(
    name="fleet",
    title="ModelService: all models",
    variables={"namespace": "label_values(modelservice_condition, namespace)"},
    rows=(
        (
            *(
                Panel(
                    kind,
                    {kind: f'sum(max by (namespace, name) (modelservice_condition{{{_OF_ALL}, type="{kind}"}}))'},
                    kind="stat",
                )
                for kind in ("Ready", "Available", "Stalled")
            ),
        ),
        (
            Panel(
                "Not ready, and why",
                {"{{namespace}}/{{name}}: {{reason}}": _UNREADY},
            ),
            Panel(
                "Requests a second",
                {"{{namespace}}/{{model}}": _rate("modelservice_requests_total", _OF_ALL, "namespace, model")},
                "reqps",
            ),
        ),
        (
            Panel(
                "Mean time of a request",
                {
                    "{{namespace}}/{{model}}": _mean(
                        "modelservice_request_duration_seconds", _OF_ALL, "namespace, model"
                    )
                },
                "s",
            ),
            Panel(
                "Largest drift of an input (PSI)",
                {"{{namespace}}/{{model}}": f"max by (namespace, model) (modelservice_feature_drift_psi{{{_OF_ALL}}})"},
            ),
        ),
    ),
)
MODEL: Final = Dashboard(
    name="model",
    title="ModelService: one model",
    variables={
        "namespace": "label_values(modelservice_model_info, namespace)",
        "model": 'label_values(modelservice_model_info{namespace="$namespace"}, model)',
    },
    rows=(
        (
            Panel(
                "Requests a second by code",
                {"{{code}}": _rate("modelservice_requests_total", _OF_ONE, "code")},
                "reqps",
            ),
            Panel(
                "Seconds of a request",
                {f"p{round(100 * share)}": _latency(share, _OF_ONE, "namespace") for share in (0.5, 0.99)},
                "s",
            ),
        ),
        (
            Panel("Rows of a batch", {"mean": _mean("modelservice_batch_rows", _OF_ONE, "namespace")}),
            Panel("Rows that wait", {"{{pod}}": f"sum by (pod) (modelservice_queued_rows{{{_OF_ONE}}})"}),
        ),
        (
            Panel(
                "Answers by label", {"{{label}}": _rate("modelservice_predictions_total", _OF_ONE, "label")}, "reqps"
            ),
            Panel(
                "Drift of inputs (PSI)",
                {"{{column}}": f"max by (column) (modelservice_feature_drift_psi{{{_OF_ONE}}})"},
            ),
            Panel(
                "Drift of answers (PSI)",
                {"{{output}}": f"max by (output) (modelservice_prediction_drift_psi{{{_OF_ONE}}})"},
            ),
        ),
        (
            Panel(
                "Which artifact answers", {"{{digest}}": f"count by (digest) (modelservice_model_info{{{_OF_ONE}}})"}
            ),
            Panel("Memory", {"{{pod}}": f"sum by (pod) (process_resident_memory_bytes{{{_OF_ONE}}})"}, "bytes"),
            Panel("CPU", {"{{pod}}": _rate("process_cpu_seconds_total", _OF_ONE, "pod")}, "percentunit"),
        ),
    ),
)
DASHBOARDS: Final = (OPERATOR, FLEET, MODEL)


def queries(dashboard: Dashboard) -> list[str]:
    """All PromQL of a dashboard."""
    return [query for row in dashboard.rows for panel in row for query in panel.queries.values()]


def dashboard_json(dashboard: Dashboard) -> str:
    """As Grafana imports it."""
    document = {
        "uid": f"modelservice-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["modelservice"],
        "schemaVersion": _SCHEMA,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource(), *(_variable(*one) for one in dashboard.variables.items())]},
        "panels": [_panel(*one) for one in enumerate(_placed(dashboard.rows), start=1)],
    }
    return json.dumps(document, indent=1) + "\n"


def _placed(rows: Sequence[Sequence[Panel]]) -> list[tuple[Panel, dict[str, int]]]:
    """Panels with their places: those of a row share its width."""
    found = []
    for down, row in enumerate(rows):
        width = _COLUMNS // len(row)
        found += [
            (panel, {"h": _HEIGHT, "w": width, "x": across * width, "y": down * _HEIGHT})
            for across, panel in enumerate(row)
        ]
    return found


def _panel(number: int, placed: tuple[Panel, dict[str, int]]) -> dict[str, Any]:
    panel, place = placed
    targets = [
        {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
        for at, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _variable(name: str, query: str) -> dict[str, Any]:
    every = (
        {"multi": True, "includeAll": True, "current": {"text": "All", "value": "$__all"}} if "$" not in query else {}
    )
    return {"name": name, "type": "query", "datasource": _SOURCE, "query": query, "refresh": 2, "sort": 1, **every}
