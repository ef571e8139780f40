"""What the comparison of two CRDs finds: one narrowing of each kind, and nothing where a field was only added."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.crd_compatibility import taken_away

from modelservice_operator.crd.crd import build_crd

Schema = dict[str, Any]


def schema_of(crd: Schema, *path: str) -> Schema:
    found: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path:
        found = found["properties"][name]
    return found


def set_in(*path: str, **said: Any) -> Callable[[Schema], None]:
    return lambda crd: schema_of(crd, *path).update(said)


NARROWINGS: dict[str, tuple[Callable[[Schema], object], str]] = {
    "a field is gone": (
        lambda crd: schema_of(crd, "spec", "serving")["properties"].pop("paused"),
        ".spec.serving.paused is gone",
    ),
    "another type": (set_in("spec", "suspend", type="string"), ".spec.suspend: type was 'boolean'"),
    "another default": (
        set_in("spec", "serving", "replicas", default=2),
        ".spec.serving.replicas: default was 1",
    ),
    "a smaller bound": (
        set_in("spec", "serving", "progressDeadlineSeconds", maximum=10),
        ".spec.serving.progressDeadlineSeconds: maximum 10 is narrower than 86400",
    ),
    "a larger bound": (
        set_in("spec", "serving", "progressDeadlineSeconds", minimum=20),
        ".spec.serving.progressDeadlineSeconds: minimum 20 is narrower than 10",
    ),
    "a bound where none was": (
        set_in("spec", "suspend", maxLength=3),
        ".spec.suspend: maxLength 3 is narrower than None",
    ),
    "a word is gone": (
        set_in("spec", "serving", "runtimePolicy", enum=["Pinned"]),
        ".spec.serving.runtimePolicy: enum had ['Pinned', 'FollowOperator']",
    ),
    "a field is required": (set_in("spec", "serving", required=["engine"]), ".spec.serving.engine is required"),
    "another pattern": (
        set_in("spec", "serving", "engine", pattern="x"),
        ".spec.serving.engine: pattern was None",
    ),
    "items of a list": (
        lambda crd: schema_of(crd, "spec", "serving", "env")["items"]["properties"].pop("value"),
        ".spec.serving.env[].value is gone",
    ),
    "how a list is merged": (
        lambda crd: schema_of(crd, "status", "conditions").pop("x-kubernetes-list-type"),
        ".status.conditions: x-kubernetes-list-type was 'map'",
    ),
    "a version is not served": (
        lambda crd: crd["spec"]["versions"][0].update(served=False),
        "version v1alpha1 is not served",
    ),
    "a subresource is gone": (
        lambda crd: crd["spec"]["versions"][0]["subresources"].pop("scale"),
        "version v1alpha1: subresource scale is gone",
    ),
    "another name": (lambda crd: crd["spec"]["names"].update(shortNames=[]), "names.shortNames had mdsvc"),
}


@pytest.mark.parametrize("kind", NARROWINGS)
def test_a_narrowing_is_found(kind: str) -> None:
    change, words = NARROWINGS[kind]
    old = build_crd()
    new = copy.deepcopy(old)
    change(new)
    assert list(taken_away(old, new)) == [words]


def test_what_is_added_or_widened_takes_nothing_away() -> None:
    old = build_crd()
    new = copy.deepcopy(old)
    schema_of(new, "spec", "serving")["properties"]["added"] = {"type": "string", "maxLength": 8}
    schema_of(new, "spec", "serving", "runtimePolicy")["enum"].append("Manual")
    schema_of(new, "spec", "serving", "progressDeadlineSeconds").update(minimum=1, maximum=10**6)
    schema_of(new, "spec", "suspend")["nullable"] = True
    assert list(taken_away(old, new)) == []
