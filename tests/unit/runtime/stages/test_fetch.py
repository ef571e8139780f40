"""What was made elsewhere, in a pod and on a laptop: taken over byte for byte, or refused with a sentence."""

import base64
import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.helm import ROOT
from tests.support.object_server import ObjectServer, object_server
from tests.support.samples import SAMPLES, model_service, sample_table
from tests.unit.runtime.inference.graphs import linear
from tests.unit.runtime.stages.pipelines import IRIS, run_pod

import modelservice
from modelservice.artifact.load import Artifact
from modelservice.artifact.sealing import Sealed
from modelservice.artifact.stores import load_artifact
from modelservice.artifact.stores.folder import write
from modelservice.artifact.stores.objects import object_name
from modelservice.cli import main
from modelservice.contract.artifact_source import ArtifactSource
from modelservice.contract.digests import sha256
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import About, DataError, Failure, Retry, StageError, StorageError
from modelservice.contract.manifest import MANIFEST_FILE, MODEL_FILE
from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice.contract.report import Success
from modelservice.contract.signature import SIGNATURE_FILE
from modelservice.contract.work_order import FetchWork
from modelservice.modalities import objects as objects_module
from modelservice.packing.pack import pack
from modelservice.packing.settings import PackSettings
from modelservice.stages.documents import ResourceError

RELEASED = ROOT / "tests" / "data" / "released" / "0.1" / "artifacts"
ELSEWHERE = RELEASED / "iris-train"
URI = "s3://elsewhere/team/iris/abc"
FIELD = "spec.model.artifact"
PREFIX = "MODELSERVICE_DATA_"


@pytest.fixture(scope="module")
def trained() -> Artifact:
    """What another release of another cluster trained."""
    return load_artifact(ELSEWHERE)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with object_server(monkeypatch) as server:
        for name, value in server.variables("of-elsewhere").items():
            monkeypatch.setenv(f"{PREFIX}{name}", value)
        yield server


def put(store: ObjectServer, artifact: Artifact) -> None:
    """As a cluster stores it."""
    folder = URI.removeprefix("s3://")
    store.objects[f"{folder}/{MANIFEST_FILE}"] = artifact.manifest_bytes
    for name, entry in artifact.manifest.files.items():
        store.objects[f"{folder}/{object_name(name, entry)}"] = artifact.contents[name]


def put_folder(store: ObjectServer, folder: Path) -> None:
    """As a person copies it."""
    for path in folder.iterdir():
        store.objects[f"{URI.removeprefix('s3://')}/{path.name}"] = path.read_bytes()


def work_of(digest: str, *, uri: str = URI, file: str | None = None) -> FetchWork:
    return FetchWork(source=ArtifactSource(uri=uri, digest=digest), file=file, field=FIELD)


def run(root: Path, work: FetchWork) -> Success | Failure:
    return run_pod(root, work, data=root / "claim")


def refused(root: Path, work: FetchWork) -> Failure:
    result = run(root, work)
    assert isinstance(result, Failure)
    return result


def check_taken_over(root: Path, result: Success | Failure, trained: Artifact, uri: str = URI) -> None:
    assert isinstance(result, Success)
    assert (result.stage, result.key, result.digest, result.source) == ("fetch", "abc", trained.digest, uri)
    assert result.evaluation is not None
    assert load_artifact(root / "abc").manifest_bytes == trained.manifest_bytes, "by whatever release it was written"


def test_what_a_cluster_stored_is_taken_over(store: ObjectServer, tmp_path: Path, trained: Artifact) -> None:
    put(store, trained)
    check_taken_over(tmp_path, run(tmp_path, work_of(trained.digest)), trained)
    assert set(store.access_keys) == {"of-elsewhere"}
    store.objects.clear()
    again = run(tmp_path, work_of(trained.digest))
    check_taken_over(tmp_path, again, trained)


def test_a_folder_that_was_copied_to_a_bucket_is(store: ObjectServer, tmp_path: Path, trained: Artifact) -> None:
    put_folder(store, ELSEWHERE)
    check_taken_over(tmp_path, run(tmp_path, work_of(trained.digest)), trained)


@pytest.mark.parametrize("missing", [(403, "AccessDenied"), (200, "a page of the server's own"), (200, "x" * 100_000)])
def test_a_copied_folder_is_found_whatever_is_said_of_what_is_missing(
    store: ObjectServer, tmp_path: Path, trained: Artifact, missing: tuple[int, str]
) -> None:
    """S3 says 403 to those who may not list."""
    store.missing = missing
    put_folder(store, ELSEWHERE)
    check_taken_over(tmp_path, run(tmp_path, work_of(trained.digest)), trained)
    assert len(store.asked) <= 2 + len(trained.contents), "it is found out once"


def test_what_is_not_there_is_said_as_the_store_does(store: ObjectServer, tmp_path: Path, trained: Artifact) -> None:
    put_folder(store, ELSEWHERE)
    store.missing = (403, "AccessDenied")
    torn_copy = f"{URI.removeprefix('s3://')}/{MODEL_FILE}"
    del store.objects[torn_copy]
    failure = refused(tmp_path, work_of(trained.digest))
    assert failure.reason == "ArtifactNotRead"
    assert "S3 says the same of an object that is not there" in failure.message


def test_a_file_inflates_to_its_listed_size_and_no_further(
    store: ObjectServer, tmp_path: Path, trained: Artifact
) -> None:
    put(store, trained)
    entry = trained.manifest.files[MODEL_FILE]
    bomb = gzip.compress(b"\0" * (entry.size + 1), mtime=0)
    assert len(bomb) < entry.size
    store.objects[f"{URI.removeprefix('s3://')}/{object_name(MODEL_FILE, entry)}"] = bomb
    failure = refused(tmp_path, work_of(trained.digest))
    assert failure.reason == "ArtifactInvalid"
    assert f"has more than the {entry.size} bytes that are read" in failure.message


@pytest.mark.parametrize("copied", [False, True])
def test_what_another_cluster_encrypted_is_read_with_its_key(
    store: ObjectServer, tmp_path: Path, trained: Artifact, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    form = Sealed(b"k" * 32)
    contents = {MANIFEST_FILE: (MANIFEST_FILE, trained.manifest_bytes)}
    for name, entry in trained.manifest.files.items():
        contents[name] = (name if copied else object_name(name, entry, form), trained.contents[name])
    for name, (path, content) in contents.items():
        store.objects[f"{URI.removeprefix('s3://')}/{path}"] = b"".join(form.store(name, [content]))
    failure = refused(tmp_path, work_of(trained.digest))
    assert (failure.reason, failure.field) == ("EncryptionKeyMissing", "spec.artifacts.encryption.secretRef")
    assert f"manifest.json in {URI} is encrypted with the key of id {form.key_id.hex()}" in failure.message
    (tmp_path / "key").write_bytes(base64.b64encode(b"k" * 32))
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, str(tmp_path / "key"))
    check_taken_over(tmp_path, run(tmp_path, work_of(trained.digest)), trained)
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, "")
    with pytest.raises(StorageError, match="encrypted"):
        load_artifact(tmp_path / "abc")


def test_what_lies_on_a_claim_is(tmp_path: Path, trained: Artifact) -> None:
    shutil.copytree(ELSEWHERE, tmp_path / "claim" / "qp2iu6b5")
    uri = "pvc://iris-qp2iu6b5/qp2iu6b5"
    result = run(tmp_path, work_of(trained.digest, uri=uri, file="qp2iu6b5"))
    check_taken_over(tmp_path, result, trained, uri)


def test_another_one_in_its_place_is_made_anew(tmp_path: Path, trained: Artifact) -> None:
    shutil.copytree(ELSEWHERE, tmp_path / "claim" / "a")
    shutil.copytree(RELEASED / "logistic-train", tmp_path / "abc")
    result = run(tmp_path, work_of(trained.digest, uri="pvc://c/a", file="a"))
    assert isinstance(result, Success)
    assert load_artifact(tmp_path / "abc").digest == trained.digest


def test_what_was_packed_has_no_metrics(store: ObjectServer, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(linear().SerializeToString())
    packed = pack(tmp_path / "m.onnx", PackSettings()).artifact
    put(store, packed)
    result = run(tmp_path, work_of(packed.digest))
    assert isinstance(result, Success)
    assert (result.family, result.task, result.evaluation, result.data) == ("onnx", "Tensors", None, None)


def changed_manifest(store: ObjectServer, place: str, trained: Artifact) -> None:
    store.objects[f"{place}/{MANIFEST_FILE}"] += b" "


def newer_format(store: ObjectServer, place: str, trained: Artifact) -> None:
    raw = trained.manifest_bytes.replace(b'"schemaVersion": "1.0"', b'"schemaVersion": "2.0"')
    store.objects[f"{place}/{MANIFEST_FILE}"] = raw


def torn(store: ObjectServer, place: str, trained: Artifact) -> None:
    del store.objects[f"{place}/{object_name(MODEL_FILE, trained.manifest.files[MODEL_FILE])}"]


def damaged(store: ObjectServer, place: str, trained: Artifact) -> None:
    path = f"{place}/{object_name(SIGNATURE_FILE, trained.manifest.files[SIGNATURE_FILE])}"
    store.objects[path] = store.objects[path][:-1] + b" "


def nothing(store: ObjectServer, place: str, trained: Artifact) -> None:
    store.objects.clear()


def no_artifact(store: ObjectServer, place: str, trained: Artifact) -> None:
    store.objects[f"{place}/{MANIFEST_FILE}"] = b'{"name": "of something else"}'


def too_large(store: ObjectServer, place: str, trained: Artifact) -> None:
    store.objects[f"{place}/{MANIFEST_FILE}"] = b" " * (2**20 + 1)


SPOILT: dict[Callable[..., None], tuple[bool, str, str]] = {
    changed_manifest: (False, "ArtifactChanged", "is asked for: name the one that you mean"),
    newer_format: (True, "ArtifactInvalid", "has schema version '2.0', this release reads 1.x: use a newer release"),
    torn: (False, "ArtifactInvalid", f"model.onnx is missing in {URI}: put the whole artifact there"),
    damaged: (False, "ArtifactInvalid", f"signature.json in {URI} is not what the manifest lists"),
    nothing: (False, "ArtifactNotFound", "has no manifest.json: correct spec.model.artifact.uri, or put an artifact"),
    no_artifact: (True, "ArtifactInvalid", "manifest.json is of kind 'None', expected Manifest"),
    too_large: (False, "ArtifactInvalid", f"manifest.json in {URI} has more than the 1048576 bytes"),
}
"""What is wrong with what lies there, whether its digest is the one that is asked for, and what is said."""


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_cannot_be_trusted_is_refused(
    store: ObjectServer, tmp_path: Path, trained: Artifact, spoil: Callable[..., None]
) -> None:
    put(store, trained)
    place = URI.removeprefix("s3://")
    spoil(store, place, trained)
    is_meant, reason, sentence = SPOILT[spoil]
    digest = sha256(store.objects[f"{place}/{MANIFEST_FILE}"]) if is_meant else trained.digest
    failure = refused(tmp_path, work_of(digest))
    assert failure.reason == reason
    assert sentence in failure.message
    assert (failure.about, failure.retry) == (About.STORAGE, Retry.ON_CHANGE)
    assert not (tmp_path / "abc").exists()


def test_a_bucket_that_is_away_is_asked_again(store: ObjectServer, tmp_path: Path, trained: Artifact) -> None:
    store.refusals, store.for_ever = [(503, "SlowDown")], True
    failure = refused(tmp_path, work_of(trained.digest))
    assert (failure.reason, failure.retry) == ("StorageUnavailable", Retry.SOON)


def test_keys_that_may_not_name_the_field_of_the_secret(store: ObjectServer, tmp_path: Path, trained: Artifact) -> None:
    store.refusals, store.for_ever = [(403, "AccessDenied")], True
    failure = refused(tmp_path, work_of(trained.digest))
    assert (failure.reason, failure.field) == ("ArtifactNotRead", FIELD)
    assert "spec.model.artifact.secretRef" in failure.message
    assert "spec.data" not in failure.message


def test_links_on_a_claim_are_not_followed(tmp_path: Path, trained: Artifact) -> None:
    (tmp_path / "claim").mkdir()
    folder = tmp_path / "claim" / "a"
    shutil.copytree(ELSEWHERE, folder)
    (folder / MODEL_FILE).unlink()
    (folder / MODEL_FILE).symlink_to(ELSEWHERE / MODEL_FILE)
    failure = refused(tmp_path, work_of(trained.digest, uri="pvc://c/a", file="a"))
    assert "model.onnx cannot be read as a plain file" in failure.message


def resource(digest: str, *, uri: str = "pvc://iris/abc", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "iris"},
        "spec": {"model": {"artifact": {"uri": uri, "digest": digest}}, **spec},
    }


def test_a_laptop_takes_it_over_from_a_copy_or_from_where_it_lies(
    store: ObjectServer, tmp_path: Path, trained: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    model = modelservice.train(resource(trained.digest), output=output, artifact=ELSEWHERE)
    assert model.digest == load_artifact(output).digest == trained.digest
    put(store, trained)
    for name, value in store.variables().items():
        monkeypatch.setenv(name, value)
    assert modelservice.train(resource(trained.digest, uri=URI), output=output).digest == trained.digest


def test_a_copy_that_was_encrypted_is_read_with_the_key_that_is_named(
    tmp_path: Path, trained: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, "")
    write(tmp_path / "sealed", trained.manifest, trained.contents, form=Sealed(b"k" * 32), raw=trained.manifest_bytes)
    (tmp_path / "key").write_bytes(base64.b64encode(b"k" * 32))
    (tmp_path / "art.yaml").write_text(json.dumps(resource(trained.digest)))
    said = ["-f", str(tmp_path / "art.yaml"), "--artifact", str(tmp_path / "sealed"), "--output", str(tmp_path / "out")]
    with pytest.raises(StorageError, match="on a laptop name its file with --encryption-key") as error:
        modelservice.train(resource(trained.digest), output=tmp_path / "out", artifact=tmp_path / "sealed")
    assert error.value.reason == "EncryptionKeyMissing"
    assert main(["train", *said, "--encryption-key", str(tmp_path / "key")]) == ExitCode.DONE
    assert load_artifact(tmp_path / "out", digest=trained.digest).manifest == trained.manifest


def test_a_copy_that_is_none_is_at_fault_itself(tmp_path: Path, trained: Artifact) -> None:
    said = resource(trained.digest)
    with pytest.raises(
        StorageError, match=r"nope has no manifest\.json: correct --artifact, or put an artifact"
    ) as error:
        modelservice.train(said, output=tmp_path / "out", artifact=tmp_path / "nope")
    assert "pvc://" not in error.value.message
    shutil.copytree(ELSEWHERE, tmp_path / "torn")
    (tmp_path / "torn" / MODEL_FILE).unlink()
    with pytest.raises(StorageError, match=r"torn: put the whole artifact there, or name another one in --artifact"):
        modelservice.train(said, output=tmp_path / "out", artifact=tmp_path / "torn")


def test_a_laptop_says_what_it_cannot_use(tmp_path: Path, trained: Artifact) -> None:
    output = tmp_path / "out"
    with pytest.raises(ResourceError, match="is a claim of a cluster: copy its folder here, and name it with --art"):
        modelservice.train(resource(trained.digest), output=output)
    with pytest.raises(ResourceError, match=r"spec\.model\.artifact was trained elsewhere, and reads no data"):
        modelservice.train(resource(trained.digest), data=IRIS, output=output, artifact=ELSEWHERE)
    spec = {"data": {"configMap": {"name": "d"}, "target": "species"}, "model": {"logistic": {}}}
    with pytest.raises(ResourceError, match=r"--artifact is a copy of what spec\.model\.artifact names, which is not"):
        modelservice.train({**resource(trained.digest), "spec": spec}, data=IRIS, output=output, artifact=ELSEWHERE)
    with pytest.raises(ResourceError, match="digest: 'sha256:1234': must be sha256: and 64 digits of 0-9a-f, as"):
        modelservice.train(resource("sha256:1234"), output=output, artifact=ELSEWHERE)
    with pytest.raises(StorageError, match="is asked for: name the one that you mean"):
        modelservice.train(resource("sha256:" + "0" * 64), output=output, artifact=ELSEWHERE)


def test_the_sample_is_what_another_cluster_trained(
    store: ObjectServer, tmp_path: Path, trained: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = SAMPLES / "artifact.yaml"
    source = model_service(sample)["spec"]["model"]["artifact"]
    assert source["digest"] == trained.digest
    for path in ELSEWHERE.iterdir():
        store.objects[f"{source['uri'].removeprefix('s3://')}/{path.name}"] = path.read_bytes()
    for name, value in store.variables().items():
        monkeypatch.setenv(name, value)
    model = modelservice.train(sample, output=tmp_path / "out")
    assert model.predict([[5.1, 3.5, 1.4, 0.2]]) == ["setosa"]


def test_it_is_compressed_with_the_data_that_it_was_trained_on(tmp_path: Path, trained: Artifact) -> None:
    released = RELEASED.parent / "resources" / "iris.yaml"
    data = model_service(released)["spec"]["data"]
    spec: dict[str, Any] = {"data": data, "compression": {"maxAccuracyDrop": 0.2, "steps": [{"quantize": {}}]}}
    output = tmp_path / "out"
    said = resource(trained.digest, **spec)
    rows = tmp_path / "iris.csv"
    rows.write_bytes(sample_table(released))
    model = modelservice.train(said, data=rows, output=output, artifact=ELSEWHERE)
    assert model.manifest.parent is not None
    assert model.manifest.parent.digest == trained.digest
    other = tmp_path / "other.csv"
    other.write_bytes(b"\n".join(sample_table(released).split(b"\n")[:100]) + b"\n")
    with pytest.raises(DataError, match=r"with model\.artifact name the data and settings that it was trained with"):
        modelservice.train(said, data=other, output=output, artifact=ELSEWHERE)


def test_what_was_packed_is_not_compressed(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(linear().SerializeToString())
    packed = pack(tmp_path / "m.onnx", PackSettings())
    write(tmp_path / "packed", packed.manifest, packed.files)
    spec: dict[str, Any] = {
        "data": {"configMap": {"name": "d"}, "target": "species"},
        "compression": {"steps": [{"quantize": {}}]},
    }
    with pytest.raises(
        StageError, match="m does not say on what it was trained, so that no test rows can judge"
    ) as error:
        modelservice.train(
            resource(packed.artifact.digest, **spec), data=IRIS, output=tmp_path / "out", artifact=tmp_path / "packed"
        )
    assert error.value.reason == "NotCompressible"
