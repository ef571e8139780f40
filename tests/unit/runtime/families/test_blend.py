"""Blends: what each model says of rows that it did not learn decides how much it counts."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.families.datasets import build, difference, fit, load, primary, run_onnx, with_values

from modelservice.contract.failure import StageError
from modelservice.contract.progress import Progress
from modelservice.families.blend import fit_blend
from modelservice.families.candidates import CANDIDATES, Candidate, Judged, LearnedRows, fitted_by, folds_of
from modelservice.families.linear import fit_linear
from modelservice.families.onnx_graph import Graph
from modelservice.families.shares import shares_of_classes, shares_of_numbers

LINEAR = Candidate(name="linear", fewest=0, judge=fitted_by(fit_linear, None))


def rows_of(name: str) -> LearnedRows:
    side = load(name).train
    return LearnedRows(features=side.features, values=side.values, classes=len(load(name).labels), weights=None)


def failing(rows: LearnedRows, folds: Any, seed: int, observe: Any, checkpointing: Any) -> Judged:
    raise StageError("ModelTooLarge", "it is too large", field="spec.model")


def blend(candidates: Any, rows: LearnedRows, observed: list[Progress] | None = None) -> Any:
    ticks = iter(range(100))
    observe = (lambda _: None) if observed is None else observed.append
    return fit_blend(candidates, rows, seed=0, observe=observe, clock=lambda: float(next(ticks)))


@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 50))
def test_shares_are_none_below_zero_and_add_up_to_one(models: int, rows: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    said, values, weights = generator.uniform(size=(models, rows)), generator.normal(size=rows), np.ones(rows)
    for shares in (shares_of_classes(said, weights), shares_of_numbers(said, values, weights)):
        assert shares.shape == (models,)
        assert (shares >= 0).all()
        assert shares.sum() == pytest.approx(1)


def test_many_rows_choose_the_better_model_and_few_keep_equal_shares() -> None:
    generator = np.random.default_rng(0)
    for rows, least, most in ((2000, 0.9, 1.0), (3, 0.5, 0.65)):
        weights = np.ones(rows)
        good, bad = generator.uniform(0.7, 0.9, rows), generator.uniform(0.1, 0.9, rows)
        assert least < shares_of_classes(np.stack([good, bad]), weights)[0] < most
        values = generator.normal(size=rows)
        near, far = values + generator.normal(scale=0.1, size=rows), values + generator.normal(scale=1, size=rows)
        assert least < shares_of_numbers(np.stack([near, far]), values, weights)[0] < most


def test_the_unit_of_a_number_decides_no_share() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=50)
    said = values + generator.normal(size=(3, 50)) * np.array([[0.2], [0.5], [1]])
    plain = shares_of_numbers(said, values, np.ones(50))
    np.testing.assert_allclose(shares_of_numbers(said * 1e9, values * 1e9, np.ones(50)), plain, rtol=1e-4, atol=1e-6)


def test_heavy_rows_choose() -> None:
    said = np.repeat([[0.9, 0.1], [0.1, 0.9]], 500, axis=1)
    heavy = np.repeat([1.9, 0.1], 500)
    assert shares_of_classes(said, heavy)[0] > 0.85
    assert shares_of_numbers(said - 1, np.zeros(1000), heavy)[0] > 0.5


@given(st.lists(st.integers(0, 3), min_size=2, max_size=40))
def test_each_row_is_held_back_once_unless_its_class_has_no_other(codes: list[int]) -> None:
    _, values = np.unique(codes, return_inverse=True)
    rows = LearnedRows(
        features=np.zeros((len(values), 1), np.float32), values=values, classes=int(values.max()) + 1, weights=None
    )
    folds = folds_of(rows, seed=0)
    held = np.concatenate(folds) if folds else np.zeros(0, np.int64)
    counts = np.bincount(values)
    if (counts > 1).any():
        assert sorted(held.tolist()) == np.flatnonzero(counts[values] > 1).tolist()
    for places in folds:
        assert set(values[np.setdiff1d(np.arange(len(values)), places)]) == set(values)


def test_of_many_rows_one_fold_says_enough() -> None:
    rows = LearnedRows(features=np.zeros((6000, 1), np.float32), values=np.zeros(6000), classes=0, weights=None)
    assert [len(places) for places in folds_of(rows, seed=0)] == [1200]


@pytest.mark.parametrize("data", ["iris", "breast_cancer", "diabetes"])
def test_a_linear_model_answers_in_a_graph_as_it_does_alone(data: Any) -> None:
    dataset, rows = load(data), rows_of(data)
    model = fit_linear(None, rows.features, rows.values, classes=rows.classes, seed=0, observe=lambda _: None)
    graph = Graph()
    model.append_to(graph)
    content = graph.model(shape=dataset.shape, width=model.width)
    expected = model.predict(dataset.test.features)
    np.testing.assert_allclose(run_onnx(content, dataset.test.features), expected, rtol=1e-5, atol=1e-6)
    assert model.parameters == (rows.features.shape[1] + 1) * {3: 3, 2: 1, 0: 1}[rows.classes]


@pytest.mark.parametrize("data", ["iris", "diabetes"])
def test_a_blend_says_what_each_model_came_to(data: Any) -> None:
    observed: list[Progress] = []
    found = blend((LINEAR, *CANDIDATES[2:4]), rows_of(data), observed)
    assert [one.name for one in found.models] == ["linear", "kernelRidge", "randomForest"]
    assert sum(one.weight for one in found.models) == pytest.approx(1, abs=1e-3)
    assert all(one.seconds == 1 for one in found.models)
    names = ("accuracy", "logLoss") if data == "iris" else ("r2", "rmse")
    assert all(tuple(metric.name for metric in one.metrics) == names for one in found.models)
    (note,) = found.notes
    assert note.startswith("auto blends linear ")
    assert (observed[-1].done, observed[-1].total) == (300, 300)
    assert all(before.done < after.done for before, after in pairwise(observed))


def test_a_model_that_cannot_be_made_is_left_out_and_said() -> None:
    found = blend((Candidate(name="broken", fewest=0, judge=failing), LINEAR), rows_of("iris"))
    assert [one.name for one in found.models] == ["linear"]
    assert found.notes[1] == "auto left a model out: it is too large"
    with pytest.raises(StageError, match="it is too large"):
        blend((Candidate(name="broken", fewest=0, judge=failing),), rows_of("iris"))


def test_few_rows_try_fewer_models() -> None:
    values = np.arange(12) % 2
    few = LearnedRows(features=values[:, np.newaxis].astype(np.float32), values=values, classes=2, weights=None)
    found = blend((LINEAR, Candidate(name="later", fewest=13, judge=failing)), few)
    assert [one.name for one in found.models] == ["linear"]


@pytest.mark.parametrize(("data", "least"), [("iris", 0.9), ("diabetes", 0.35)])
def test_auto_is_one_model_of_several(data: Any, least: float) -> None:
    dataset = load(data)
    fitted = fit(dataset, {"auto": {}})
    assert primary(fitted, dataset) > least
    assert difference(fitted, dataset) < 1e-5
    assert fitted.models is not None
    assert [one.name for one in fitted.models] == ["network", "linear", "kernelRidge", "randomForest"]
    again = fit(dataset, {"auto": {}})
    assert (again.onnx, again.notes) == (fitted.onnx, fitted.notes)


def test_auto_learns_nothing_where_there_is_nothing_to_learn() -> None:
    dataset = load("wine")
    shuffled = with_values(dataset, np.random.default_rng(0).permutation)
    fitted = fit(shuffled, {"auto": {}})
    answers = fitted.predict(shuffled.test.features)
    truth = shuffled.test.values
    surprise = -np.log(answers[np.arange(len(truth)), truth]).mean()
    assert surprise < np.log(3) + 0.15


def test_classes_of_a_single_row_and_a_handful_of_rows_are_enough() -> None:
    features = np.random.default_rng(0).normal(size=(9, 2))
    side = (features, [0, 0, 0, 0, 1, 1, 1, 1, 2])
    dataset = build(side, (features[:2], [0, 1]), (features[:2], [0, 1]), labels=("a", "b", "c"))
    fitted = fit(dataset, {"auto": {}})
    assert difference(fitted, dataset) < 1e-5
