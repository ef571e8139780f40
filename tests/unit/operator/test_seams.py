"""A stage and a store that nobody wrote yet: one module and one line each, then from the resource to a served model."""

from typing import Literal

import pytest
from tests.support.world import NAMESPACE, World, success

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.base import Tolerant
from modelservice.contract.keys import short_hash
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import WorkOrder
from modelservice_operator.domain import stages, stores
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.metadata import Children, Owner
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.records import ArtifactReference, StageRecord
from modelservice_operator.domain.stages import Assignment, JobSettings, Verdict
from modelservice_operator.domain.stages.base import pod_settings
from modelservice_operator.domain.stores import Access, Location, Portability
from modelservice_operator.kinds import CONFIG_MAP, DEPLOYMENT, JOB
from modelservice_operator.objects import Kind, Object, Ref


class DistillWork(Tolerant):
    stage: Literal["distill"] = "distill"
    teacher: str


class DistillOrder(WorkOrder):
    work: DistillWork  # type: ignore[assignment]  # a member of its own, which the contract does not know yet


class Distill:
    """A third stage, on top of both others."""

    name = "distill"
    condition = "Distilled"
    word = "Distilling"
    activity = "distilling"

    def asked_for(self, spec: ModelServiceSpec) -> bool:
        return spec.model.mlp is not None

    def key(self, spec: ModelServiceSpec, parent: str) -> str:
        return short_hash(["distill", parent], length=8)

    def job(self, spec: ModelServiceSpec) -> JobSettings:
        return JobSettings(
            pods=pod_settings(spec.training), section="spec.training", timeout_seconds=60, max_restarts=0
        )

    def reads(self, spec: ModelServiceSpec, data: DataState) -> DataState:
        return data

    def order(self, spec: ModelServiceSpec, assignment: Assignment) -> WorkOrder:
        assert assignment.parent is not None
        return DistillOrder(
            name=assignment.owner.name,
            namespace=assignment.owner.namespace,
            key=assignment.key,
            artifact=assignment.address,
            work=DistillWork(teacher=assignment.parent.address),
        )

    def verdict(self, record: StageRecord) -> Verdict:
        return Verdict(status=True, reason="Distilled", message=f"{record.parameters} parameters")


class ShelfArtifacts(Artifacts):
    shelf: str | None = None


class Shelf:
    """Artifacts on shelves, each entered in a ConfigMap."""

    choice = "shelf"
    schemes = ("shelf",)
    downloads = False

    def locate(self, artifacts: Artifacts, owner: Owner, key: str) -> Location:
        return Location(uri=f"shelf://{owner.name}/{key}")

    def settle(self, location: Location, artifacts: Artifacts, *, stored_as: str | None) -> Location:
        return location

    def recall(self, reference: ArtifactReference, artifacts: Artifacts) -> Location:
        return Location(uri=reference.uri)

    def settings(self, artifacts: Artifacts) -> object:
        return artifacts.chosen

    def children(self, artifacts: Artifacts, owner: Owner, key: str) -> tuple[Object, ...]:
        metadata = owner.metadata(keyed_name(owner.name, key), key=key)
        return ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"shelf": artifacts.chosen}},)

    def holders(self, location: Location) -> tuple[tuple[Kind, str], ...]:
        return ((CONFIG_MAP, self._entry(location)),)

    def holds(self, location: Location, children: Children) -> bool:
        return self._entry(location) in {entry["metadata"]["name"] for entry in children.get(CONFIG_MAP, ())}

    def leaving(self, location: Location, children: Children) -> Object | None:
        return None

    def unlike(self, location: Location, artifacts: Artifacts, children: Children) -> str:
        return ""

    def waiting(self, location: Location, children: Children) -> tuple[Object, ...]:
        return ()

    def access(
        self,
        location: Location,
        children: Children,
        *,
        volume: str,
        path: str,
        writable: bool,
        image_volumes: bool = False,
    ) -> Access:
        return Access(address=location.uri)

    def portability(self, location: Location, children: Children) -> Portability:
        return Portability(portable=True, reason="Shelf", message="every node has the shelf")

    def _entry(self, location: Location) -> str:
        return location.uri.removeprefix("shelf://").replace("/", "-")


def test_a_stage_that_is_registered_runs_after_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "STAGES", (*stages.STAGES, Distill()))
    world = World()
    world.config_map()
    world.service()
    world.settle()
    parent = world.end_stage()
    world.settle()
    assert world.ready() == ("False", "Distilling")
    assert world.status()["stage"] == "Distilling"
    assert world.order(world.job())["work"] == {
        "stage": "distill",
        "teacher": f"/var/lib/modelservice/parent/{parent}",
    }
    assert world.job()["spec"]["activeDeadlineSeconds"] == 60
    key = world.end_stage(success(world.order(world.job())["key"], stage="distill", parameters=7))
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.condition("Distilled")["message"] == "revision 1: 7 parameters"
    records = {record["data"]["stage"]: record for record in world.records()}
    assert {stage: record["revision"] for stage, record in records.items()} == {"train": 0, "distill": 1}
    assert records["distill"]["data"]["parent"] == parent
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == key


def test_a_store_that_is_registered_is_chosen_made_kept_and_cleaned_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "STORES", (*stores.STORES, Shelf()))
    world = World(default_artifacts=ShelfArtifacts(shelf="oak"))
    key = world.serve(revisionHistoryLimit=1)
    assert world.ready() == ("True", "Serving")
    assert world.condition("ArtifactsPortable")["reason"] == "Shelf"
    assert f"--model=shelf://churn/{key}" in world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["args"]
    assert world.status()["revisions"][0]["uri"] == f"shelf://churn/{key}"
    entry = Ref(CONFIG_MAP, NAMESPACE, f"churn-{key}")
    assert world.kube.objects[entry]["data"] == {"shelf": "oak"}
    world.service(training={"epochs": 2}, revisionHistoryLimit=1)
    second = world.run_stages()
    world.roll_out()
    world.settle()
    assert entry not in world.kube.objects
    del world.kube.objects[Ref(CONFIG_MAP, NAMESPACE, f"churn-{second}")]
    world.settle()
    assert len(world.all(JOB)) == 1, "what the store no longer holds is made again"
    assert world.order(world.job())["key"] == second
