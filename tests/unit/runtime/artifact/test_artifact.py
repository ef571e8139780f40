"""What is refused is the point of these tests: an artifact comes from a bucket or a volume that others may write."""

import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.runtime.stages.pipelines import produce, store, train_work

from modelservice.artifact import files as files_module
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import file_entries
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import load_artifact
from modelservice.artifact.stores.folder import write
from modelservice.contract.digests import sha256
from modelservice.contract.manifest import (
    ARCHITECTURE_FILE,
    CARD_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PREPROCESSING_FILE,
    REPORT_FILES,
    WEIGHTS_FILE,
)
from modelservice.contract.signature import SIGNATURE_FILE
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Produced


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture
def folder(trained: Produced, tmp_path: Path) -> Path:
    return store(trained, tmp_path / "model")


def load(folder: Path, **kwargs: Any) -> Artifact:
    return load_artifact(folder, **kwargs)


def rewrite(trained: Produced, folder: Path, changes: Mapping[str, bytes | None], **manifest: Any) -> Path:
    """An artifact whose hashes agree, so that only what is inside can be wrong."""
    files = {name: content for name, content in {**trained.files, **changes}.items() if content is not None}
    write(folder, trained.manifest.model_copy(update={"files": file_entries(files), **manifest}), files)
    return folder


def edit(content: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(content), **changes}).encode()


def test_an_artifact_consists_of_the_files_of_the_design(trained: Produced, folder: Path) -> None:
    common = {MANIFEST_FILE, SIGNATURE_FILE, PREPROCESSING_FILE, MODEL_FILE, METRICS_FILE}
    written = {entry.name for entry in folder.iterdir()}
    assert written - set(REPORT_FILES) == common | {ARCHITECTURE_FILE, WEIGHTS_FILE}
    assert CARD_FILE in written
    assert load(folder).contents == trained.files
    metrics = json.loads((folder / METRICS_FILE).read_bytes())
    assert {"kind", "schemaVersion", "train", "validation", "test", "curves"} <= metrics.keys()
    assert metrics["confusionMatrix"]["labels"] == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize("name", [MODEL_FILE, SIGNATURE_FILE, PREPROCESSING_FILE])
def test_what_every_artifact_has_must_be_listed(trained: Produced, tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=f"does not list {name}, which every artifact has"):
        load(rewrite(trained, tmp_path / "m", {name: None}))


def test_the_digest_is_the_sha256_of_the_manifest(folder: Path) -> None:
    digest = sha256((folder / MANIFEST_FILE).read_bytes())
    assert Predictor.load(folder, digest=digest).digest == digest


def test_another_digest_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="expected sha256:0"):
        Predictor.load(folder, digest="sha256:" + "0" * 64)


def test_nothing_in_it_depends_on_where_it_is(trained: Produced, tmp_path: Path) -> None:
    digests = {write(tmp_path / name / "m", trained.manifest, trained.files) for name in ("a", "b")}
    assert len(digests) == 1
    assert str(tmp_path).encode() not in b"".join(trained.files.values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_a_single_changed_byte_anywhere_is_noticed(folder: Path, data: Any) -> None:
    digest = sha256((folder / MANIFEST_FILE).read_bytes())
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    flipped = data.draw(st.integers(1, 255))
    path.chmod(0o644)
    path.write_bytes(before[:at] + bytes([before[at] ^ flipped]) + before[at + 1 :])
    try:
        with pytest.raises(ArtifactError):
            load(folder, digest=digest)
    finally:
        path.write_bytes(before)


def replace(path: Any, make: Any) -> None:
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / WEIGHTS_FILE).unlink(), "weights.safetensors is missing"),
        (lambda f: (f / MANIFEST_FILE).unlink(), "manifest.json is missing"),
        (lambda f: (f / "run.sh").touch(), "'run.sh' in .* is not listed"),
        (lambda f: (f / "folder").mkdir(), "'folder' in .* is not listed"),
        (lambda f: replace(f / WEIGHTS_FILE, Path.mkdir), "not a plain file"),
        (lambda f: replace(f / WEIGHTS_FILE, os.mkfifo), "not a plain file"),
        (lambda f: replace(f / METRICS_FILE, lambda p: p.symlink_to("/etc/passwd")), "cannot be read as a plain file"),
        (lambda f: replace(f / MANIFEST_FILE, lambda p: p.symlink_to("/etc/passwd")), "cannot be read as a plain file"),
        (lambda f: replace(f / METRICS_FILE, lambda p: p.write_bytes(b"{}")), "has 2 bytes, the manifest says"),
    ],
)
def test_what_is_not_as_listed_is_refused(folder: Path, damage: Callable[..., Any], words: str) -> None:
    damage(folder)
    with pytest.raises(ArtifactError, match=words):
        Predictor.load(folder)


def test_a_file_system_that_fails_says_nothing_of_the_artifact(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*_: object, **__: object) -> int:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", stale)
        with pytest.raises(OSError, match="Stale file handle"):
            load(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no artifact in .*: train a model first"):
        Predictor.load(tmp_path / "no")


@pytest.mark.parametrize("name", ["../manifest.json", "a/b", ".hidden", "", "a" * 200])
def test_names_that_lead_elsewhere_are_refused(folder: Path, name: Any) -> None:
    path = folder / MANIFEST_FILE
    content = json.loads(path.read_bytes())
    content["files"][name] = content["files"][WEIGHTS_FILE]
    path.chmod(0o644)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"manifest\.json is not valid"):
        load(folder)


def test_a_file_is_not_read_beyond_its_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MAX_DOCUMENT_BYTES", 10)
    with pytest.raises(ArtifactError, match="at most 10 are read"):
        load(folder)


def test_a_manifest_of_any_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / MANIFEST_FILE).open("wb") as sparse:
        sparse.truncate(2**40)
    with pytest.raises(ArtifactError, match="at most 1048576 are read"):
        load(tmp_path)


def test_unknown_optional_fields_are_ignored_where_they_only_describe(trained: Produced, tmp_path: Path) -> None:
    content = edit(trained.files[SIGNATURE_FILE], somethingNew={"a": 1})
    assert Predictor.load(rewrite(trained, tmp_path / "m", {SIGNATURE_FILE: content})).labels


def test_unknown_fields_are_refused_in_what_is_computed_by(trained: Produced, tmp_path: Path) -> None:
    content = edit(trained.files[PREPROCESSING_FILE], somethingNew={"a": 1})
    with pytest.raises(ArtifactError, match="somethingNew"):
        Predictor.load(rewrite(trained, tmp_path / "m", {PREPROCESSING_FILE: content}))


def test_a_minor_version_is_read_and_a_major_one_refused(trained: Produced, tmp_path: Path) -> None:
    assert Predictor.load(rewrite(trained, tmp_path / "a", {}, schema_version="1.9")).labels
    with pytest.raises(ArtifactError, match=r"schema version '2\.0', this release reads 1\.x: use a newer release"):
        Predictor.load(rewrite(trained, tmp_path / "b", {}, schema_version="2.0"))
    newer = edit(trained.files[PREPROCESSING_FILE], schemaVersion="2.0")
    with pytest.raises(ArtifactError, match=r"preprocessing\.json has schema version '2\.0'"):
        Predictor.load(rewrite(trained, tmp_path / "c", {PREPROCESSING_FILE: newer}))


def test_a_text_that_cannot_be_written_down_is_refused(trained: Produced, tmp_path: Path) -> None:
    """JSON has escapes for halves of characters, and whatever prints or stores them later would fail."""
    content = trained.files[SIGNATURE_FILE].replace(b"species", b"\\ud800")
    with pytest.raises(ArtifactError, match=r"signature\.json holds a text with half a character"):
        Predictor.load(rewrite(trained, tmp_path / "m", {SIGNATURE_FILE: content}))


def test_a_document_of_another_kind_is_refused(trained: Produced, tmp_path: Path) -> None:
    swapped = {PREPROCESSING_FILE: trained.files[SIGNATURE_FILE]}
    with pytest.raises(ArtifactError, match=r"preprocessing.json is of kind 'Signature'"):
        Predictor.load(rewrite(trained, tmp_path / "m", swapped))
