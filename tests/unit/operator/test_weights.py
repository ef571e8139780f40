"""How many pods each side of a canary has: a pure function, by its properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.contract.rollout import MAX_REPLICAS, MAX_WEIGHT
from modelservice_operator.domain.weights import Split, weights

WEIGHTS = st.integers(1, MAX_WEIGHT)
DESIRED = st.integers(1, MAX_REPLICAS)


@given(weight=WEIGHTS, desired=DESIRED)
def test_what_serves_is_never_fewer_and_the_canary_never_more(weight: int, desired: int) -> None:
    split = weights(weight, desired)
    assert split.stable == desired
    assert 1 <= split.canary <= desired
    assert split.total == split.stable + split.canary


@given(weight=WEIGHTS, desired=DESIRED)
def test_the_share_is_the_largest_that_is_not_too_large_or_one_pod(weight: int, desired: int) -> None:
    stable, canary = weights(weight, desired)
    assert canary == 1 or 100 * canary <= weight * (stable + canary)
    assert 100 * (canary + 1) > weight * (stable + canary + 1), "one pod more would be too many"


@given(weight=WEIGHTS, desired=DESIRED, more=st.integers(0, 20))
def test_a_larger_weight_or_more_pods_give_no_fewer(weight: int, desired: int, more: int) -> None:
    canary = weights(weight, desired).canary
    assert weights(min(weight + more, MAX_WEIGHT), desired).canary >= canary
    assert weights(weight, desired + more).canary >= canary


@pytest.mark.parametrize(
    ("weight", "desired", "canary", "percent"),
    [(10, 9, 1, 10), (10, 1, 1, 50), (25, 3, 1, 25), (50, 10, 10, 50), (20, 10, 2, 17), (5, 1000, 52, 5)],
)
def test_the_share_that_pods_come_to(weight: int, desired: int, canary: int, percent: int) -> None:
    split = weights(weight, desired)
    assert (split.canary, split.percent) == (canary, percent)


def test_beside_no_pods_there_is_no_canary() -> None:
    assert weights(10, 0) == Split(stable=0, canary=0)
    assert weights(10, 0).percent == 0
