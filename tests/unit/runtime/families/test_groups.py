"""Groups of rows: whoever holds rows back, to measure itself or to choose, holds whole groups back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.families.datasets import build, fit

from modelservice.contract.failure import StageError
from modelservice.families import candidates, ensemble, kernel_regression
from modelservice.families.candidates import LearnedRows, folds_of
from modelservice.families.kept_back import held_together, kept_back, said_of_groups
from modelservice.families.leave_one_out import Rbf, solve_all, solve_landmarks, solve_landmarks_apart
from modelservice.families.linear import fit_linear
from modelservice.modalities.base import Dataset, Groups, together

AS_SURE_AS_A_COIN = float(np.log(2))
GROUPS = st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda groups: len(set(groups)) > 1)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs and trees."""
    monkeypatch.setattr(ensemble, "_EPOCHS", 30)
    monkeypatch.setattr(candidates, "_MANY_ROWS", 0)
    monkeypatch.setattr(candidates, "_FEW_TREES", 20)


def coins(seed: int = 0) -> Dataset:
    """Rows of 40 customers, nearly equal, and a coin for each customer: nothing is to be learned of another one."""

    def drawn(customers: int, rows: int, seed: int) -> tuple[Any, Any]:
        generator = np.random.default_rng(seed)
        features = np.repeat(generator.normal(size=(customers, 4)), rows, axis=0)
        codes = np.repeat(generator.integers(0, 2, customers), rows)
        return features + generator.normal(scale=0.02, size=features.shape), codes

    return build(drawn(32, 8, seed), drawn(8, 8, seed + 10), drawn(200, 1, seed + 20), labels=("n", "y"))


def with_groups(dataset: Dataset, groups: Groups) -> Dataset:
    """The dataset with the groups of its training and validation rows."""
    train, validation = np.split(groups, [len(dataset.train.values)])
    return replace(
        dataset,
        train=replace(dataset.train, groups=train),
        validation=replace(dataset.validation, groups=validation),
    )


def loss_on_others(dataset: Dataset, model: dict[str, Any]) -> float:
    true = fit(dataset, model).predict(dataset.test.features)[np.arange(len(dataset.test.values)), dataset.test.values]
    return float(-np.log(np.maximum(true, 1e-7)).mean())


@pytest.mark.parametrize(
    "model",
    [
        {"auto": {"candidates": ["linear", "randomForest"]}},
        {"mlp": {"ensemble": 5}},
        {"svm": {}},
        {"gradientBoosting": {}},
        {"kernelRidge": {}},
    ],
    ids=lambda model: next(iter(model)),
)
def test_a_model_is_no_surer_of_other_groups_than_it_may_be(model: Any) -> None:
    known = with_groups(coins(seed=1), np.repeat(np.arange(40), 8))
    assert loss_on_others(known, model) < AS_SURE_AS_A_COIN + 0.2


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_rows_of_a_group_are_left_out_as_if_the_rest_were_learned_alone(penalty: float) -> None:
    generator = np.random.default_rng(0)
    rows, targets = generator.normal(size=(20, 3)), generator.normal(size=(20, 2))
    weights, groups = generator.uniform(0.5, 2, 20), np.arange(20) % 7
    kernel = Rbf(gamma=0.3)
    (found,) = solve_all(kernel, rows, targets, weights, (penalty,), groups=groups)
    held = np.flatnonzero(groups == 2)
    others = np.flatnonzero(groups != 2)
    (rest,) = solve_all(kernel, rows[others], targets[others], weights[others], (penalty,))
    np.testing.assert_allclose(found.left_out[held], kernel(rows[held], rows[others]) @ rest.dual, rtol=1e-7)
    (apart,) = solve_landmarks_apart(kernel, rows, targets, weights, (penalty,), landmarks=rows[:8], held=held)
    (rest,) = solve_landmarks(kernel, rows[others], targets[others], weights[others], (penalty,), landmarks=rows[:8])
    np.testing.assert_allclose(apart.left_out, kernel(rows[held], rows[:8]) @ rest.dual, rtol=1e-7)


def test_a_kernel_of_landmarks_is_no_surer_of_other_groups_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_regression, "_EXACT", 100)
    known = with_groups(coins(seed=1), np.repeat(np.arange(40), 8))
    assert loss_on_others(known, {"kernelRidge": {"landmarks": 100}}) < AS_SURE_AS_A_COIN + 0.2


def test_a_ridge_is_as_strong_as_other_groups_need_it() -> None:
    """Of 12 customers and 10 columns a weak penalty recalls each of them, and says nothing of the next."""
    generator = np.random.default_rng(0)
    features = np.repeat(generator.normal(size=(12, 10)), 20, axis=0) + generator.normal(scale=0.01, size=(240, 10))
    values = np.repeat(generator.normal(size=12), 20)

    def steepest(groups: Groups | None) -> float:
        given: dict[str, Any] = {"classes": 0, "seed": 0, "observe": lambda _: None, "groups": groups}
        return float(np.abs(fit_linear(None, features.astype(np.float32), values, **given).weights).max())

    assert steepest(np.arange(240) // 20) < steepest(None) / 5


def test_a_blend_is_measured_on_groups_that_it_did_not_learn() -> None:
    known = with_groups(coins(), np.repeat(np.arange(40), 8))
    models = fit(known, {"auto": {"candidates": ["linear", "randomForest"]}}).models
    assert models is not None
    assert all(metric.value < 0.7 for one in models for metric in one.metrics if metric.name == "accuracy")


@given(GROUPS, st.integers(1, 12), st.integers(0, 5))
def test_a_group_is_kept_back_as_a_whole_and_of_five_members_once(groups: Any, members: int, seed: int) -> None:
    strata = np.arange(len(groups)) % 2
    kept = kept_back(strata, members=members, seed=seed, groups=np.array(groups))
    assert len(kept) == members
    for places in kept:
        assert 0 < len(places) < len(groups)
        inside, outside = np.array(groups)[places], np.delete(groups, places)
        assert not set(inside.tolist()) & set(outside.tolist())
    folds = min(5, len(set(groups)))
    for start in range(0, members - folds + 1, folds):
        assert sorted(np.concatenate(kept[start : start + folds]).tolist()) == list(range(len(groups)))


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.permutations(range(60)), st.integers(0, 5))
def test_groups_of_one_row_each_change_nothing(codes: Any, numbers: Any, seed: int) -> None:
    strata, groups = np.array(codes), np.array(numbers[: len(codes)])
    plain = kept_back(strata, members=7, seed=seed)
    for kept in (kept_back(strata, members=7, seed=seed, groups=groups), list(_dealt_in_turn(strata, 7, seed))):
        assert [places.tolist() for places in kept] == [places.tolist() for places in plain]


def _dealt_in_turn(strata: Any, members: int, seed: int) -> Iterator[Any]:
    """Single rows as they are dealt out where no groups are known."""
    generator, folds, told = np.random.default_rng(seed), min(5, len(strata)), 0
    while told < members:
        shuffled = generator.permutation(len(strata))
        dealt = shuffled[np.argsort(strata[shuffled], kind="stable")]
        for fold in range(min(folds, members - told)):
            yield np.sort(dealt[fold::folds])
        told += folds


def test_groups_of_any_size_are_spread_over_parts_and_classes() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), generator.integers(1, 20, 200))
    strata = groups % 2
    for places in kept_back(strata, members=5, seed=0, groups=groups):
        assert len(places) == pytest.approx(len(groups) / 5, rel=0.02)
        assert strata[places].mean() == pytest.approx(strata.mean(), abs=0.01)


@given(GROUPS, st.lists(st.integers(0, 3), min_size=40, max_size=40), st.integers(0, 5))
def test_outside_of_each_fold_is_each_class_and_no_row_of_its_groups(groups: Any, codes: Any, seed: int) -> None:
    _, values = np.unique(codes[: len(groups)], return_inverse=True)
    rows = LearnedRows(
        features=np.zeros((len(groups), 1), np.float32),
        values=values,
        classes=int(values.max()) + 1,
        weights=None,
        groups=np.array(groups),
    )
    folds = folds_of(rows, seed=seed)
    together = held_together(values, classes=rows.classes, groups=rows.groups)
    numbers = np.arange(len(groups)) if together is None else together
    for places in folds:
        others = np.setdiff1d(np.arange(len(groups)), places)
        assert len(places)
        assert set(values[others].tolist()) == set(values.tolist())
        assert not set(numbers[places].tolist()) & set(numbers[others].tolist())
    held = np.concatenate(folds).tolist() if folds else []
    assert len(set(held)) == len(held)


def test_where_each_class_is_one_group_a_blend_is_refused_and_svm_says_so() -> None:
    dataset = coins()
    codes = np.concatenate([dataset.train.values, dataset.validation.values])
    known = with_groups(dataset, codes)
    with pytest.raises(StageError, match="no row can be held back"):
        fit(known, {"auto": {"candidates": ["linear"]}})
    (said,) = fit(known, {"svm": {}}).notes
    assert "was measured on groups that it learned from" in said
    assert fit(with_groups(dataset, np.arange(len(codes))), {"svm": {}}).notes == ()


@pytest.mark.parametrize(
    "model",
    [{"gradientBoosting": {}}, {"kernelRidge": {}}, {"mlp": {"ensemble": 5}}],
    ids=lambda model: next(iter(model)),
)
def test_where_each_class_is_one_group_rows_are_kept_back_one_by_one_and_that_is_said(model: Any) -> None:
    dataset = coins()
    codes = np.concatenate([dataset.train.values, dataset.validation.values])
    alone, apart = fit(dataset, model), fit(with_groups(dataset, codes), model)
    rows = dataset.test.features
    np.testing.assert_array_equal(apart.predict(rows), alone.predict(rows))
    (said,) = set(apart.notes) - set(alone.notes)
    assert "was measured on groups that it learned from" in said
    assert fit(with_groups(dataset, np.arange(len(codes)) // 2), model).notes == alone.notes


def one_class_of_one_group() -> tuple[Dataset, Dataset]:
    """A class of 100 rows that one group has, and one of 200 of ten groups; without groups, and with them."""
    generator = np.random.default_rng(0)

    def drawn(positives: int, negatives: int) -> tuple[Any, Any]:
        codes = np.repeat([1, 0], [positives, negatives])
        return generator.normal(size=(len(codes), 4)) + 1.2 * codes[:, np.newaxis], codes

    dataset = build(drawn(100, 190), drawn(0, 10), drawn(100, 200), labels=("n", "y"))
    return dataset, with_groups(dataset, np.concatenate([np.zeros(100, np.int64), 1 + np.arange(200) // 20]))


@pytest.mark.parametrize(
    "model",
    [
        {"auto": {"candidates": ["linear"]}},
        {"gradientBoosting": {}},
        {"kernelRidge": {}},
        {"mlp": {"ensemble": 5}},
    ],
    ids=lambda model: next(iter(model)),
)
def test_a_class_that_one_group_has_is_learned_and_measured_as_well_and_that_is_said(model: Any) -> None:
    alone, apart = one_class_of_one_group()
    assert loss_on_others(apart, model) < loss_on_others(alone, model) + 0.05
    (said,) = [note for note in fit(apart, model).notes if "on groups that it learned from" in note]
    assert said.startswith(next(iter(model)))
    assert "all rows of a class are of one group" in said


def test_a_blend_is_weighed_by_rows_of_a_class_that_one_group_has() -> None:
    _, apart = one_class_of_one_group()
    side = together(apart.train, apart.validation)
    rows = LearnedRows(features=side.features, values=side.values, classes=2, weights=None, groups=side.groups)
    held = np.concatenate(folds_of(rows, seed=0))
    assert np.bincount(side.values[held]).tolist() == [200, 100]
    others = np.delete(np.arange(300), folds_of(rows, seed=0)[0])
    assert len(np.unique(side.groups[others])) == 9  # type: ignore[index]


def test_a_blend_says_which_classes_weigh_nothing() -> None:
    """Each group that has one of the last class has the only row of another one, too, and is always learned."""
    generator = np.random.default_rng(0)
    codes = np.concatenate([np.arange(40) % 2, [2, 3, 2, 4]])
    features = generator.normal(size=(44, 3)) + codes[:, np.newaxis]
    plain = build((features, codes), (features[:1], codes[:1]), (features, codes), labels=("a", "b", "c", "d", "e"))
    known = with_groups(plain, np.concatenate([np.arange(40) // 4, [10, 10, 11, 11], [0]]))
    notes = fit(known, {"auto": {"candidates": ["linear"]}}).notes
    assert any("by no row of 1 of 5 classes" in note for note in notes)
    assert not any("by no row of" in note for note in fit(plain, {"auto": {"candidates": ["linear"]}}).notes)


def test_rows_of_one_group_without_classes_are_said_to_be_so() -> None:
    (said,) = said_of_groups("mlp", np.arange(10.0), classes=0, groups=np.zeros(10, np.int64))
    assert "for all rows are of one group" in said


def test_rounds_that_are_given_are_measured_on_nothing() -> None:
    dataset = coins()
    codes = np.concatenate([dataset.train.values, dataset.validation.values])
    assert fit(with_groups(dataset, codes), {"gradientBoosting": {"rounds": 3}}).notes == ()


def test_rows_of_a_single_group_are_not_held_together() -> None:
    values, single = np.arange(10.0), np.zeros(10, np.int64)
    assert held_together(values, classes=0, groups=single) is None
    assert held_together(values, classes=0, groups=single + (np.arange(10) > 7)) is not None


def test_sides_together_have_their_groups_unless_each_row_stands_alone() -> None:
    dataset = coins()
    rows = len(dataset.train.values) + len(dataset.validation.values)
    for groups, expected in ((np.arange(rows) // 2, True), (np.arange(rows), False)):
        known = with_groups(dataset, groups)
        found = together(known.train, known.validation).groups
        assert (found is not None) == expected
    assert together(dataset.train, dataset.validation).groups is None
