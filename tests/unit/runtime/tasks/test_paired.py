"""What a second model loses of a metric of choice, with a paired interval."""

import numpy as np
import pytest

from modelservice.contract.metric_names import LOWER_IS_BETTER, KnownMetric
from modelservice.tasks import paired
from modelservice.tasks.base import Array
from modelservice.tasks.binary import BINARY
from modelservice.tasks.multiclass import MULTICLASS
from modelservice.tasks.paired import metric_drop
from modelservice.tasks.regression import REGRESSION


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "_MOST", 200)


NUMBERS = frozenset({KnownMetric.R2, KnownMetric.RMSE, KnownMetric.MAE})
RANDOM = np.random.default_rng(5)
TRUE = np.arange(120) % 2


def guesses(rightly: float) -> Array:
    """Probabilities of two classes, the nearer to what is true the larger the number."""
    logits = RANDOM.normal(size=len(TRUE)) + rightly * (2 * TRUE - 1)
    positive = 1 / (1 + np.exp(-logits))
    return np.column_stack([1 - positive, positive]).astype(np.float32)


GOOD, BAD = guesses(2), guesses(0.5)


@pytest.mark.parametrize(
    "metric", [KnownMetric.BALANCED_ACCURACY, KnownMetric.F1_POSITIVE, KnownMetric.ROC_AUC, KnownMetric.LOG_LOSS]
)
def test_worse_is_a_loss_by_any_metric_and_better_a_gain(metric: KnownMetric) -> None:
    loss, gain = (metric_drop(BINARY, metric, *models, TRUE) for models in ((GOOD, BAD), (BAD, GOOD)))
    assert loss is not None
    assert gain is not None
    assert 0 < loss.low < loss.value < loss.high
    assert gain.high < 0
    assert gain.value == -loss.value
    scores = [BINARY.score(raw, TRUE, ("-", "+")).evaluation.metric(metric) for raw in (GOOD, BAD)]
    first, second = (one.value for one in scores if one is not None)
    assert abs(first - second) == pytest.approx(loss.value)
    assert metric_drop(BINARY, metric, GOOD, BAD, TRUE) == loss, "equal models have equal intervals"


@pytest.mark.parametrize("metric", sorted(NUMBERS))
def test_numbers_are_compared_likewise(metric: KnownMetric) -> None:
    true = RANDOM.normal(size=80)
    near, far = ((true + scale * RANDOM.normal(size=80)).astype(np.float32)[:, None] for scale in (0.1, 0.5))
    loss = metric_drop(REGRESSION, metric, near, far, true)
    assert loss is not None
    assert 0 < loss.low < loss.value < loss.high
    assert (metric in LOWER_IS_BETTER) == (metric is not KnownMetric.R2)


def test_models_that_decide_alike_may_lose_what_so_few_rows_do_not_show() -> None:
    true = np.arange(60) % 3
    raw = np.eye(3, dtype=np.float32)[true]
    drop = metric_drop(MULTICLASS, KnownMetric.RECALL, raw, raw, true)
    assert drop is not None
    assert drop.value == 0
    assert -drop.low == pytest.approx(drop.high, abs=0.02)
    # Twenty rows of each class, and the mean of three classes: narrower than the 0.15 of one class.
    assert 0.03 < drop.high < 0.15
    more = metric_drop(MULTICLASS, KnownMetric.RECALL, np.tile(raw, (10, 1)), np.tile(raw, (10, 1)), np.tile(true, 10))
    assert more is not None
    assert more.high < drop.high / 5


def test_weights_are_rows() -> None:
    heavy = np.where(np.arange(len(TRUE)) < 60, 3.0, 1.0)
    repeated = np.repeat(np.arange(len(TRUE)), heavy.astype(int))
    for metric in (KnownMetric.F1, KnownMetric.LOG_LOSS):
        weighted = metric_drop(BINARY, metric, GOOD, BAD, TRUE, weights=heavy)
        plain = metric_drop(BINARY, metric, GOOD[repeated], BAD[repeated], TRUE[repeated])
        assert weighted is not None
        assert plain is not None
        assert weighted.value == pytest.approx(plain.value)
        # So many copies of a row tell no more than it does.
        assert weighted.high - weighted.low > plain.high - plain.low


def test_the_primary_metric_has_the_interval_of_its_own() -> None:
    own = BINARY.drop(GOOD, BAD, TRUE)
    assert (
        metric_drop(BINARY, None, GOOD, BAD, TRUE) == metric_drop(BINARY, KnownMetric.ACCURACY, GOOD, BAD, TRUE) == own
    )


def test_what_rows_do_not_tell_has_no_loss() -> None:
    one_class, three = np.zeros(5, np.int64), np.eye(3, dtype=np.float32)
    assert metric_drop(BINARY, KnownMetric.ROC_AUC, GOOD[:5], BAD[:5], one_class) is None
    assert metric_drop(BINARY, KnownMetric.RMSE, GOOD, BAD, TRUE) is None
    assert metric_drop(MULTICLASS, KnownMetric.F1_POSITIVE, three, three, np.arange(3)) is None


def test_so_few_rows_tell_what_was_decided_and_nothing_that_is_resampled() -> None:
    good, bad, true = GOOD[:4], BAD[:4], TRUE[:4]
    assert metric_drop(BINARY, KnownMetric.LOG_LOSS, good, bad, true) is None
    for metric in (KnownMetric.ACCURACY, KnownMetric.F1_POSITIVE):
        drop = metric_drop(BINARY, metric, good, bad, true)
        assert drop is not None
        assert drop.high > 0.4
