"""A number: squared error on the standardised target, scaled back in the graph to the target's own unit."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import is_number_text, quoted
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.failure import DataError
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.signature import Output
from modelservice.tasks.base import Array, Drop, Head, Loss, Scores, Target, TargetCells, TargetProfile, Weights
from modelservice.tasks.labels import FIELD, missing_codes
from modelservice.tasks.number_metrics import r2_drop_interval, r2_interval, r2_score

VALUE = "value"
MAX_NUMBER = 1e30
"""Models answer in float32, whose largest number is 3e38: some room is left for their own arithmetic."""
_FEWEST_STEPS = 16
"""Steps of float32 in a standard deviation of the target; with fewer, rounding alone would be seen in R2."""


class Regression:
    """A number; models give float32 [rows, 1] in the target's own unit."""

    name = "Regression"
    choice = "regression"
    loss = Loss.SQUARED_ERROR
    head = Head.SCALE
    primary_metric: str = KnownMetric.R2

    def suits(self, profile: TargetProfile, *, asked: bool) -> str | None:  # noqa: ARG002 - the seam's signature
        """Whatever stands after the classes: numbers, or what should be."""
        return f"{profile.name} holds numbers"

    def read(self, cells: TargetCells) -> Target:
        """The target as float64.

        Raises:
            DataError: a value is no number, or too large; all are missing or equal; or they differ by less than
                float32 can tell.
        """
        notes = _notes(cells)
        cells = cells.as_numbers()
        missing = missing_codes(cells)
        numbers = np.array(
            [*(np.nan if code in missing else _number(cells, code) for code in range(len(cells.texts))), np.nan]
        )
        values = numbers[cells.codes]
        present = ~np.isnan(values)
        _check_spread(cells, values[present])
        strata = np.zeros(len(values), dtype=np.int64)
        return Target(name=cells.name, values=values, present=present, strata=strata, notes=notes)

    def of_outputs(self, outputs: tuple[Output, ...]) -> "Regression":  # noqa: ARG002 - the seam's signature
        """Itself."""
        return self

    def logits(self, labels: tuple[str, ...]) -> int:  # noqa: ARG002 - the seam's signature
        """One."""
        return 1

    def outputs(self, labels: tuple[str, ...]) -> tuple[Output, ...]:  # noqa: ARG002 - the seam's signature
        """The number."""
        return (Output(name=VALUE, datatype="FP32"),)

    def score(
        self,
        raw: Array,
        values: NDArray[Any],
        labels: tuple[str, ...],  # noqa: ARG002 - the seam's signature
        weights: Weights | None = None,
    ) -> Scores:
        """R2 (primary, with a bootstrap interval), root mean squared and mean absolute error.

        Args:
            raw: float32 [rows, 1].
            values: float64 [rows]; at least one row.
            labels: none.
            weights: how much each row counts.
        """
        errors = _errors(raw, values)
        bounds = r2_interval(errors, values, weights)
        low, high = bounds if bounds is not None else (None, None)
        metrics = (
            Metric(name="r2", value=r2_score(errors, values, weights), low=low, high=high),
            *(Metric(name=name, value=measure(errors, weights)) for name, measure in _FURTHER.items()),
        )
        return Scores(evaluation=Evaluation(primary="r2", rows=len(values), metrics=metrics))

    def primary(self, raw: Array, values: NDArray[Any], weights: Weights | None = None) -> float:
        """R2."""
        return r2_score(_errors(raw, values), values, weights)

    def measure(
        self, metric: KnownMetric, raw: Array, values: NDArray[Any], weights: Weights | None = None
    ) -> float | None:
        """See ``Task``."""
        if metric is KnownMetric.R2:
            return self.primary(raw, values, weights)
        measure = _FURTHER.get(metric)
        return None if measure is None else measure(_errors(raw, values), weights)

    def drop(self, before: Array, after: Array, values: NDArray[Any], weights: Weights | None = None) -> Drop:
        """The fall of R2, with a bootstrap interval; 1 to both sides where few rows, or equal values, tell none."""
        errors = _errors(before, values), _errors(after, values)
        value = r2_score(errors[0], values, weights) - r2_score(errors[1], values, weights)
        return Drop(value, *(r2_drop_interval(*errors, values, weights) or (value - 1, value + 1)))

    def decide(self, raw: Array) -> NDArray[np.int64]:
        """The only one."""
        return np.zeros(len(raw), dtype=np.int64)

    def named(self, raw: Array, labels: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG002 - the seam's signature
        """``value``: float32 [rows]."""
        return {VALUE: raw[:, 0]}


REGRESSION = Regression()


def _root_mean_squared(errors: NDArray[np.float64], weights: Weights | None) -> float:
    return float(np.sqrt(np.average(np.square(errors), weights=weights)))


def _mean_absolute(errors: NDArray[np.float64], weights: Weights | None) -> float:
    return float(np.average(np.abs(errors), weights=weights))


_FURTHER: Final = {KnownMetric.RMSE: _root_mean_squared, KnownMetric.MAE: _mean_absolute}
"""All metrics but the primary one."""


def _notes(cells: TargetCells) -> tuple[str, ...]:
    pairs = zip(cells.texts, cells.numbers or cells.texts, strict=True)
    read = next(((text, number) for text, number in pairs if text != number), None)
    return () if read is None else (f"{cells.noun} {cells.name}: {read[0]} is read as the number {read[1]}",)


def _errors(raw: Array, values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(raw[:, 0].astype(np.float64) - values)


def _number(cells: TargetCells, code: int) -> float:
    text = cells.texts[code]
    if not is_number_text(text):
        remedy = "correct the cell, or leave it empty if the value is not known, or set spec.task to classification"
        raise DataError("NotANumber", f"{_place(cells, code)}: {quoted(text)} is not a number: {remedy}", field=FIELD)
    number = float(text)
    if not abs(number) <= MAX_NUMBER:
        message = f"{_place(cells, code)}: {text} is too large to predict, at most {MAX_NUMBER:g} is possible"
        raise DataError("NotANumber", f"{message}: correct the cell, or use a larger unit", field=FIELD)
    return number


def _place(cells: TargetCells, code: int) -> str:
    return f"{cells.place(int(np.argmax(cells.codes == code)))}, {cells.noun} {cells.name}"


def _check_spread(cells: TargetCells, values: NDArray[np.float64]) -> None:
    what = f"{cells.noun} {cells.name}"
    if values.size == 0:
        raise DataError("EmptyTarget", f"{what} is empty in every row: fill in the numbers", field=FIELD)
    if values.min() == values.max():
        raise DataError(
            "SingleValue",
            f"{what} holds only the number {values[0]:g}, so there is nothing to learn: add rows with other numbers",
            field=FIELD,
        )
    step = float(np.spacing(np.float32(np.abs(values).max())))
    if values.std() < _FEWEST_STEPS * step:
        raise DataError(
            "NarrowTarget",
            f"{what} varies by {values.std():.3g} around {values.mean():.9g}, which float32 cannot tell apart: subtract"
            " a constant from it",
            field=FIELD,
        )
