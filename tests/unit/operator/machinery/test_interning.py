"""What is kept once: equal parts of documents, and nothing that only looks equal."""

import copy
import json

import pytest

from modelservice_operator.machinery.interning import Interner


def test_equal_parts_are_one_object_and_what_comes_out_is_what_went_in() -> None:
    interner = Interner()
    text = '{"metadata": {"labels": {"a": "b"}}, "spec": {"list": [{"a": "b"}, {"a": null, "c": true}], "n": 1.5}}'
    first, second = (interner.intern(json.loads(text)) for _ in range(2))
    assert first == second == json.loads(text)
    assert first["metadata"]["labels"] is second["metadata"]["labels"] is first["spec"]["list"][0]


def test_a_number_is_never_a_truth_value() -> None:
    interner = Interner()
    kept = [interner.intern({"a": value}) for value in (True, 1, False, 0, None)]
    assert [type(one["a"]) for one in kept] == [bool, int, bool, int, type(None)]


def test_what_is_given_is_not_changed_and_the_order_of_keys_is_kept() -> None:
    interner = Interner()
    for given in ({"b": "1", "a": "2"}, {"a": "2", "b": "1"}):
        before = copy.deepcopy(given)
        assert list(interner.intern(given)) == list(before)
        assert given == before


def test_a_newer_version_shares_what_is_as_it_was() -> None:
    interner = Interner()
    text = '{"metadata": {"uid": "u", "labels": {"a": "b"}, "version": "1"}, "spec": {"n": 1, "list": [{"c": 1}]}}'
    before = interner.intern(json.loads(text))
    told = json.loads(text)
    told["metadata"]["version"] = "2"
    told["spec"]["n"] = 2
    after = interner.renew(told, before)
    assert after == told
    assert after["metadata"]["labels"] is before["metadata"]["labels"]
    assert after["spec"]["list"] is before["spec"]["list"]
    assert interner.renew(json.loads(text), before)["spec"] is before["spec"]


@pytest.mark.parametrize(
    ("was", "now"), [([1], [True]), ({"x": 0}, {"x": False}), ([1], [1.0]), ({"x": {"y": 1}}, {"x": {"y": True}})]
)
def test_what_only_looks_equal_is_new(was: object, now: object) -> None:
    interner = Interner()
    before = interner.intern({"spec": {"values": was}})
    after = interner.renew({"spec": {"values": now}}, before)
    assert json.dumps(after) == json.dumps({"spec": {"values": now}})
