"""``python -m tests.support.release VERSION``: what a release freezes, in ``tests/data/released/VERSION``, once.

Samples are run as on a laptop, and recorded by the operator in a cluster in memory. What is written is never written
again.
"""

import argparse
import asyncio
import csv
import hashlib
import io
import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from tests.support.helm import ROOT
from tests.support.samples import SAMPLES, objects, sample_table, trained_samples
from tests.support.world import NAMESPACE, World

from modelservice.artifact.stores import load_artifact
from modelservice.contract.data import Format
from modelservice.contract.failure import DataError, Failure, PassingError, StageError, StorageError
from modelservice.contract.keys import content_digest
from modelservice.contract.report import Report, Success
from modelservice.contract.resource import KIND, ModelService
from modelservice.contract.serving import Batching
from modelservice.contract.signature import ColumnKind, InputColumn, Signature
from modelservice.inference.predictor import Predictor
from modelservice.serving.core import Models, build_core, share
from modelservice.serving.costs import Costs
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.transports.http.server import build_front
from modelservice.stages.base import Produced
from modelservice.stages.documents import read_resource
from modelservice.stages.local import TRAINED_SUFFIX, run_locally
from modelservice_operator.domain.stages import pipeline
from modelservice_operator.kinds import DEPLOYMENT
from modelservice_operator.objects import Key, Object

RELEASED = ROOT / "tests" / "data" / "released"
CHECKSUMS = "SHA256SUMS"
CRD = ROOT / "manifests" / "crds" / "modelservice.dev_modelservices.yaml"
"""As it is released."""
TRAINED = (
    "minimal.yaml",
    "iris.yaml",
    "regression.yaml",
    "cnn.yaml",
    "logistic.yaml",
    "svm.yaml",
    "decision-tree.yaml",
    "random-forest.yaml",
    "gradient-boosting.yaml",
    "kernel-ridge.yaml",
    "compression.yaml",
    "object-storage.yaml",
)
"""Samples whose artifacts are kept: each family, task, modality, stage and store at least once."""
ROWS = 5
"""Rows that each artifact is asked about."""

FAILURES: dict[str, StageError] = {
    "data": DataError("TargetNotFound", "there is no column kind: name one of a, b", field="spec.data.target"),
    "stage": StageError("Diverged", "the loss is not finite", field="spec.training.optimizer"),
    "storage": StorageError("StorageFull", "the volume is full", field="spec.artifacts.volumeClaim.size"),
    "passing": PassingError("DataChanged", "the data changed after this Job was planned", field="spec.data"),
}
"""A failure of each kind that a stage reports."""

_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?")
_CHEAP = Costs(compute=((1, 1e-5), (64, 5e-5)), handover=1e-4)


class ReleaseError(Exception):
    """Why nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one stage of a sample came to, and where its artifact lies."""

    sample: str
    stage: str
    success: Success
    artifact: Path

    @property
    def name(self) -> str:
        """As its files are called."""
        return f"{self.sample}-{self.stage}"


def write_release(folder: Path, *, version: str, trained: Sequence[str] = TRAINED) -> None:
    """Write everything into a new folder, complete or not at all.

    Args:
        folder: where it goes; its name is the version.
        version: of the images that records name.
        trained: samples whose artifacts are kept.

    Raises:
        ReleaseError: the folder exists.
    """
    if folder.exists():
        raise ReleaseError(f"{folder} exists: what was released is never rewritten")
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # of an interrupted attempt
    for part in ("resources", "artifacts", "reports", "records", "deployments"):
        (draft / part).mkdir(parents=True)
    for path in trained_samples():
        shutil.copyfile(path, draft / "resources" / f"{resource_name(path)}.yaml")
    shutil.copyfile(CRD, draft / "crd.yaml")
    _write_json(draft / "keys.json", {resource_name(path): keys_of(path) for path in trained_samples()})
    for name, error in FAILURES.items():
        _write_report(draft / "reports" / f"failure-{name}.json", error.failure())
    answers = {}
    for path in (SAMPLES / name for name in trained):
        results = list(results_of(path, draft / "artifacts"))
        world = served_world(path, results, version=version)
        _write_json(draft / "deployments" / f"{resource_name(path)}.json", _lasting(world.one(DEPLOYMENT)))
        for record in world.records():
            name = f"{resource_name(path)}-{record['data']['stage']}.json"
            _write_json(draft / "records" / name, _lasting(record))
        for result in results:
            _write_report(draft / "reports" / f"{result.name}.json", result.success)
            answers[result.name] = answers_for(path, result)
    _write_json(draft / "answers.json", answers)
    (draft / CHECKSUMS).write_text(checksums(draft), encoding="utf-8")
    draft.rename(folder)


def resource_name(path: Path) -> str:
    """A sample's name: that of its file, or of its folder."""
    return path.stem if path.parent == SAMPLES else path.parent.name


def service_of(path: Path) -> ModelService:
    """The ModelService of a sample."""
    return read_resource(path).service


def keys_of(path: Path) -> dict[str, Any]:
    """The digest of a sample's data, and the key of each stage."""
    digest = content_digest(sample_table(path))
    return {
        "dataDigest": digest,
        "keys": {step.stage.name: step.key for step in pipeline(service_of(path).spec, digest)},
    }


def results_of(path: Path, artifacts: Path) -> Iterator[Result]:
    """Run a sample's stages, and move their artifacts where they are kept."""
    work = artifacts / ".work"
    finished = run_locally(read_resource(path), data=None, output=work / "result", observe=lambda _: None)
    sample, steps = resource_name(path), pipeline(service_of(path).spec, content_digest(sample_table(path)))
    for step in steps:
        made = (
            finished.folder if step is steps[-1] else finished.folder.with_name(finished.folder.name + TRAINED_SUFFIX)
        )
        kept = artifacts / f"{sample}-{step.stage.name}"
        made.rename(kept)
        artifact = load_artifact(kept)
        success = Produced.of_artifact(artifact).success(artifact.digest, {})
        yield Result(sample=sample, stage=step.stage.name, success=success, artifact=kept)
    shutil.rmtree(work)


def world_with(objects: Sequence[Object], **settings: Any) -> World:
    """A cluster with the objects of a resource's file, but for Secrets, which the operator never reads."""
    world = World(**settings)
    for obj in objects:
        if obj["kind"] == KIND:
            world.key = Key(NAMESPACE, obj["metadata"]["name"])
        if obj["kind"] != "Secret":
            world.kube.store({**obj, "metadata": {**obj["metadata"], "namespace": NAMESPACE}})
    return world


def served_world(path: Path, results: Sequence[Result], *, version: str) -> World:
    """A cluster in which the operator recorded results, and serves the last one.

    Raises:
        ReleaseError: the operator asked for something else than what was run.
    """
    images = {f"{part}_image": f"modelservice/{part}:{version}" for part in ("trainer", "server")}
    world = world_with(objects(path))
    world.restart_operator(**images)
    world.settle()
    for result in results:
        world.bind_claims()
        asked = world.end_stage(result.success)
        if asked != result.success.key:
            raise ReleaseError(f"{result.name}: the operator asks for key {asked}, and {result.success.key} was run")
        world.settle()
    world.roll_out()
    world.settle()
    if world.ready() != ("True", "Serving"):
        raise ReleaseError(f"{path.name} does not become Ready: {world.status()}")
    return world


def _lasting(obj: Object) -> Object:
    """An object without what an apiserver adds."""
    kept = {key: obj["metadata"][key] for key in ("name", "namespace", "labels", "annotations", "ownerReferences")}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": kept}


def answers_for(path: Path, result: Result) -> dict[str, Any]:
    """Some rows of a sample's data, and what the server answers."""
    model = Predictor.load(result.artifact)
    name = service_of(path).metadata.name
    rows = instances(path, model.signature)
    return {
        "name": name,
        "digest": model.digest,
        "instances": rows,
        "predictions": asyncio.run(predictions(model, name=name, rows=rows)),
    }


def instances(path: Path, signature: Signature) -> list[Any]:
    """Rows of a sample's data as requests have them, spread over the file."""
    spec, content = service_of(path).spec, sample_table(path)
    if any(not isinstance(one, InputColumn) for one in signature.inputs):
        assert spec.known_data.format_of("data.npz") is Format.NPZ
        arrays = np.load(io.BytesIO(content), allow_pickle=False)
        (images,) = (arrays[name] for name in arrays if name != spec.known_data.target)
        return [images[index].tolist() for index in _spread(len(images))]
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    columns = [one for one in signature.inputs if isinstance(one, InputColumn)]
    return [{one.name: _cell(rows[index][one.name], one) for one in columns} for index in _spread(len(rows))]


def _spread(count: int) -> Iterator[int]:
    return (index * count // ROWS for index in range(ROWS))


def _cell(text: str, column: InputColumn) -> str | float:
    return float(text) if column.type is ColumnKind.NUMBER else text


async def predictions(model: Predictor, *, name: str, rows: list[Any]) -> list[Any]:
    """What a server with this model answers over HTTP."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        common = share(executor=executor, lifecycle=Lifecycle())
        core = build_core(model, name=name, costs=_CHEAP, batching=Batching(), common=common)
        transport = httpx.ASGITransport(build_front(Models([core])))  # type: ignore[arg-type]  # narrower types than they need
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            answer = await client.post(f"/v1/models/{name}:predict", json={"instances": rows})
    assert answer.status_code == httpx.codes.OK, answer.text
    found: list[Any] = answer.json()["predictions"]
    return found


def checksums(folder: Path) -> str:
    """All files of a release but this list itself, as ``sha256sum -c`` reads them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files)
    return "".join(lines)


def _write_report(path: Path, result: Success | Failure) -> None:
    path.write_text(Report(result=result).to_message(), encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a release; exit code 1 where it exists."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.release", description=__doc__)
    parser.add_argument("version", help="such as 0.1: what is settled for all releases 0.1.x")
    version = parser.parse_args(arguments).version
    if not _VERSION.fullmatch(version):
        parser.error(f"{version!r} is no version, such as 0.1")
    try:
        write_release(RELEASED / version, version=version)
    except ReleaseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{RELEASED / version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
