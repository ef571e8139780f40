"""Fields that others manage, as paths that a person can read."""

from typing import Any

import pytest

from modelservice_operator.machinery.managed_fields import FOREIGN_LIMIT, foreign_fields


def paths(fields: dict[str, Any], **entry: Any) -> list[str]:
    found = foreign_fields([{"manager": "kubectl", "fieldsV1": {"f:spec": fields}, **entry}], ours={"us"})
    assert {one["manager"] for one in found} <= {"kubectl"}
    return [one["path"] for one in found]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"f:paused": {}}, "spec.paused"),
        ({"f:selector": {"f:tier": {}}}, "spec.selector.tier"),
        ({"f:selector": {".": {}, "f:tier": {}}}, "spec.selector"),
        ({"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}, "spec.ports[80/TCP]"),
        ({"f:finalizers": {'v:"kubernetes"': {}}}, 'spec.finalizers["kubernetes"]'),
        ({"f:items": {"i:3": {}}}, "spec.items[3]"),
        ({"f:labels": {"f:example.com/a:b": {}}}, "spec.labels.example.com/a:b"),
    ],
)
def test_a_field_is_told_as_a_path(fields: dict[str, Any], path: str) -> None:
    assert paths(fields) == [path]


def test_what_is_ours_of_a_subresource_or_outside_of_the_spec_is_not_told() -> None:
    fields: dict[str, Any] = {"f:paused": {}}
    assert paths(fields, manager="us") == []
    assert paths(fields, subresource="status") == []
    assert paths(fields, fieldsV1={"f:metadata": {"f:labels": {}}}) == []
    assert paths(fields, fieldsV1=None) == []


def test_few_are_told_and_none_is_long() -> None:
    assert len(paths({f"f:x{number}": {} for number in range(100)})) == FOREIGN_LIMIT
    (long,) = paths({"f:" + "x" * 10_000: {}})
    assert len(long) == 256
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"f:x": deep}
    assert len(paths(deep)) == 1


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ('k:{"a":' + "[" * 5000 + "]" * 5000 + "}", 'spec.ports[{"a":' + "[" * 300),
        ("k:[1]", "spec.ports[[1]]"),
        ("k:{", "spec.ports[{]"),
        ('k:{"port":' + "1" * 5000 + "}", 'spec.ports[{"port":' + "1" * 300),
    ],
)
def test_keys_that_somebody_made_up_are_told_as_they_are(name: str, path: str) -> None:
    """Whoever may write an object may write its managedFields, and an apiserver stores keys of any depth."""
    assert paths({"f:ports": {name: {}}}) == [path[:256]]
