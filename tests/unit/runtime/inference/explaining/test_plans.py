"""Shapley values, held to their definition: the average over all orders of what a column adds when it joins."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.inference.explaining.plans import Exact, Sampled, Values, plan, plan_occlusion

Game = Callable[[Any], Values]
"""Coalitions bool [coalitions, columns] to a value of each."""


def by_definition(game: Game, columns: int) -> Values:
    found = np.zeros(columns)
    orders = list(permutations(range(columns)))
    for order in orders:
        mask = np.zeros(columns, dtype=bool)
        for column in order:
            before = game(mask[None])[0]
            mask[column] = True
            found[column] += game(mask[None])[0] - before
    return found / len(orders)


def random_game(columns: int, seed: int) -> Game:
    values = np.random.default_rng(seed).normal(size=2**columns)
    return lambda masks: values[(np.asarray(masks) << np.arange(columns)).sum(axis=1)]


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_all_coalitions_give_the_definition(columns: int) -> None:
    games = [random_game(columns, seed) for seed in range(3)]
    exact = plan(columns, evaluations=2**columns, seed=0)
    assert exact.exact
    found = exact.contributions(np.stack([game(exact.masks) for game in games]))
    np.testing.assert_allclose(found, [by_definition(game, columns) for game in games], atol=1e-12)


def test_all_coalitions_give_what_shap_gives() -> None:
    """Numbers of ``shap.explainers.Exact`` 0.51 with one row as background; the package itself brings a compiler."""
    row, base = np.array([1.0, 2, -1, 3]), np.array([0.5, -1, 2, 0])
    exact = plan(4, evaluations=16, seed=0)
    asked = np.where(exact.masks, row, base)
    said = asked[:, 0] * asked[:, 1] + np.sin(asked[:, 2]) + asked[:, 0] * asked[:, 2] * asked[:, 3]
    np.testing.assert_allclose(exact.contributions(said[None])[0], [0.25, 2.25, -5.500768411633576, 0.75], atol=1e-12)


@given(columns=st.integers(2, 40), seed=st.integers(0, 2**32), evaluations=st.integers(80, 400))
def test_contributions_sum_up_to_the_difference(columns: int, seed: int, evaluations: int) -> None:
    made = plan(columns, evaluations=evaluations, seed=seed)
    assert len(made.masks) <= evaluations
    assert made.masks[made.whole].all()
    assert not made.masks[made.none].any()
    values = np.random.default_rng(seed).normal(size=(2, len(made.masks)))
    difference = values[:, made.whole] - values[:, made.none]
    np.testing.assert_allclose(made.contributions(values).sum(axis=1), difference, atol=1e-9)


def test_orders_give_a_sum_of_columns_and_of_pairs_exactly() -> None:
    """What an order and its reverse see of two columns together is half for each, whatever the order."""
    columns, random = 30, np.random.default_rng(1)
    alone, together = random.normal(size=columns), np.triu(random.normal(size=(columns, columns)), 1)

    def game(masks: Any) -> Values:
        joined = np.asarray(masks, dtype=float)
        return np.asarray(joined @ alone + np.einsum("ij,jk,ik->i", joined, together, joined))

    made = plan(columns, evaluations=100, seed=3)
    assert not made.exact
    expected = alone + (together.sum(axis=0) + together.sum(axis=1)) / 2
    np.testing.assert_allclose(made.contributions(game(made.masks)[None])[0], expected, atol=1e-9)


def test_more_orders_come_nearer() -> None:
    columns = 8
    game = random_game(columns, 5)
    exact = Exact(columns)
    truth = exact.contributions(game(exact.masks)[None])[0]

    def error(pairs: int) -> float:
        made = Sampled(columns, pairs=pairs, seed=0)
        return float(np.abs(made.contributions(game(made.masks)[None])[0] - truth).max())

    assert error(2000) < error(5) / 4


def test_the_seed_decides_the_orders() -> None:
    same, again, other = (plan(20, evaluations=200, seed=seed).masks for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert (same != other).any()


@pytest.mark.parametrize(
    ("columns", "evaluations", "needed"), [(1, 1, 2), (2, 3, 4), (3, 4, 6), (12, 23, 24), (17, 33, 34)]
)
def test_too_few_evaluations_are_refused_and_enough_are_not(columns: int, evaluations: int, needed: int) -> None:
    with pytest.raises(ValueError, match=f"^at least {needed}$"):
        plan(columns, evaluations=evaluations, seed=0)
    assert len(plan(columns, evaluations=needed, seed=0).masks) <= needed


def test_what_is_occluded_loses_what_is_lost_without_it() -> None:
    made = plan_occlusion(3, evaluations=5)
    assert made.masks.tolist() == [
        [False] * 3,
        [True] * 3,
        [False, True, True],
        [True, False, True],
        [True, True, False],
    ]
    assert (made.size, made.exact, made.method) == (5, True, "Occlusion")
    np.testing.assert_allclose(made.contributions(np.array([[0.0, 1.0, 0.25, 1.0, 1.5]])), [[0.75, 0.0, -0.5]])
    with pytest.raises(ValueError, match=r"^at least 6$"):
        plan_occlusion(4, evaluations=5)
