"""Blends: what each model says of rows that it did not learn decides how much it counts."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from tests.unit.runtime.families.datasets import build, difference, fit, load, primary, run_onnx, with_values

from modelservice.contract.failure import StageError
from modelservice.contract.model import Auto
from modelservice.contract.progress import Progress
from modelservice.families import candidates, ensemble
from modelservice.families.blend import fit_blend
from modelservice.families.candidates import CANDIDATES, Candidate, Judged, Judging, LearnedRows, fitted_by, folds_of
from modelservice.families.costs import Size
from modelservice.families.discriminant import fit_discriminant
from modelservice.families.linear import choose_strength, fit_linear
from modelservice.families.onnx_graph import Graph
from modelservice.families.shares import shares_by_selection, shares_of_classes, shares_of_numbers

LINEAR = Candidate(name="linear", judge=fitted_by(fit_linear, None), seconds=lambda _: 1.0)


def rows_of(name: str) -> LearnedRows:
    side = load(name).train
    return LearnedRows(features=side.features, values=side.values, classes=len(load(name).labels), weights=None)


@pytest.fixture
def few_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """And few epochs; all other models are those that small tables have."""
    monkeypatch.setattr(ensemble, "_MEMBERS", 5)
    monkeypatch.setattr(ensemble, "_EPOCHS", 30)


@pytest.fixture
def few(few_networks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks, epochs and trees: for what holds of a blend of any models."""
    monkeypatch.setattr(candidates, "_MANY_ROWS", 0)
    monkeypatch.setattr(candidates, "_FEW_TREES", 20)


def failing(rows: LearnedRows, how: Judging) -> Judged:
    raise StageError("ModelTooLarge", "it is too large", field="spec.model")


def blend(models: Any, rows: LearnedRows, observed: list[Progress] | None = None, **settings: Any) -> Any:
    """A blend by a clock that a second passes on whenever it is looked at."""
    ticks = iter(range(100))
    observe = (lambda _: None) if observed is None else observed.append
    return fit_blend(models, rows, Auto(**settings), seed=0, observe=observe, clock=lambda: float(next(ticks)))


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


@pytest.mark.parametrize("data", ["iris", "breast_cancer"])
def test_a_discriminant_answers_in_a_graph_as_it_does_alone_and_as_well_as_scikit_learns(data: Any) -> None:
    dataset, rows = load(data), rows_of(data)
    model = fit_discriminant(None, rows.features, rows.values, classes=rows.classes, seed=0, observe=lambda _: None)
    graph = Graph()
    model.append_to(graph)
    content = graph.model(shape=dataset.shape, width=model.width)
    answers = model.predict(dataset.test.features)
    np.testing.assert_allclose(run_onnx(content, dataset.test.features), answers, rtol=1e-5, atol=1e-6)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(rows.features, rows.values)
    agree = answers.argmax(axis=1) == theirs.predict(dataset.test.features)
    assert agree.mean() > 0.95


def test_rows_that_weigh_nothing_are_not_seen_by_a_discriminant() -> None:
    rows = rows_of("iris")
    weights = (np.arange(len(rows.values)) % 3 > 0).astype(np.float64)
    fitted = [
        fit_discriminant(None, features, values, classes=3, seed=0, observe=lambda _: None, weights=heavy)
        for features, values, heavy in (
            (rows.features, rows.values, weights),
            (np.where(weights[:, np.newaxis] > 0, rows.features, 99), rows.values, weights),
        )
    ]
    np.testing.assert_allclose(fitted[0].weights, fitted[1].weights, rtol=1e-6)


def test_a_feature_that_is_constant_in_each_class_decides() -> None:
    values = np.arange(20) % 2
    features = np.stack([values, np.random.default_rng(0).normal(size=20), np.ones(20)], axis=1).astype(np.float32)
    found = fit_discriminant(None, features, values, classes=2, seed=0, observe=lambda _: None)
    assert (found.predict(features).argmax(axis=1) == values).all()
    assert np.isfinite(found.weights).all()


def test_the_penalty_of_a_linear_model_is_chosen_by_what_is_held_back() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 20)).astype(np.float32)
    clear, noise = (features[:, 0] > 0).astype(np.int64), generator.integers(0, 2, 200)
    for values, least, most in ((clear, 10, 100), (noise, 0.01, 0.01)):
        rows = LearnedRows(features=features, values=values, classes=2, weights=None)
        strength = choose_strength(features, values, classes=2, folds=folds_of(rows, seed=0))
        assert least <= strength <= most


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("data", ["iris", "diabetes"])
def test_a_blend_says_what_each_model_came_to(data: Any) -> None:
    observed: list[Progress] = []
    chosen = [one for one in CANDIDATES if one.name in {"kernelRidge", "randomForest"}]
    found = blend((LINEAR, *chosen), rows_of(data), observed)
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
    found = blend((Candidate(name="broken", judge=failing, seconds=lambda _: 1.0), LINEAR), rows_of("iris"))
    assert [one.name for one in found.models] == ["linear"]
    assert found.notes[1] == "auto left a model out: it is too large"
    with pytest.raises(StageError, match="it is too large"):
        blend((Candidate(name="broken", judge=failing, seconds=lambda _: 1.0),), rows_of("iris"))


def test_few_rows_try_fewer_models() -> None:
    values = np.arange(12) % 2
    few = LearnedRows(features=values[:, np.newaxis].astype(np.float32), values=values, classes=2, weights=None)
    found = blend((LINEAR, Candidate(name="later", fewest=13, judge=failing, seconds=lambda _: 1.0)), few)
    assert [one.name for one in found.models] == ["linear"]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("data", "least"), [("iris", 0.9), ("diabetes", 0.35)])
def test_auto_is_one_model_of_several(data: Any, least: float) -> None:
    dataset = load(data)
    fitted = fit(dataset, {"auto": {}})
    assert primary(fitted, dataset) > least
    assert difference(fitted, dataset) < 1e-5
    assert fitted.models is not None
    discriminant = ["discriminant"] if dataset.labels else []
    expected = ["network", "linear", *discriminant, "kernelRidge", "randomForest"]
    assert [one.name for one in fitted.models] == expected


@pytest.mark.usefixtures("few")
def test_the_same_seed_blends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "_EPOCHS", 5)
    first, second = (fit(load("iris"), {"auto": {}}) for _ in range(2))
    assert (first.onnx, first.notes) == (second.onnx, second.notes)
    assert first.models is not None
    assert len(first.models) == 5


@pytest.mark.usefixtures("few_networks")
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


def test_named_candidates_alone_are_fitted_and_those_that_do_not_suit_are_said() -> None:
    found = blend(CANDIDATES, rows_of("diabetes"), candidates=("linear", "discriminant"))
    assert [one.name for one in found.models] == ["linear"]
    assert found.notes[1:] == ("auto left discriminant out: it is for classes, and a number is predicted",)
    with pytest.raises(StageError, match="names no model that suits: auto left discriminant out") as caught:
        blend(CANDIDATES, rows_of("diabetes"), candidates=("discriminant",))
    assert caught.value.field == "spec.model.auto.candidates"


def test_a_candidate_says_for_how_many_rows_and_features_it_is() -> None:
    (discriminant,) = (one for one in CANDIDATES if one.name == "discriminant")
    for rows, inputs, said in (
        (30, 20, "is for 2 rows and more for each encoded feature: 30 rows have 20"),
        (2000, 501, "is for at most 500 encoded features, and there are 501"),
        (2000, 500, None),
    ):
        learned = LearnedRows(
            features=np.zeros((rows, inputs), np.float32), values=np.zeros(rows, np.int64), classes=2, weights=None
        )
        assert discriminant.unsuited(learned) == said


@pytest.mark.parametrize(("data", "metric"), [("iris", "SquaredError"), ("diabetes", "Accuracy")])
def test_a_metric_of_another_task_is_refused(data: Any, metric: str) -> None:
    with pytest.raises(StageError, match=f"spec.model.auto.metric is {metric}, but") as caught:
        blend((LINEAR,), rows_of(data), metric=metric)
    assert caught.value.field == "spec.model.auto.metric"


def test_shares_are_chosen_by_the_metric_that_is_asked_for() -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2, 400)
    mostly = np.where(generator.uniform(size=400) < 0.9, values, 1 - values)
    # One is mostly right and sure of it; the other, which is a little more than even, always.
    said = np.stack([np.eye(2)[mostly] * 0.02 + 0.49, np.eye(2)[values] * 0.01 + 0.495])
    wrong = shares_by_selection(said, [lambda blended: float((blended.argmax(axis=1) != values).mean())])
    assert wrong[1] > 0.6
    numbers = np.array([[[0.0], [0.0], [9.0]], [[1.0], [1.0], [1.0]]])
    absolute = shares_by_selection(numbers, [lambda blended: float(np.abs(blended[:, 0]).mean())])
    assert absolute[1] > 0.9


@pytest.mark.parametrize(
    ("data", "metric", "measured"), [("iris", "Accuracy", "accuracy"), ("diabetes", "AbsoluteError", "rmse")]
)
def test_another_metric_chooses_other_shares(data: Any, metric: str, measured: str) -> None:
    rows = rows_of(data)
    chosen = tuple(one for one in CANDIDATES if one.name in {"linear", "discriminant", "kernelRidge"})
    plain, other = blend(chosen, rows), blend(chosen, rows, metric=metric)
    assert [one.weight for one in plain.models] != [one.weight for one in other.models]
    assert sum(one.weight for one in other.models) == pytest.approx(1, abs=1e-3)
    assert measured in other.notes[0]


def timed(name: str, seconds: float) -> Candidate:
    return Candidate(name=name, judge=fitted_by(fit_linear, None), seconds=lambda _: seconds)


def test_a_budget_takes_the_cheapest_first_and_says_what_would_be_late() -> None:
    # The clock goes on by a second at each look: the cheapest takes 1 s, which is ten times what was estimated, so
    # that the next is expected to take 2 s, and the last 50 s.
    models = (timed("dear", 5), timed("cheap", 0.1), timed("next", 0.2))
    found = blend(models, rows_of("iris"), time_budget_seconds=20)
    assert [one.name for one in found.models] == ["cheap", "next"]
    late, clock = found.notes[1:]
    assert re.fullmatch(
        r"auto left dear out: it would take about \d+ s, and \d+ s are left of spec.model.auto.timeBudgetSeconds", late
    )
    assert clock.startswith("which models were blended depends on how fast this machine was")
    whole = blend(models, rows_of("iris"), time_budget_seconds=604_800)
    assert [one.name for one in whole.models] == ["cheap", "next", "dear"]
    assert whole.notes[1:] == (clock.replace("20", "604800"),)


def test_above_ten_thousand_rows_a_forest_has_fewer_trees() -> None:
    (forest,) = (one for one in CANDIDATES if one.name == "randomForest")
    trees = {}
    for count in (200, 10_001):
        values = np.arange(count, dtype=np.float64) % 2
        rows = LearnedRows(features=values[:, np.newaxis].astype(np.float32), values=values, classes=0, weights=None)
        judged = forest.judge(rows, Judging(folds=folds_of(rows, seed=0)[:1], seed=0, observe=lambda _: None))
        trees[count] = judged.component.parameters
    # A split and two leaves each, but for the trees whose only feature happens to be one value: none here.
    assert trees == {200: 200 * 4 + 1, 10_001: 50 * 4 + 1}


def test_one_model_is_fitted_however_short_the_time_is() -> None:
    found = blend((timed("dear", 500), timed("dearer", 900)), rows_of("iris"), time_budget_seconds=1)
    assert [one.name for one in found.models] == ["dear"]


def test_more_rows_are_estimated_to_take_longer() -> None:
    small, large = (Size(rows=rows, inputs=10, classes=3, fits=6) for rows in (500, 20_000))
    for one in CANDIDATES:
        assert 0 < one.seconds(small) < one.seconds(large)


def test_rows_that_are_each_the_only_one_of_their_class_cannot_be_blended() -> None:
    rows = LearnedRows(features=np.eye(3, dtype=np.float32), values=np.arange(3), classes=3, weights=None)
    with pytest.raises(StageError, match="no row can be held back"):
        blend((LINEAR,), rows)
