"""How good a model is: named metrics on the test rows, of which one is the primary one."""

from typing import Annotated, Self

from pydantic import Field, FiniteFloat, StringConstraints, model_validator

from modelservice.contract.base import Tolerant

MetricName = Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z][A-Za-z0-9]*$")]


class Metric(Tolerant):
    """One number, with the bounds of its 95 % interval where one was computed."""

    name: MetricName = Field(description="Name of the metric, such as accuracy, f1 or rmse.")
    value: FiniteFloat = Field(description="Its value on the test rows.")
    low: FiniteFloat | None = Field(default=None, description="Lower end of its 95 % interval.")
    high: FiniteFloat | None = Field(default=None, description="Upper end of its 95 % interval.")


class Evaluation(Tolerant):
    """Metrics over ``rows`` test rows; gates and budgets go by the primary one."""

    primary: MetricName = Field(description="The metric that decides.")
    rows: int = Field(ge=0, description="Number of test rows.")
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=32)] = Field(
        description="All metrics on the test rows.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )

    @model_validator(mode="after")
    def _has_primary(self) -> Self:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) != len(names):
            raise ValueError("metric names must differ")
        if self.primary not in names:
            raise ValueError(f"the primary metric {self.primary} is not among {', '.join(names)}")
        return self

    def metric(self, name: str) -> Metric | None:
        """A metric by name."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    @property
    def primary_metric(self) -> Metric:
        """The metric that decides."""
        found = self.metric(self.primary)
        assert found is not None  # noqa: S101 - validated
        return found
