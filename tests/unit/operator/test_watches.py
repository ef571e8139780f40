"""What is watched of which kind, and what is kept of it."""

from typing import Any

import pytest

from modelservice_operator.constants import LABEL_NAME, OPERATOR_SELECTOR
from modelservice_operator.kinds import CONFIG_MAP, JOB, MODEL_SERVICE, OPTIONAL_KINDS, POD, WATCHED_KINDS
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Key, Kind
from modelservice_operator.watches import WATCHES, owner_by_label


def watch_of(kind: Kind) -> Watch:
    return next(watch for watch in WATCHES if watch.kind == kind)


def make(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": "a-train", "labels": {LABEL_NAME: "a"}}, **fields}


def test_every_kind_is_watched_once_and_children_by_our_label() -> None:
    assert tuple(watch.kind for watch in WATCHES) == WATCHED_KINDS
    assert {watch.label_selector for watch in WATCHES if watch.owned} == {OPERATOR_SELECTOR}
    assert [watch.kind for watch in WATCHES if watch.label_selector is None] == [MODEL_SERVICE]
    assert tuple(watch.kind for watch in WATCHES if watch.optional) == OPTIONAL_KINDS


def test_a_service_is_reconciled_for_itself_and_for_its_children() -> None:
    assert watch_of(MODEL_SERVICE).request({"metadata": {"namespace": "n", "name": "a"}}) == Key("n", "a")
    assert watch_of(JOB).request(make()) == Key("n", "a")


@pytest.mark.parametrize("labels", [{}, None, {LABEL_NAME: ""}])
def test_what_carries_no_name_belongs_to_nobody(labels: dict[str, str] | None) -> None:
    assert owner_by_label({"metadata": {"namespace": "n", "name": "x", "labels": labels}}) is None


def test_of_a_pod_the_node_is_kept_and_of_a_config_map_no_data() -> None:
    pod = make(spec={"nodeName": "n1", "containers": [{"name": "main"}]}, status={"phase": "Running"})
    kept = watch_of(POD).transform(pod)
    assert (kept["spec"], kept["status"]) == ({"nodeName": "n1"}, {"phase": "Running"})
    assert pod["spec"]["containers"], "what was given is not changed"
    assert set(watch_of(CONFIG_MAP).transform(make(data={"a": "x"}, binaryData={"b": "eA=="}))) == {"metadata"}
    job = make(spec={"template": {"spec": {}}})
    assert watch_of(JOB).transform(job) == job
