"""What earlier releases wrote is valid, loads, serves and is adopted; see ``tests/data/released/README.md``."""

import asyncio
import json
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import release as writer
from tests.support.crd_compatibility import taken_away
from tests.support.release import (
    CHECKSUMS,
    FAILURES,
    RELEASED,
    ReleaseError,
    checksums,
    predictions,
    world_with,
    write_release,
)
from tests.support.world import NAMESPACE, World

from modelservice.contract.artifacts import Artifacts, VolumeClaim
from modelservice.contract.documents import read_document
from modelservice.contract.report import Report, Success
from modelservice.contract.resource import KIND, ModelService
from modelservice.families.torch_engine import load_torch_engine
from modelservice.inference.engine import EngineLoader
from modelservice.inference.onnx_engine import load_onnx_engine
from modelservice.inference.predictor import Predictor
from modelservice_operator.crd.crd import build_crd
from modelservice_operator.domain.builders.record import parse_record
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.stages import pipeline
from modelservice_operator.domain.stores import store_of
from modelservice_operator.kinds import DEPLOYMENT, JOB, MODEL_SERVICE
from modelservice_operator.objects import Object, Ref

TOLERANCE = 1e-5
"""Largest difference of a number in an answer: another version of a library may add in another order."""
QUANTISED_TOLERANCE = 0.02
"""The same for 8-bit weights, whose products CPUs without the newest instructions round in another way."""


class Release:
    """One folder of ``tests/data/released``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def keys(self) -> dict[str, Any]:
        """Digest of the data and keys of the stages, by resource."""
        return dict(_json(self.folder / "keys.json"))

    @cached_property
    def answers(self) -> dict[str, Any]:
        """What was asked and answered, by artifact."""
        return dict(_json(self.folder / "answers.json"))

    def objects(self, resource: str) -> list[Object]:
        """All objects of a resource's file."""
        text = (self.folder / "resources" / f"{resource}.yaml").read_text(encoding="utf-8")
        return list(yaml.load_all(text, Loader=yaml.CSafeLoader))

    def service(self, resource: str) -> ModelService:
        """The ModelService of a resource's file."""
        return ModelService.model_validate(next(one for one in self.objects(resource) if one["kind"] == KIND))

    def records(self, resource: str) -> list[Object]:
        """What was recorded of a resource, in the order of the stages."""
        stages = [stage for stage in self.keys[resource]["keys"] if f"{resource}-{stage}" in self.answers]
        return [_json(self.folder / "records" / f"{resource}-{stage}.json") for stage in stages]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


RELEASES = [Release(path) for path in sorted(RELEASED.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def each(kind: str) -> pytest.MarkDecorator:
    """Parametrize by release and resource, artifact, or recorded resource."""
    listed: dict[str, Callable[[Release], Iterable[str]]] = {
        "resource": lambda one: one.keys,
        "artifact": lambda one: one.answers,
        "recorded": lambda one: [resource for resource in one.keys if one.records(resource)],
    }
    found = [pytest.param(one, name, id=f"{one.folder.name}-{name}") for one in RELEASES for name in listed[kind](one)]
    return pytest.mark.parametrize(("release", "name"), found)


def test_there_is_a_release() -> None:
    assert RELEASES


@pytest.mark.parametrize("release", RELEASES, ids=lambda one: one.folder.name)
def test_nothing_of_it_was_touched(release: Release) -> None:
    assert checksums(release.folder) == (release.folder / CHECKSUMS).read_text(encoding="utf-8")


@each("resource")
def test_custom_resources_are_valid_and_have_the_same_keys(release: Release, name: str) -> None:
    digest = release.keys[name]["dataDigest"]
    found = {step.stage.name: step.key for step in pipeline(release.service(name).spec, digest)}
    assert found == release.keys[name]["keys"]


@pytest.mark.parametrize("release", RELEASES, ids=lambda one: one.folder.name)
def test_the_crd_takes_what_its_crd_stored(release: Release) -> None:
    old = yaml.load((release.folder / "crd.yaml").read_bytes(), Loader=yaml.CSafeLoader)
    assert list(taken_away(old, build_crd())) == []


@each("artifact")
def test_artifacts_load_and_are_served_with_the_same_answers(release: Release, name: str) -> None:
    asked = release.answers[name]
    folder = release.folder / "artifacts" / name
    engines: list[EngineLoader] = [
        load_onnx_engine,
        *([load_torch_engine] if (folder / "weights.safetensors").exists() else []),
    ]
    for engine in engines:
        model = Predictor.load(folder, digest=asked["digest"], engine=engine)
        found = asyncio.run(predictions(model, name=asked["name"], rows=asked["instances"]))
        tolerance = QUANTISED_TOLERANCE if model.manifest.stage == "compress" else TOLERANCE
        assert_close(found, asked["predictions"], tolerance)


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    """Numbers within the tolerance, everything else equal."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_close(found[key], expected[key], tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, tolerance)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)
    else:
        assert found == expected


@each("artifact")
def test_reports_and_records_are_read_and_tell_of_the_artifact(release: Release, name: str) -> None:
    report = read_document("the report", (release.folder / "reports" / f"{name}.json").read_bytes(), Report)
    assert isinstance(report.result, Success)
    record = parse_record(_json(release.folder / "records" / f"{name}.json")).record
    assert report.result.digest == record.artifact.digest == release.answers[name]["digest"]
    assert record.evaluation == report.result.evaluation
    assert record.key == report.result.key


@pytest.mark.parametrize("release", RELEASES, ids=lambda one: one.folder.name)
@pytest.mark.parametrize("name", FAILURES)
def test_reports_of_failures_are_read(release: Release, name: str) -> None:
    path = release.folder / "reports" / f"failure-{name}.json"
    assert read_document("the report", path.read_bytes(), Report).result == FAILURES[name].failure()


@each("recorded")
def test_what_was_left_is_adopted_and_nothing_is_trained_or_restarted(release: Release, name: str) -> None:
    deployment = _json(release.folder / "deployments" / f"{name}.json")
    world = world_left_by(release, name, deployment)
    world.roll_out()
    before = len(world.kube.writes)
    world.settle()
    assert_serves(world, release, name)
    assert world.one(DEPLOYMENT)["spec"]["template"] == deployment["spec"]["template"]
    assert {kind for _, kind, _ in world.writes_since(before)}.isdisjoint({"Job", "ControllerRevision"})


@each("recorded")
def test_records_alone_are_enough(release: Release, name: str) -> None:
    world = world_left_by(release, name)
    world.settle()
    world.roll_out()
    world.settle()
    assert_serves(world, release, name)


def assert_serves(world: World, release: Release, name: str) -> None:
    """Nothing was trained, the revision of the records serves, and they stand as they were written."""
    records = release.records(name)
    assert world.all(JOB) == []
    assert world.ready() == ("True", "Serving")
    assert (world.status()["revision"], world.status()["digest"]) == (1, records[-1]["data"]["artifact"]["digest"])
    found = {one["metadata"]["name"]: (one["revision"], one["data"]) for one in world.records()}
    assert found == {one["metadata"]["name"]: (one["revision"], one["data"]) for one in records}


def world_left_by(release: Release, name: str, *more: Object) -> World:
    """A cluster as a release left it, its status lost: the resource with its data, records and claims, and more."""
    world = world_with(release.objects(name))
    service = release.service(name)
    uid = world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]["uid"]
    owner = Owner(name=service.metadata.name, namespace=NAMESPACE, uid=uid)
    for obj in (*release.records(name), *more):
        references = [{**one, "uid": uid} for one in obj["metadata"]["ownerReferences"]]
        world.kube.store({**obj, "metadata": {**obj["metadata"], "ownerReferences": references}})
    artifacts = service.spec.artifacts or Artifacts(volume_claim=VolumeClaim())
    for record in release.records(name):
        for child in store_of(artifacts).children(artifacts, owner, record["data"]["key"]):
            world.kube.store({**child, "status": {"phase": "Bound"}})
    return world


class TestWriter:
    def test_writes_what_is_tested_here_and_never_twice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer, "RELEASED", tmp_path)
        folder = tmp_path / "9.9"
        write_release(folder, version="9.9", trained=("decision-tree.yaml",))
        (new,) = [Release(path) for path in tmp_path.iterdir()]
        test_nothing_of_it_was_touched(new)
        test_the_crd_takes_what_its_crd_stored(new)
        for name in new.keys:
            test_custom_resources_are_valid_and_have_the_same_keys(new, name)
        assert list(new.answers) == ["decision-tree-train"]
        test_artifacts_load_and_are_served_with_the_same_answers(new, "decision-tree-train")
        test_reports_and_records_are_read_and_tell_of_the_artifact(new, "decision-tree-train")
        test_what_was_left_is_adopted_and_nothing_is_trained_or_restarted(new, "decision-tree")
        test_records_alone_are_enough(new, "decision-tree")
        with pytest.raises(ReleaseError, match="never rewritten"):
            write_release(folder, version="9.9", trained=())
        assert writer.main(["9.9"]) == 1

    def test_an_interrupted_attempt_leaves_no_release(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(writer, "results_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_release(tmp_path / "9.9", version="9.9", trained=("decision-tree.yaml",))
        assert not (tmp_path / "9.9").exists()

    def test_a_version_is_needed(self) -> None:
        with pytest.raises(SystemExit):
            writer.main(["next"])
