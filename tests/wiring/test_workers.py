"""What several workers are made of, as the apiserver takes it: of the longest name, and as many as there may be."""

from pathlib import Path

import pytest
import yaml
from tests.wiring.test_operator import Object, context, leading, namespace, settings_for  # noqa: F401

from modelservice.contract.base import MAX_NAME_LENGTH
from modelservice.contract.training import MAX_WORKERS
from modelservice_operator.context import Context
from modelservice_operator.domain.metadata import covers
from modelservice_operator.domain.names import job_name

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "workers.yaml"


def objects_of(namespace: str) -> list[Object]:  # noqa: F811
    """Job, Service and NetworkPolicy of the golden file, under the longest name."""
    text = GOLDEN.read_text(encoding="utf-8")
    name = job_name("a" * MAX_NAME_LENGTH, stage="train", key="b" * 8, attempt="c" * 4)
    (short,) = {one["metadata"]["name"] for one in yaml.safe_load_all(text) if one["kind"] == "Job"}
    found = [one for one in yaml.safe_load_all(text.replace(short, name)) if one["metadata"]["name"] == name]
    for one in found:
        one["metadata"] |= {"namespace": namespace}
        del one["metadata"]["ownerReferences"]
        if one["kind"] == "Job":
            # Whatever becomes of its pods: nobody is to make 64 of them.
            one["spec"] |= {"completions": MAX_WORKERS, "parallelism": MAX_WORKERS, "suspend": True}
    return [one for one in found if one["kind"] in {"Job", "Service", "NetworkPolicy"}]


async def test_the_apiserver_takes_what_workers_are_made_of_as_it_is(leading: Context, namespace: str) -> None:  # noqa: F811
    objects = objects_of(namespace)
    assert sorted(one["kind"] for one in objects) == ["Job", "NetworkPolicy", "Service"]
    for one in objects:
        stored = await leading.kube.apply(one, uid=None)
        assert covers(stored, one), one["kind"]
