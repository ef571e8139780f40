"""Hundreds of ModelServices that come and go at once: nothing is left behind, in the cluster or in the operator."""

import asyncio
import json

import pytest
from tests.support.fake_clock import eventually
from tests.wiring.test_converged import BASE, Object, create, pass_over_all, service, working, writes
from tests.wiring.test_operator import namespace, run, settings_for  # noqa: F401

from modelservice_operator.constants import MANAGED_BY, MANAGED_BY_LABEL
from modelservice_operator.kinds import CHILD_KINDS, MODEL_SERVICE
from modelservice_operator.objects import Key, Ref

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]

CROWD = 300
OURS = ("-l", f"{MANAGED_BY_LABEL}={MANAGED_BY}", "-o", "json")
CHILDREN = ",".join(f"{kind.plural}.{kind.group}".rstrip(".") for kind in CHILD_KINDS)


def table(namespace: str) -> Object:  # noqa: F811
    metadata = {"namespace": namespace, "name": "data"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"table.csv": "y\n1\n"}}


async def test_three_hundred_that_are_made_and_deleted_at_once_leave_nothing(
    namespace: str,  # noqa: F811
) -> None:
    meta = {"namespace": namespace, "name": "no-pods"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"pods": "0"}}}
    create([quota, table(namespace)])
    crowd = [service(namespace, f"m{number}", BASE) for number in range(CROWD)]
    for one in crowd:
        one["spec"] = {**one["spec"], "data": {**one["spec"]["data"], "configMap": {"name": "data"}}}
    async with working(settings_for(namespace)) as (context, passes):
        await asyncio.to_thread(create, crowd)
        # Some have all their children by now, some a part of them, and of some nothing is there yet.
        await asyncio.to_thread(run, "delete", "--raw", MODEL_SERVICE.path(namespace))
        keys = [Key(namespace, one["metadata"]["name"]) for one in crowd]
        await eventually(lambda: not any(context.cache.get(Ref(MODEL_SERVICE, *key)) for key in keys), seconds=120)
        await pass_over_all(context, passes, keys)
        before = writes(context)
        await pass_over_all(context, passes, keys)
        assert writes(context) == before
        left = json.loads(await asyncio.to_thread(run, "get", CHILDREN, "-n", namespace, *OURS))["items"]
    # Kubernetes collects what belongs to owners that are gone, at its own pace.
    assert [one["metadata"]["name"] for one in left if not is_owned(one)] == []


def is_owned(child: Object) -> bool:
    """Whether it goes with a ModelService, or with what belongs to one."""
    return any(owner["kind"] in {MODEL_SERVICE.kind, "Job"} for owner in child["metadata"].get("ownerReferences", ()))
