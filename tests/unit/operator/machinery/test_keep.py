"""What is kept of an object: all of a small one, and of a large one what is near its root."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.machinery.keep import clipped

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=3), below, max_size=4),
    max_leaves=20,
)


def nodes(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(nodes, below))


def text(value: Any) -> int:
    if isinstance(value, dict):
        return sum(len(name) + text(item) for name, item in value.items())
    return sum(map(text, value)) if isinstance(value, list) else len(value) if isinstance(value, str) else 0


def test_what_fits_is_the_same_object() -> None:
    value = {"a": [{"b": "c"}]}
    assert clipped(value) is value


def test_what_is_near_the_root_and_early_comes_first() -> None:
    value = {"spec": {"items": [{"name": "a", "deep": {"x": [1]}}, {"name": "b"}, {"name": "c"}]}}
    assert clipped(value, nodes=8) == {"spec": {"items": [{"name": "a", "deep": {}}, {}, {}]}}
    assert clipped(value, nodes=4) == {"spec": {"items": [{}]}}


def test_a_text_that_does_not_fit_is_empty_and_its_field_stays() -> None:
    assert clipped({"a": "xxxxx", "b": "y"}, text=4) == {"a": "", "b": "y"}


def test_a_name_that_does_not_fit_is_left_out() -> None:
    assert clipped({"x" * 100: {"y": 1}, "a": 1}, text=10) == {"a": 1}


def test_depth_costs_no_stack() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    kept = clipped(deep, nodes=50)
    depth = 0
    while kept:
        kept, depth = kept[0], depth + 1
    assert depth == 49


@given(JSON, st.integers(1, 30), st.integers(0, 30))
def test_the_limits_hold_and_what_fits_is_unchanged(value: Any, most: int, characters: int) -> None:
    kept = clipped(value, nodes=most, text=characters)
    assert nodes(kept) <= most
    assert text(kept) <= characters
    if nodes(value) <= most and text(value) <= characters:
        assert kept == value
