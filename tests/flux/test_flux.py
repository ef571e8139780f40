"""Flux's source- and kustomize-controller apply ModelServices, wait for them, judge them and take them away.

All is real, the trainings as well; what Flux follows is a bucket instead of Git. One story, as a team would live it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.flux.installed import KUSTOMIZATION, flux_on
from tests.flux.source import (
    HEALTH_CHECK_FAILED,
    LABEL,
    Source,
    ask,
    bucket_of,
    has_applied,
    has_failed,
    is_checking,
    is_done,
    wait,
)
from tests.support.e2e import Space, condition, config_map, eventually, is_ready, model_service, network, says
from tests.support.installation import Installation
from tests.support.samples import SAMPLES
from tests.support.tables import IRIS

from modelservice_operator.kinds import CHILD_KINDS, CONFIG_MAP, MODEL_SERVICE

Object = dict[str, Any]

pytestmark = pytest.mark.cluster

ENDLESS: Object = {"training": {"epochs": 100_000, "batchSize": 1}}
"""So much is done on no machine before another commit comes."""


def flowers(**spec: Any) -> str:
    """The ModelService of the sample for kustomize, which names its table after the content, but quick to train."""
    return json.dumps(network("flowers", **spec))


def first_commit() -> dict[str, str]:
    """The files of that sample."""
    names = ("kustomization.yaml", "namereference.yaml", "iris.csv")
    around = {f"models/{name}": (SAMPLES / "kustomize" / name).read_text(encoding="utf-8") for name in names}
    return {**around, "models/modelservice.yaml": flowers(**ENDLESS)}


def test_flux_applies_judges_and_prunes_models(space: Space, installation: Installation, tmp_path: Path) -> None:
    with space.explained(), flux_on(space, tmp_path), bucket_of(space, first_commit()) as source:
        waits_for_what_trains(source)
        writes_nothing_where_nothing_changed(source)
        says_what_failed(source)
        rolls_out_what_changed(source)
        prunes_what_is_gone(source)


def waits_for_what_trains(source: Source) -> None:
    space = source.space
    source.follow("models")
    wait(space, KUSTOMIZATION, "models", is_checking, what="is in progress")
    training = space.wait("flowers", says("Training"), what="trains")
    assert training["spec"]["data"]["configMap"]["name"].startswith("flowers-")
    (seen,) = space.api.list(KUSTOMIZATION, space.name)
    assert is_checking(seen), seen["status"]

    # Another commit ends that training, and Flux is ready when the model is.
    revision = source.commit({"models/modelservice.yaml": flowers()})
    wait(space, KUSTOMIZATION, "models", has_applied(revision), what="the model serves")
    served = space.service("flowers")
    assert is_ready(served)
    assert served["status"]["revision"] == 1
    assert served["spec"]["training"]["epochs"] == 5


def writes_nothing_where_nothing_changed(source: Source) -> None:
    space = source.space

    def stored() -> list[Object]:
        """What Flux applied, with who wrote which field when, but for the status: that is the operator's."""
        kinds = (CONFIG_MAP, MODEL_SERVICE)
        found = [obj for kind in kinds for obj in space.api.list(kind, space.name, labels=f"{LABEL}=models")]
        for obj in found:
            fields = obj["metadata"]["managedFields"]
            obj["metadata"]["managedFields"] = [one for one in fields if one.get("subresource") != "status"]
            if obj.pop("status", None):
                del obj["metadata"]["resourceVersion"]
        return found

    before = stored()
    mark = ask(space, KUSTOMIZATION, "models")
    wait(space, KUSTOMIZATION, "models", is_done(mark), what="is applied again")
    assert stored() == before
    assert len(before) == 2


def says_what_failed(source: Source) -> None:
    space = source.space
    wrong = model_service("wrong", data={"target": "colour"})
    files = {"wrong/table.yaml": config_map("wrong", IRIS), "wrong/modelservice.yaml": wrong}
    source.commit({name: json.dumps(obj) for name, obj in files.items()})
    source.follow("wrong")
    failed = wait(space, KUSTOMIZATION, "wrong", has_failed, what="has failed")
    message = condition(failed, "Ready")["message"]
    assert "failed early due to stalled resources" in message
    assert f"ModelService/{space.name}/wrong status: 'Failed'" in message
    assert says("TargetNotFound", "colour")(space.service("wrong"))

    def warned() -> bool:
        events = space.events("wrong", KUSTOMIZATION.kind)
        return any((one["type"], one["reason"]) == ("Warning", HEALTH_CHECK_FAILED) for one in events)

    eventually(warned, what="an event of Flux")


def rolls_out_what_changed(source: Source) -> None:
    """One commit, with another parameter and another table for the one, and the right column for the other."""
    space = source.space
    before = space.service("flowers")
    rows = (SAMPLES / "kustomize" / "iris.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    revision = source.commit(
        {
            "models/modelservice.yaml": flowers(model={"mlp": {"hiddenLayers": [4]}}),
            "models/iris.csv": "".join(rows[:-1]),
            "wrong/modelservice.yaml": json.dumps(model_service("wrong")),
        }
    )
    for name, number in (("flowers", 2), ("wrong", 1)):
        folder = "models" if name == "flowers" else name
        wait(space, KUSTOMIZATION, folder, has_applied(revision), what=f"{name} serves what is new")
        served = space.service(name)
        assert is_ready(served)
        assert served["status"]["revision"] == number
    # Both tables had names of their own, and that of before is not needed any more.
    old, new = (obj["spec"]["data"]["configMap"]["name"] for obj in (before, space.service("flowers")))
    assert space.api.get(CONFIG_MAP, space.name, old) is None
    assert space.api.get(CONFIG_MAP, space.name, new) is not None


def prunes_what_is_gone(source: Source) -> None:
    space = source.space

    def is_gone(name: str) -> bool:
        children = any(space.children(kind, name) for kind in CHILD_KINDS)
        return not children and space.api.get(MODEL_SERVICE, space.name, name) is None

    revision = source.commit({}, without=["wrong/modelservice.yaml"])
    wait(space, KUSTOMIZATION, "wrong", has_applied(revision), what="the model is gone from it")
    eventually(lambda: is_gone("wrong"), what="the end of a model that is gone from the source", seconds=300)
    assert space.api.get(CONFIG_MAP, space.name, "wrong") is not None
    assert is_ready(space.service("flowers"))

    space.as_admin("delete", KUSTOMIZATION.plural, "models", "wrong")
    eventually(lambda: is_gone("flowers"), what="the end of what the Kustomization made", seconds=300)
    assert space.api.list(CONFIG_MAP, space.name, labels=LABEL) == []
