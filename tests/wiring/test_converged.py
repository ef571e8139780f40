"""What is allowed and unusual converges: after a few passes nothing is written any more, whatever a spec says.

What the apiserver stores of an empty, a smallest or a largest value may differ from what was sent, and a comparison
that takes this for a difference writes for ever. The specs come from the CRD's schema. A quota lets no pod be made, so
that nothing but the operator and the controllers of what it writes moves.
"""

import asyncio
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.corners import corners, packed, spec_schema
from tests.support.fake_clock import eventually
from tests.support.world import compressed, success
from tests.wiring.test_operator import namespace, run, settings_for  # noqa: F401

from modelservice.contract.digests import joined
from modelservice.contract.keys import content_digest
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.context import Context
from modelservice_operator.domain.builders.record import build_record
from modelservice_operator.domain.data import declared_data
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.records import Revision, record_of
from modelservice_operator.domain.stages import pipeline
from modelservice_operator.domain.stores import settled_artifacts, store_of
from modelservice_operator.kinds import CHILD_KINDS, DEPLOYMENT, JOB, MODEL_SERVICE
from modelservice_operator.main import open_context, operate
from modelservice_operator.objects import Key, Kind
from modelservice_operator.reconciler import Reconciler

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]

Object = dict[str, Any]

BASE: Object = {"data": {"configMap": {"name": "data"}, "target": "y"}, "model": {"mlp": {}}}
FETCHED: Object = {"model": {"artifact": {"uri": "s3://models/iris", "digest": f"sha256:{'0' * 64}"}}}
PRETRAINED: Object = {"model": {"pretrained": {"uri": "s3://models/minilm"}}}
"""What is not trained needs no data."""
SIZED: Object = {**BASE, "serving": {"resources": {"requests": {"memory": "1Gi"}}}}
"""Of what pods ask for, a share may be aimed at."""
TABLE = "y\n1\n"
LONGEST_KEY = 253
QUIET_ROUNDS, MOST_WRITES = 3, 30
"""Passes over all in which nothing is written, after which the next one reads the same again; and how often one object
is written until then. Controllers still move, and come to one object after the other while passes go on."""
PATIENCE = 300
"""Seconds for what takes ten: the machine may be busy."""


def holds(spec: Object) -> bool:
    try:
        ModelServiceSpec.model_validate(spec)
    except ValidationError:
        return False
    return True


def sides(spec: Object) -> list[str]:
    """Files of single sides: keys of the ConfigMap."""
    files: Mapping[str, str] = spec.get("data", {}).get("split", {}).get("files", {})
    return [files[side] for side in ("validation", "test") if side in files]


def asks_an_encoder(spec: Object) -> bool:
    """Whether it is trained only once another ModelService answers."""
    return "service" in spec.get("model", {}).get("encoder", {})


def is_made(spec: Object) -> bool:
    """Whether an apiserver makes its claim, none of which is of size 0 (what is refused is tried again and again), and
    the keys of its ConfigMap, which are short."""
    size = spec.get("artifacts", {}).get("volumeClaim", {}).get("size")
    return size not in (0, "0") and all(len(key) <= LONGEST_KEY for key in sides(spec))


@functools.cache
def specs_of_all_corners() -> tuple[Object, ...]:
    """Specs for all corners; the last one, in which no others would be seen, is suspended."""
    found = corners(spec_schema(), BASE, holds=holds, others=[FETCHED, PRETRAINED, SIZED])
    assert [path for path, specs in found.items() if not specs] == [], "a field without any value"
    specs = [spec for some in found.values() for spec in some if is_made(spec) and not spec.get("suspend")]
    fetched = [spec for spec in specs if "data" not in spec]
    specs = packed([spec for spec in specs if spec not in fetched], BASE, holds=holds)
    return (*specs, *fetched, {**BASE, "suspend": True})


def model_services(namespace: str) -> list[Object]:  # noqa: F811
    """ModelServices with these specs."""
    return [service(namespace, f"v{number}", spec) for number, spec in enumerate(specs_of_all_corners())]


def service(namespace: str, name: str, spec: Object) -> Object:  # noqa: F811
    """A ModelService whose ConfigMap is its own."""
    if "configMap" in spec.get("data", {}):
        spec = {**spec, "data": {**spec["data"], "configMap": {**spec["data"]["configMap"], "name": name}}}
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": MODEL_SERVICE.api_version, "kind": MODEL_SERVICE.kind, "metadata": metadata, "spec": spec}


def create(objects: list[Object]) -> None:
    run("create", "-f", "-", document={"apiVersion": "v1", "kind": "List", "items": objects})


def prepare(namespace: str, services: list[Object]) -> None:  # noqa: F811
    """No pods; the data; then the ModelServices."""
    meta = {"namespace": namespace}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {**meta, "name": "no-pods"}}
    objects: list[Object] = [{**quota, "spec": {"hard": {"pods": "0"}}}]
    for one in services:
        if (source := one["spec"].get("data", {}).get("configMap")) is not None:
            data = dict.fromkeys((source.get("key", "table.csv"), *sides(one["spec"])), TABLE)
            config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": source["name"]}}
            objects.append({**config_map, "data": data})
    create([*objects, *services])


def result_of(stored: Object, settings: Settings) -> list[Object]:
    """What a training would have left: the record, and what its store keeps."""
    metadata, spec = stored["metadata"], ModelServiceSpec.model_validate(stored["spec"])
    owner = Owner(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
    digest = declared.digest if (declared := declared_data(spec)) is not None else _table_digest(spec)
    last = pipeline(spec, digest)[-1]
    artifacts = settled_artifacts(spec, settings)
    store = store_of(artifacts)
    location = store.locate(artifacts, owner, last.key)
    made = {} if spec.is_trained else {"stage": "fetch"}
    made |= {} if spec.fetched is None else {"digest": spec.fetched.digest}
    report = compressed(last.key) if last.stage.name == "compress" else success(last.key, **made)
    record = record_of(
        report, parent=last.parent, uri=location.uri, secret=location.secret, data_digest=str(digest), image="trainer:1"
    )
    return [*store.children(artifacts, owner, last.key), build_record(owner, Revision(number=1, record=record))]


def _table_digest(spec: ModelServiceSpec) -> str:
    return joined([content_digest(TABLE.encode())] * (1 + len(spec.known_data.split.given_files)))


class Passes:
    """A reconciler that counts its passes."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self.done: Counter[Key] = Counter()

    async def reconcile(self, key: Key) -> float | None:
        seconds = await self._reconciler.reconcile(key)
        self.done[key] += 1
        return seconds


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[tuple[Context, Passes]]:
    """The operator, without what it asks beside its passes about what is stuck: each pod that is refused has a name of
    its own."""
    async with open_context(settings) as context:
        reconciler = Reconciler(
            kube=context.kube,
            progress=context.progress,
            cache=context.cache,
            settings=settings,
            clock=context.clock,
            on_change=context.queue.add,
        )
        passes = Passes(reconciler)
        task = asyncio.create_task(operate(context, passes, beside=reconciler.lookups[:1]))
        try:
            yield context, passes
        finally:
            context.lifecycle.stop.set()
            await task


def writes(context: Context) -> Mapping[str, float]:
    """How many writes of which kind were sent so far."""
    samples = (sample for metric in context.metrics.writes.collect() for sample in metric.samples)
    return {
        f"{sample.labels['verb']} {sample.labels['kind']}": sample.value
        for sample in samples
        if sample.name.endswith("_total")
    }


async def versions(context: Context) -> Mapping[str, str]:
    """Versions of the ModelServices, and of all that was made for them."""
    return {
        f"{kind.kind} {one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for kind in (MODEL_SERVICE, *CHILD_KINDS)
        for one in await context.kube.list_metadata(kind)
    }


async def pass_over_all(context: Context, passes: Passes, keys: list[Key]) -> None:
    """One more pass over each ModelService, which begins now."""
    before = passes.done.copy()
    for key in keys:
        context.queue.add(key)
    await eventually(lambda: all(passes.done[key] > before[key] for key in keys), seconds=PATIENCE)


@pytest.mark.parametrize("kind", [JOB, DEPLOYMENT], ids=["training", "serving"])
async def test_whatever_a_spec_says_nothing_is_written_once_it_is_done(namespace: str, kind: Kind) -> None:  # noqa: F811
    settings, services = settings_for(namespace), model_services(namespace)
    prepare(namespace, services)
    if kind == DEPLOYMENT:
        stored = json.loads(run("get", "modelservices", "-n", namespace, "-o", "json"))["items"]
        create([obj for one in stored for obj in result_of(one, settings)])
    keys = [Key(namespace, one["metadata"]["name"]) for one in services]
    # One is suspended, and some are heads of an encoder that is not there.
    away = {one["metadata"]["name"] for one in services if one["spec"].get("suspend") or asks_an_encoder(one["spec"])}
    going = [key for key in keys if key.name not in away or kind == DEPLOYMENT]
    async with working(settings) as (context, passes):
        await eventually(lambda: all(context.cache.children(*key).get(kind) for key in going), seconds=PATIENCE)
        quiet, before, seen, written = 0, writes(context), await versions(context), Counter[str]()
        while quiet < QUIET_ROUNDS:
            await pass_over_all(context, passes, keys)
            after, now = writes(context), await versions(context)
            sent = {what: count - before.get(what, 0) for what, count in after.items() if count != before.get(what)}
            changed = [name for name in now.keys() | seen.keys() if seen.get(name) != now.get(name)]
            quiet = 0 if sent or changed else quiet + 1
            written.update(changed or sent.keys())
            again = {name: count for name, count in written.items() if count > MOST_WRITES}
            assert not again, f"something is written again and again: {again}; last {sent}, {sorted(changed)}"
            before, seen = after, now
    for one in json.loads(run("get", "modelservices", "-n", namespace, "-o", "json"))["items"]:
        ready = next(said for said in one["status"]["conditions"] if said["type"] == "Ready")
        assert ready["reason"] != "FoughtOver", f"{ready['message']}: {json.dumps(one['spec'])}"
