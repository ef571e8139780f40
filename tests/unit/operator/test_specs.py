"""A spec with a search is checked once for each change, and not in each pass."""

import weakref
from typing import Any

import pytest
from pydantic import ValidationError

from modelservice.contract.trials import check_search
from modelservice_operator import specs
from modelservice_operator.specs import Specs

DROPOUT = {"path": "model.mlp.dropout", "uniform": {"min": 0, "max": 0.5}}


def service(*, generation: int = 1, uid: str = "a", **search: Any) -> dict[str, Any]:
    spec = {
        "data": {"configMap": {"name": "churn"}, "target": "kind"},
        "model": {"mlp": {}},
        "training": {"search": {"parameters": [DROPOUT], **search}},
    }
    return {"metadata": {"uid": uid, "generation": generation}, "spec": spec}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One item for each search that was checked."""
    seen: list[str] = []

    def counted(*given: Any, **named: Any) -> None:
        seen.append("search")
        check_search(*given, **named)

    monkeypatch.setattr("modelservice.contract.resource.check_search", counted)
    return seen


def test_a_search_is_checked_once_for_each_change(checks: list[str]) -> None:
    read = Specs().read
    first = read(service(trials=3))
    assert read(service(trials=3)) is first
    assert len(checks) == 1
    second = read(service(trials=4, generation=2)).training.search
    assert second is not None
    assert (second.trials, len(checks)) == (4, 2)
    read(service(trials=3, uid="b"))
    assert len(checks) == 3, "another one of the same name"


def test_what_is_wrong_with_a_search_is_found_once_and_told_each_time(checks: list[str]) -> None:
    read = Specs().read
    for _ in range(2):
        with pytest.raises(ValidationError, match="momentum"):
            read(service(parameters=[{**DROPOUT, "path": "training.momentum"}]))
    assert len(checks) == 1


def test_no_more_is_remembered_than_a_limit_and_what_is_read_often_is(
    checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specs, "_REMEMBERED", 2)
    read = Specs().read
    for uid in ("a", "b", "a", "c", "a"):
        read(service(uid=uid))
    assert len(checks) == 3
    read(service(uid="b"))
    assert len(checks) == 4


def test_a_spec_without_a_search_is_read_once_for_each_change_too() -> None:
    read, plain = Specs().read, service()
    del plain["spec"]["training"]
    assert read(plain) is read(plain)


def test_only_the_newest_spec_of_a_model_service_is_remembered() -> None:
    specs = Specs()
    older = weakref.ref(specs.read(service()))
    specs.read(service(generation=2))
    assert older() is None


def test_a_large_spec_is_read_anew_each_time() -> None:
    specs, large = Specs(), service()
    large["spec"]["serving"] = {"env": [{"name": f"V{number}", "value": "x" * 1000} for number in range(40)]}
    first = weakref.ref(specs.read(large))
    assert first() is None
    assert len(specs.read(large).serving.env) == 40
