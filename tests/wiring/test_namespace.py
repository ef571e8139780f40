"""A namespace with ModelServices is deleted, beside a real garbage collector: nothing of ours keeps it."""

import asyncio

import pytest
from tests.support.fake_clock import eventually
from tests.wiring.test_converged import BASE, prepare, service, working
from tests.wiring.test_operator import namespace, run, settings_for  # noqa: F401

from modelservice_operator.constants import FINALIZER
from modelservice_operator.kinds import JOB, MODEL_SERVICE
from modelservice_operator.objects import Ref

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]

WAITS = {"artifacts": {"uri": "s3://models", "deletionPolicy": "Delete"}}
"""With a finalizer, which waits for a Job that the namespace does not take any more."""


@pytest.mark.parametrize("runs", [True, False], ids=["the operator runs", "no operator runs"])
async def test_a_namespace_that_is_deleted_in_the_middle_of_a_training_goes(
    namespace: str,  # noqa: F811
    runs: bool,
) -> None:
    others = [service(namespace, "b", {**BASE, **WAITS})] if runs else []
    prepare(namespace, [service(namespace, "a", BASE), *others])
    settings = settings_for(namespace)
    names = [one["metadata"]["name"] for one in (service(namespace, "a", BASE), *others)]
    async with working(settings) as (context, _):
        await eventually(lambda: all(context.cache.children(namespace, name).get(JOB) for name in names), seconds=60)
        waits = context.cache.get(Ref(MODEL_SERVICE, namespace, "b")) or {"metadata": {}}
        assert (FINALIZER in waits["metadata"].get("finalizers", ())) is runs
        if runs:
            await asyncio.to_thread(run, "delete", "namespace", namespace, "--timeout=90s")
    if not runs:
        run("delete", "namespace", namespace, "--timeout=90s")
