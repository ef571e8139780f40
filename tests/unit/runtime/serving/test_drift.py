"""Drift: what is measured of a sample against the baseline, what is counted, and what is left out."""

import asyncio
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.serving.fakes import (
    LABELS,
    FakeModel,
    client_of,
    front_of,
    image_model,
    mixed_model,
    numeric_model,
    refined_model,
)

from modelservice.contract.baseline import Baseline, NumberHistogram, TextHistogram
from modelservice.serving.drift.divergence import largest_difference, stability_index
from modelservice.serving.drift.monitor import FEWEST_ROWS, MOST_PENDING, Monitor, keep_measuring
from modelservice.serving.drift.sample import MOST_BATCHES, MOST_CHARACTERS, MOST_ROWS, Sample
from modelservice.serving.drift.spread import NumberSpread, TextSpread
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.model import Computation, computed

EDGES = (-1.5, -0.5, 0.5, 1.5)


def counts(*values: float) -> Any:
    return np.array(values, dtype=np.float64)


def test_equal_shares_are_no_drift_and_the_index_is_symmetric() -> None:
    assert stability_index(counts(10, 20, 30), counts(100, 200, 300)) == pytest.approx(0, abs=1e-3)
    one, other = counts(50, 30, 20), counts(20, 30, 50)
    assert stability_index(one, other) == pytest.approx(stability_index(other, one))
    # By hand, on shares that half a value more in each bin hardly moves: 0.6 * ln(4) + 0 + ...
    assert stability_index(1e6 * counts(0.8, 0.2), 1e6 * counts(0.2, 0.8)) == pytest.approx(1.2 * np.log(4), rel=1e-4)
    assert np.isfinite(stability_index(counts(10, 0), counts(0, 10)))


def test_the_largest_difference_is_that_of_the_shares_up_to_an_edge() -> None:
    assert largest_difference(counts(1, 1, 1, 1), counts(2, 2, 2, 2)) == 0
    assert largest_difference(counts(1, 1, 1, 1), counts(0, 0, 0, 7)) == 0.75
    assert largest_difference(counts(1, 1), counts(0, 0)) == 0


def test_numbers_lie_in_the_bins_in_which_training_counted_them() -> None:
    """Bin i holds edges[i - 1] < x <= edges[i]; missing ones are apart, and no part of the distribution."""
    histogram = NumberHistogram(name="x", edges=(1.0, 2.0), counts=(40, 20, 60), missing=40)
    spread = NumberSpread(histogram)
    spread.add([1.0, 0.0, 2.0, 3.0, 9.0, 2.5, None, float("nan")])
    assert spread.take().measures == {"psi": pytest.approx(0, abs=0.01), "ks": 0}
    spread.add([9.0] * 8)
    moved = spread.take().measures
    assert moved["ks"] == 0.5
    assert moved["psi"] > 1


TENTHS = np.arange(1, 26) / 10
SECONDS = 1_712_345_678.0 + np.arange(25)
"""Times, of which float32 has steps of 128 s."""


@pytest.mark.parametrize(("trained", "sent"), [(TENTHS, TENTHS), (TENTHS, TENTHS.astype("f4")), (SECONDS, SECONDS)])
def test_numbers_lie_in_their_bins_also_where_float32_has_rounded_them(trained: Any, sent: Any) -> None:
    """Edges are values of training, and the float32 of such a value lies beside it, on either side."""
    spread = NumberSpread(NumberHistogram(name="x", edges=tuple(trained[[3, 7, 12, 17]]), counts=(4, 4, 5, 5, 7)))
    for given in (sent, sent.tolist()):
        spread.add(given)
        assert spread.take().found.tolist() == [4, 4, 5, 5, 7, 0]


def test_bins_of_few_training_values_are_taken_together() -> None:
    histogram = NumberHistogram(name="x", edges=(1.0, 2.0, 3.0, 4.0), counts=(5, 15, 19, 2, 18))
    spread = NumberSpread(histogram)
    spread.add([0.5] * 20 + [2.5] * 39)  # up to 2, and beyond it
    assert spread.take().measures["psi"] == pytest.approx(0, abs=1e-6)
    texts = TextSpread(TextHistogram(name="x", texts=("a", "b", "c"), counts=(30, 19, 5)), list)
    texts.add(["a"] * 30 + ["new"] * 24)
    assert texts.take().measures["psi"] == pytest.approx(0, abs=1e-6)


def test_counting_begins_anew() -> None:
    spread = NumberSpread(NumberHistogram(name="x", edges=(1.0,), counts=(20, 20)))
    spread.add([9.0] * 8)
    spread.take()
    assert spread.take().measures["ks"] == 0  # counting began anew


def test_texts_that_mean_the_same_are_the_same() -> None:
    histogram = TextHistogram(name="x", texts=("yes", "no", "YES"), counts=(40, 60, 20), other=20, missing=20)
    spread = TextSpread(histogram, lambda texts: [None if text is None else str(text).lower() for text in texts])
    spread.add(["yes", "yes", "yes", "no", "no", "no", "perhaps", None])
    assert spread.take().measures["psi"] == pytest.approx(0, abs=0.05)


def test_a_sample_has_an_end_and_is_spread_over_all_batches() -> None:
    sample, batches = Sample(columns=2), 20 * MOST_BATCHES
    for number in range(batches):
        sample.add([[number, 0]] * (MOST_ROWS + 5), np.full((MOST_ROWS + 5, 1), number))
    held = sample.take()
    numbers = [int(one.raw[0, 0]) for one in held]
    assert MOST_BATCHES // 2 <= len(held) <= MOST_BATCHES
    assert all(len(one.rows) == len(one.raw) == MOST_ROWS for one in held)
    assert numbers == sorted(numbers)
    assert max(np.diff(numbers)) <= 64
    assert numbers[-1] >= batches - 64
    assert sample.take() == []


def test_a_sample_of_a_wide_table_has_fewer_rows_and_holds_no_batch() -> None:
    sample, raw = Sample(columns=1000), np.zeros((64, 3), np.float32)
    sample.add(np.zeros((64, 1000)), raw)
    (held,) = sample.take()
    assert len(held.rows) == len(held.raw) == 1
    assert isinstance(held.rows, np.ndarray)
    assert held.rows.base is None
    assert held.raw.base is None


@pytest.mark.parametrize("row", [lambda text: [1.0, text, None], lambda text: {"age": 1.0, "remark": text}])
def test_a_sample_of_long_texts_has_fewer_rows_and_cuts_what_one_row_alone_has_too_much(row: Any) -> None:
    sample, raw = Sample(columns=3), np.zeros((MOST_ROWS, 3), np.float32)
    sample.add([row("x" * (MOST_CHARACTERS // 4))] * MOST_ROWS, raw)
    sample.add([row("x" * (10 * MOST_CHARACTERS))] * MOST_ROWS, raw)
    short, long = sample.take()
    assert short.rows == [row("x" * (MOST_CHARACTERS // 4))] * 4
    assert long.rows == [row("x" * (MOST_CHARACTERS - 1) + "…")]
    assert [len(short.raw), len(long.raw)] == [4, 1]


@pytest.mark.parametrize("model", [image_model(), numeric_model()])
def test_rows_are_kept_only_where_a_column_is_watched(model: FakeModel) -> None:
    outputs = (TextHistogram(name="label", texts=LABELS, counts=(500, 0, 500)),)
    model.baseline = Baseline(feature_rows=1000, features=(), output_rows=1000, outputs=outputs)
    monitor = Monitor(model)
    monitor.record(np.zeros((8, 2)), np.zeros((8, 3), np.float32))
    (held,) = monitor._sample.take()
    assert len(held.rows) == 0
    assert not isinstance(held.rows, np.ndarray)  # which would hold the request's
    assert len(held.raw) == 8


def normal_baseline(model: FakeModel, *, labels: tuple[int, ...] = (500, 0, 500)) -> Baseline:
    """Columns with a standard normal distribution, in five bins, and labels as often."""
    shares = (67, 242, 382, 242, 67)
    return Baseline(
        feature_rows=1000,
        features=tuple(
            NumberHistogram(name=given.name, edges=EDGES, counts=shares) for given in model.signature.inputs
        ),
        output_rows=1000,
        outputs=(
            TextHistogram(name="label", texts=LABELS, counts=labels),
            NumberHistogram(name=f"probabilities: {LABELS[0]}", edges=(0.1, 0.9), counts=(500, 0, 500)),
        ),
    )


def watched(model: FakeModel, rows: Any) -> Monitor:
    monitor = Monitor(model)
    computation = Computation(model, answered=monitor.record)
    for row in range(0, len(rows), 8):
        computed(computation, rows[row : row + 8])
    return monitor


def gauges(monitor: Monitor) -> dict[str, float]:
    return {
        "/".join((sample.name.removeprefix("modelservice_"), *sample.labels.values())): sample.value
        for metric in monitor.collect()
        for sample in metric.samples
    }


def test_a_shift_of_one_column_shows_there_and_in_the_answers() -> None:
    random = np.random.default_rng(0)
    model = numeric_model()
    model.baseline = normal_baseline(model)
    rows = 1.0 * random.normal(size=(800, 2))
    monitor = watched(model, rows.tolist())
    assert gauges(monitor)["drift_rows"] == 0
    monitor.update()
    before = gauges(monitor)
    assert before["drift_rows"] == 800
    assert before["feature_drift_psi/sepal_length"] < 0.05
    assert before["feature_drift_ks/sepal_length"] < 0.1
    assert before["prediction_drift_psi/label"] < 0.1
    computation = Computation(model, answered=monitor.record)
    for row in range(0, 800, 8):
        computed(computation, np.add(rows[row : row + 8], [3, 0]).tolist())
    monitor.update()
    after = gauges(monitor)
    assert after["feature_drift_psi/sepal_length"] > 1
    assert after["feature_drift_ks/sepal_length"] > 0.5
    assert after["feature_drift_psi/petal_length"] == pytest.approx(before["feature_drift_psi/petal_length"])
    assert after["prediction_drift_psi/label"] > 0.5
    assert after[f"prediction_drift_psi/probabilities: {LABELS[0]}"] > 0.5


def test_a_batch_that_cannot_be_measured_takes_none_of_the_others_with_it() -> None:
    """Its first row has a number of 40,000 digits, of which a sample keeps less."""
    model = numeric_model()
    model.baseline = normal_baseline(model)
    computation = Computation(model, answered=(monitor := Monitor(model)).record)
    computed(computation, [["0." + "0" * 40_000 + "1", 0.0]])
    for _ in range(FEWEST_ROWS // 8 + 1):
        computed(computation, [[0.0, 0.0]] * 8)
    monitor.update()
    assert gauges(monitor)["drift_rows"] == 8 * (FEWEST_ROWS // 8 + 1)


def test_a_window_with_few_rows_shows_nothing_and_goes_on() -> None:
    model = numeric_model()
    model.baseline = normal_baseline(model)
    rows = [[0.0, 0.0]] * (FEWEST_ROWS // 2)
    monitor = watched(model, rows)
    monitor.update()
    assert "feature_drift_psi/sepal_length" not in gauges(monitor)
    computed(Computation(model, answered=monitor.record), rows[:8])
    for _ in range(FEWEST_ROWS // 16):
        computed(Computation(model, answered=monitor.record), rows[:8])
    monitor.update()
    assert gauges(monitor)["drift_rows"] >= FEWEST_ROWS


def test_all_kinds_of_columns_are_measured_as_training_was() -> None:
    model = refined_model()
    model.baseline = Baseline(
        feature_rows=1000,
        features=(
            NumberHistogram(name="age", edges=(0.0,), counts=(0, 1000)),
            TextHistogram(name="smoker", texts=("yes",), counts=(1000,)),
            NumberHistogram(name="seen", unit="seconds since 1970", edges=(1.7e9,), counts=(0, 1000)),
            NumberHistogram(name="remark", unit="characters", edges=(4.0,), counts=(1000, 0)),
            NumberHistogram(name="unknown", edges=(), counts=(1000,)),
        ),
        output_rows=0,
        outputs=(),
    )
    row = {"age": "1", "smoker": True, "seen": "2024-02-01", "remark": "four"}
    monitor = watched(model, [row, ["2", "Y", "2024-02-02 10:00", "one"]] * FEWEST_ROWS)
    monitor.update()
    found = gauges(monitor)
    for name in ("age", "smoker", "seen", "remark"):
        assert found[f"feature_drift_psi/{name}"] < 0.1, name
    assert found["drift_rows"] >= FEWEST_ROWS


def test_categories_are_measured_by_name() -> None:
    model = mixed_model()
    histogram = TextHistogram(name="city (home)", texts=("Basel", "Köln"), counts=(500, 500))
    model.baseline = Baseline(feature_rows=1000, features=(histogram,), output_rows=0, outputs=())
    monitor = watched(model, [[1, "Basel"], [2, " Köln"]] * FEWEST_ROWS)
    monitor.update()
    assert gauges(monitor)["feature_drift_psi/city (home)"] < 0.1
    assert "feature_drift_ks/city (home)" not in gauges(monitor)


def test_answers_are_counted_by_label_however_many_wait() -> None:
    monitor = watched(image_model(), np.zeros((MOST_PENDING + 8, 4, 4, 1), np.uint8))
    found = gauges(monitor)
    assert found[f"predictions_total/{LABELS[0]}"] == MOST_PENDING + 8
    assert found[f"predictions_total/{LABELS[2]}"] == 0


async def test_rows_of_explanations_are_nobodys() -> None:
    async with client_of(front_of(numeric_model())) as client:
        await client.post("/v1/models/iris:predict", json={"instances": [[3, 3], [-3, -3]]})
        await client.post("/v1/models/iris:explain", json={"instances": [[300, 3]]})
        page = (await client.get("/metrics")).text
    assert f'modelservice_predictions_total{{label="{LABELS[2]}"}} 1.0' in page
    assert f'modelservice_predictions_total{{label="{LABELS[0]}"}} 1.0' in page
    assert 'modelservice_far_values_total{column="sepal_length"} 0.0' in page
    assert "modelservice_batch_rows_sum 6.0" in page


async def test_it_is_measured_in_a_thread_until_the_server_leaves() -> None:
    model = numeric_model()
    model.baseline = normal_baseline(model)
    monitor, lifecycle = watched(model, [[0.0, 0.0]] * 800), Lifecycle()
    measuring = asyncio.create_task(keep_measuring(lambda: [monitor], lifecycle, seconds=0.001))
    async with asyncio.timeout(60):
        while gauges(monitor)["drift_rows"] == 0:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
    lifecycle.leave()
    await measuring


async def test_a_sample_that_cannot_be_measured_is_logged_and_the_next_one_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monitor, lifecycle = Monitor(numeric_model()), Lifecycle()
    tries: list[int] = []

    def update() -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise ValueError("out of order")
        lifecycle.leaving = True

    monkeypatch.setattr(monitor, "update", update)
    await keep_measuring(lambda: [monitor], lifecycle, seconds=0)
    assert tries == [0, 1]
    assert "drift was not measured this time" in caplog.text
    assert "out of order" in caplog.text
