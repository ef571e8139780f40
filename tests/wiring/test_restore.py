"""A backup comes back beside a real garbage collector: what is served again without a training, and what is collected.

The order is that of Velero, which leaves owners, UIDs and status out: claims and ConfigMaps first, then other kinds by
the names of their resources, so ControllerRevisions and Deployments before ModelServices, and NetworkPolicies after
them. What is there already it leaves as it is.
"""

import asyncio
import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
from tests.support.cluster import kubectl
from tests.support.e2e import eventually as wait_until
from tests.support.fake_clock import eventually
from tests.wiring.test_converged import BASE, create, prepare, result_of, service, working
from tests.wiring.test_operator import namespace, run, settings_for  # noqa: F401

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.context import Context
from modelservice_operator.domain.metadata import controller_uid
from modelservice_operator.kinds import (
    CHILD_KINDS,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    MODEL_SERVICE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICA_SET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from modelservice_operator.objects import Kind, Ref

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]

Object = dict[str, Any]

NAME = "m"
FIRST = (PERSISTENT_VOLUME_CLAIM, SERVICE_ACCOUNT, CONFIG_MAP, POD, REPLICA_SET, SERVICE)
GIVEN_ANEW = ("uid", "resourceVersion", "generation", "creationTimestamp", "ownerReferences", "managedFields")


def resource(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}".rstrip(".")


OTHERS = tuple(sorted((kind for kind in (*CHILD_KINDS, MODEL_SERVICE) if kind not in FIRST), key=resource))
AS_VELERO = (*FIRST, *OTHERS)
RECORDS_LAST = (*(kind for kind in AS_VELERO if kind not in (CONTROLLER_REVISION, DEPLOYMENT)), CONTROLLER_REVISION)


def backup(namespace: str) -> list[Object]:  # noqa: F811
    """The ModelService and all that was made for it."""
    kinds = ",".join(map(resource, CHILD_KINDS))
    children = json.loads(run("get", kinds, "-n", namespace, "-l", f"{LABEL_NAME}={NAME}", "-o", "json"))["items"]
    return [json.loads(run("get", resource(MODEL_SERVICE), NAME, "-n", namespace, "-o", "json")), *children]


def restored(obj: Object) -> Object:
    """Without what Velero leaves out."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in GIVEN_ANEW}
    return {**{name: value for name, value in obj.items() if name != "status"}, "metadata": metadata}


def restore(objects: Sequence[Object], kinds: Sequence[Kind]) -> None:
    """Make what there is of these kinds, one kind after the other."""
    for kind in kinds:
        for obj in (obj for obj in objects if (obj["apiVersion"], obj["kind"]) == (kind.api_version, kind.kind)):
            done = kubectl("create", "-f", "-", input=json.dumps(restored(obj)))
            assert done.returncode == 0 or "already exists" in done.stderr, done.stderr


def uids(namespace: str, kind: Kind) -> dict[str, str]:  # noqa: F811
    items = json.loads(run("get", resource(kind), "-n", namespace, "-l", LABEL_NAME, "-o", "json"))["items"]
    return {obj["metadata"]["name"]: obj["metadata"]["uid"] for obj in items}


def ready(context: Context, namespace: str) -> Object:  # noqa: F811
    found = context.cache.get(Ref(MODEL_SERVICE, namespace, NAME)) or {}
    return next((one for one in found.get("status", {}).get("conditions", ()) if one["type"] == "Ready"), {})


def delete(namespace: str) -> None:  # noqa: F811
    """The ModelService is deleted, and the garbage collector takes all that it owned."""
    run("delete", resource(MODEL_SERVICE), NAME, "-n", namespace)
    wait_until(lambda: not any(uids(namespace, kind) for kind in CHILD_KINDS), what="nothing is left", seconds=60)


def is_taken_over(context: Context, namespace: str) -> bool:  # noqa: F811
    """Whether claim, record and what serves belong to the ModelService that is there."""
    live = context.cache.get(Ref(MODEL_SERVICE, namespace, NAME))
    children = context.cache.children(namespace, NAME)
    found = [children.get(kind, ()) for kind in (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION, DEPLOYMENT)]
    return (
        live is not None and all(found) and all(controller_uid(obj) == live["metadata"]["uid"] for obj in chain(*found))
    )


@pytest.mark.parametrize("order", [AS_VELERO, RECORDS_LAST], ids=["as Velero does", "records last"])
async def test_what_a_restore_brings_is_served_and_no_claim_is_lost(
    namespace: str,  # noqa: F811
    order: Sequence[Kind],
) -> None:
    settings = settings_for(namespace)
    prepare(namespace, [service(namespace, NAME, BASE)])
    create(result_of(json.loads(run("get", resource(MODEL_SERVICE), NAME, "-n", namespace, "-o", "json")), settings))
    async with working(settings) as (context, _):
        await eventually(lambda: is_taken_over(context, namespace), seconds=60)
        saved = await asyncio.to_thread(backup, namespace)
        await asyncio.to_thread(delete, namespace)
        await asyncio.to_thread(restore, saved, order[:1])
        claims = await asyncio.to_thread(uids, namespace, PERSISTENT_VOLUME_CLAIM)
        await asyncio.to_thread(restore, saved, order[1:-1])
        if order is RECORDS_LAST:
            await eventually(lambda: ready(context, namespace).get("reason") == "ClaimUnproven", seconds=60)
        await asyncio.to_thread(restore, saved, order[-1:])
        await eventually(lambda: is_taken_over(context, namespace), seconds=60)
        assert await asyncio.to_thread(uids, namespace, PERSISTENT_VOLUME_CLAIM) == claims
        assert not context.cache.children(namespace, NAME).get(JOB), "nothing is trained"


def test_what_comes_back_with_an_owner_that_is_gone_is_collected(namespace: str) -> None:  # noqa: F811
    prepare(namespace, [service(namespace, NAME, BASE)])
    before = json.loads(run("get", resource(MODEL_SERVICE), NAME, "-n", namespace, "-o", "json"))
    run("delete", resource(MODEL_SERVICE), NAME, "-n", namespace)
    create([service(namespace, NAME, BASE), *result_of(before, settings_for(namespace))])
    wait_until(lambda: not uids(namespace, PERSISTENT_VOLUME_CLAIM), what="the claim is collected", seconds=60)
    wait_until(lambda: not uids(namespace, CONTROLLER_REVISION), what="the record is collected", seconds=60)
