"""``top``: what pods have answered since they began, and how their inputs drift, from their own metrics; pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

HEADER: Final = ("NAME", "PODS", "REQUESTS", "ERRORS", "MEAN MS", "ROWS", "DRIFT (PSI)", "MOST DRIFTED")
_REQUESTS: Final = "modelservice_requests_total"
_SECONDS: Final = "modelservice_request_duration_seconds_sum"
_ROWS: Final = "modelservice_batch_rows_sum"
_DRIFT: Final = "modelservice_feature_drift_psi"
_FIRST_ERROR: Final = 500
_GOOD_CALLS: Final = frozenset({"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED"})
"""Codes of gRPC that are no fault of the server's."""


class Usage(NamedTuple):
    """Of all pods of a model: requests for inferences, those that failed by the server, their seconds, rows, drift."""

    pods: int
    requests: float
    errors: float
    seconds: float
    rows: float
    drift: tuple[float, str] | None

    def row(self, name: str) -> tuple[str, ...]:
        """A line of the table, see ``HEADER``."""
        mean = f"{1e3 * self.seconds / self.requests:.2f}" if self.requests else ""
        drift = ("", "") if self.drift is None else (f"{self.drift[0]:.2f}", self.drift[1])
        counts = (f"{count:.0f}" for count in (self.pods, self.requests, self.errors))
        return (name, *counts, mean, f"{self.rows:.0f}", *drift)


def usage_of(scrapes: Iterable[str]) -> Usage:
    """The sum over pods, each by its metrics in the Prometheus text format; of drift the largest, with its column."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    requests = errors = seconds = rows = 0.0
    drift: tuple[float, str] | None = None
    pods = 0
    for text in scrapes:
        pods += 1
        found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        for name, labels, value, *_ in found:
            infers = _infers(labels.get("route", ""))
            if name == _REQUESTS and infers:
                requests += value
                errors += value * _is_error(labels["code"])
            elif name == _SECONDS and infers:
                seconds += value
            elif name == _ROWS:
                rows += value
            elif name == _DRIFT:
                drift = max(drift or (value, ""), (value, labels["column"]))
    return Usage(pods, requests, errors, seconds, rows, drift)


def _infers(route: str) -> bool:
    """Whether requests of a route ask for inferences: ``.../infer``, ``...:predict``, ``.../ModelInfer``."""
    last = route.rpartition("/")[2]
    return last in {"infer", "ModelInfer", "ModelStreamInfer", "Predict"} or ":" in last


def _is_error(code: str) -> bool:
    return int(code) >= _FIRST_ERROR if code.isdigit() else code not in _GOOD_CALLS
