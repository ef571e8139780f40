"""What is left out of a report that is longer than a termination message may be, and in which order."""

import pytest

from modelservice.contract.comparison import MAX_WORDS, ComparedMetric, Comparison
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.manifest import DataSummary
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.places import TERMINATION_MESSAGE_LIMIT
from modelservice.contract.report import BlendedModel, Compared, Report, Success
from modelservice.contract.signature import ColumnKind, InputColumn, Output, Signature

NAMES = ("right", "accuracy", "balancedAccuracy", "f1", "f1Weighted", "rocAuc", "logLoss", "brier")


def success(*, columns: int, notes: int = 0) -> Success:
    inputs = tuple(InputColumn(name=f"measure {n:04}", type=ColumnKind.NUMBER, example=0.5) for n in range(columns))
    outputs = (Output(name="label", datatype="BYTES"),)
    metrics = tuple(Metric(name=name, value=2 / 3) for name in NAMES)
    return Success(
        stage="train",
        key="abc",
        digest=f"sha256:{'0' * 64}",
        family="mlp",
        task="Binary",
        evaluation=Evaluation(primary="right", rows=100, metrics=metrics),
        data=DataSummary(sha256=f"sha256:{'1' * 64}", rows=1, features=1, notes=("n" * 60,) * notes),
        artifact_bytes=1,
        signature=Signature(modality="Table", task="Binary", inputs=inputs, outputs=outputs),
    )


def told(result: Success) -> Success:
    """What arrives."""
    message = Report(result=result).to_message()
    assert len(message.encode()) <= TERMINATION_MESSAGE_LIMIT
    arrived = Report.model_validate_json(message).result
    assert isinstance(arrived, Success)
    return arrived


def names(result: Success) -> tuple[str, ...]:
    assert result.evaluation is not None
    return tuple(metric.name for metric in result.evaluation.metrics)


def test_what_fits_is_told_as_it_is() -> None:
    assert told(success(columns=10)) == success(columns=10)


def test_metrics_are_rounded_and_then_the_signature_is_left_out() -> None:
    none = next(columns for columns in range(10, 100) if told(success(columns=columns)).signature is None)
    rounded = told(success(columns=none - 1))
    assert rounded.evaluation is not None
    assert rounded.evaluation.primary_metric.value == 0.666667
    assert rounded.signature == success(columns=none - 1).signature


@pytest.mark.parametrize("columns", range(20, 60, 5))
@pytest.mark.parametrize("notes", [0, 40])
def test_no_metric_is_ever_left_out(columns: int, notes: int) -> None:
    """A promotion may ask for any of them."""
    assert names(told(success(columns=columns, notes=notes))) == NAMES


def test_as_many_metrics_as_there_may_be_fit() -> None:
    """Beside all else that is never left out."""
    metrics = tuple(Metric(name=f"{'n' * 30}{at}", value=-2e300 / 3, low=-1e300 / 3, high=-1 / 3) for at in range(32))
    evaluation = Evaluation(primary=metrics[0].name, rows=10**9, metrics=metrics)
    arrived = told(success(columns=100, notes=50).model_copy(update={"evaluation": evaluation}))
    assert names(arrived) == names(success(columns=1).model_copy(update={"evaluation": evaluation}))


@pytest.mark.parametrize("notes", [45, 70])
def test_the_notes_are_left_out_last(notes: int) -> None:
    arrived = told(success(columns=1, notes=notes))
    assert arrived.data is not None
    assert (arrived.data.notes == ()) == (notes == 70)
    assert arrived.digest == success(columns=1).digest
    assert names(arrived) == NAMES


def test_the_models_of_a_blend_are_told_where_there_is_room_and_left_out_before_the_signature() -> None:
    model = BlendedModel(name="network", weight=0.5, metrics=(Metric(name="logLoss", value=0.1),), seconds=3.5)
    assert told(success(columns=10).model_copy(update={"models": (model,) * 5})).models == (model,) * 5
    arrived = told(success(columns=10).model_copy(update={"models": (model,) * 50}))
    assert arrived.models is None
    assert arrived.signature is not None
    assert names(arrived) == NAMES


def test_the_largest_comparison_fits_as_it_is() -> None:
    number = -1.2345678901234567e-05
    values = dict.fromkeys(("candidate", "current", "worse", "low", "high"), number)
    metrics = tuple(ComparedMetric(name=name, **values) for name in list(KnownMetric)[:16])
    result = Compared(stage="compare", key="abcdefgh", comparison=Comparison(rows=10**9, metrics=metrics))
    message = Report(result=result).to_message()
    assert len(message.encode()) <= TERMINATION_MESSAGE_LIMIT
    assert Report.model_validate_json(message).result == result
    wordy = result.model_copy(update={"comparison": Comparison(incomparable="\u00e9" * MAX_WORDS)})
    assert len(Report(result=wordy).to_message().encode()) <= TERMINATION_MESSAGE_LIMIT
