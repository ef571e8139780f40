"""What is refused is the point of these tests: an artifact comes from a bucket or a volume that others may write."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights
from tests.unit.runtime.training.pipelines import pipeline, train_iris

from modelservice.artifact import files as files_module
from modelservice.artifact import store
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import load
from modelservice.contract.manifest import (
    ARCHITECTURE_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    PREPROCESSING_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
)
from modelservice.predictor import Predictor
from modelservice.training.run import Trained


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train_iris(pipeline(epochs=1))


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    store.write(tmp_path / "model", trained.manifest, trained.files)
    return tmp_path / "model"


def rewrite(trained: Trained, folder: Path, changes: dict[str, bytes | None], **manifest: str) -> Path:
    """An artifact whose hashes agree, so that only what is inside can be wrong."""
    files = {name: content for name, content in {**trained.files, **changes}.items() if content is not None}
    entries = store.file_entries(files)
    store.write(folder, trained.manifest.model_copy(update={"files": entries, **manifest}), files)
    return folder


def edit(content: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(content), **changes}).encode()


def test_an_artifact_consists_of_the_files_of_the_design(trained: Trained, folder: Path) -> None:
    names = {MANIFEST_FILE, SIGNATURE_FILE, PREPROCESSING_FILE, ARCHITECTURE_FILE, WEIGHTS_FILE, METRICS_FILE}
    assert {entry.name for entry in folder.iterdir()} == names
    assert load(folder).contents == trained.files
    metrics = json.loads((folder / METRICS_FILE).read_bytes())
    assert {"train", "validation", "test", "curves"} <= metrics.keys()
    assert metrics["test"]["confusionMatrix"]["labels"] == ["setosa", "versicolor", "virginica"]


def test_the_digest_is_the_sha256_of_the_manifest(folder: Path) -> None:
    digest = files_module.sha256((folder / MANIFEST_FILE).read_bytes())
    assert Predictor.load(folder, digest=digest).digest == digest


def test_another_digest_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="expected sha256:0"):
        Predictor.load(folder, digest="sha256:" + "0" * 64)


def test_nothing_in_it_depends_on_where_it_is(trained: Trained, tmp_path: Path) -> None:
    digests = {store.write(tmp_path / name / "m", trained.manifest, trained.files) for name in ("a", "b")}
    assert len(digests) == 1
    assert str(tmp_path).encode() not in b"".join(trained.files.values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_a_single_changed_byte_anywhere_is_noticed(folder: Path, data: Any) -> None:
    digest = files_module.sha256((folder / MANIFEST_FILE).read_bytes())
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


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="train a model first"):
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


@pytest.mark.parametrize("name", [SIGNATURE_FILE, PREPROCESSING_FILE, ARCHITECTURE_FILE])
def test_unknown_optional_fields_are_ignored_in_every_document(trained: Trained, tmp_path: Path, name: Any) -> None:
    content = edit(trained.files[name], somethingNew={"a": 1})
    assert Predictor.load(rewrite(trained, tmp_path / "m", {name: content})).labels


def test_a_minor_version_is_read_and_a_major_one_refused(trained: Trained, tmp_path: Path) -> None:
    assert Predictor.load(rewrite(trained, tmp_path / "a", {}, schema_version="1.9")).labels
    with pytest.raises(ArtifactError, match=r"schema version 2\.0, this release reads 1\.x: use a newer release"):
        Predictor.load(rewrite(trained, tmp_path / "b", {}, schema_version="2.0"))
    newer = edit(trained.files[PREPROCESSING_FILE], schemaVersion="2.0")
    with pytest.raises(ArtifactError, match=r"preprocessing\.json has schema version 2\.0"):
        Predictor.load(rewrite(trained, tmp_path / "c", {PREPROCESSING_FILE: newer}))


def weights_with(content: bytes, **changes: torch.Tensor | None) -> bytes:
    tensors = load_weights(content)
    return save_weights(
        {
            **{k: v for k, v in tensors.items() if k not in changes},
            **{name: tensor for name, tensor in changes.items() if tensor is not None},
        }
    )


@pytest.mark.parametrize(
    ("name", "forge", "words"),
    [
        (SIGNATURE_FILE, lambda c: edit(c, labels=["a", "b"]), "2 labels"),
        (SIGNATURE_FILE, lambda c: edit(c, inputs=json.loads(c)["inputs"][::-1]), "different columns"),
        (SIGNATURE_FILE, lambda _: b"[]", "signature.json is not valid"),
        (SIGNATURE_FILE, lambda _: None, "no signature.json"),
        (PREPROCESSING_FILE, lambda c: c.replace(b'"std": ', b'"std": -'), "preprocessing.json is not valid"),
        (PREPROCESSING_FILE, lambda _: b"\xff", "preprocessing.json is not valid"),
        (
            ARCHITECTURE_FILE,
            lambda c: edit(c, layers=[{"kind": "Exec", "code": "1"}]),
            "architecture.json is not valid",
        ),
        (
            ARCHITECTURE_FILE,
            lambda c: edit(
                c,
                layers=[
                    {"kind": "Linear", "inputs": 4, "outputs": 2**24},
                    {"kind": "Linear", "inputs": 2**24, "outputs": 3},
                ],
            ),
            "does not hold the weights",
        ),
        (WEIGHTS_FILE, lambda c: c[:-8], "weights.safetensors is not valid"),
        (WEIGHTS_FILE, lambda _: b"\x80\x04K\x01.", "weights.safetensors is not valid"),
        (WEIGHTS_FILE, lambda _: None, "no weights.safetensors"),
        (WEIGHTS_FILE, lambda c: weights_with(c, **{"0.bias": None}), "does not hold the weights"),
        (WEIGHTS_FILE, lambda c: weights_with(c, **{"0.bias": torch.zeros(9)}), "does not hold the weights"),
        (WEIGHTS_FILE, lambda c: weights_with(c, **{"0.bias": torch.zeros(8).double()}), "does not hold the weights"),
        (WEIGHTS_FILE, lambda c: weights_with(c, **{"0.bias": torch.full((8,), torch.nan)}), "not finite"),
    ],
)
def test_forged_documents_are_refused_in_words(
    trained: Trained, tmp_path: Path, name: Any, forge: Callable[..., Any], words: str
) -> None:
    folder = rewrite(trained, tmp_path / "m", {name: forge(trained.files[name])})
    with pytest.raises(ArtifactError, match=words):
        Predictor.load(folder)


def test_an_artifact_takes_the_place_of_another(trained: Trained, folder: Path, tmp_path: Path) -> None:
    other = trained.manifest.model_copy(update={"key": "new"})
    store.write(tmp_path / "next", other, trained.files)
    store.publish(tmp_path / "next", folder)
    assert load(folder).manifest.key == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt("Input/output")])
def test_the_old_one_comes_back_if_the_new_one_cannot_take_its_place(
    trained: Trained, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    store.write(tmp_path / "next", trained.manifest, trained.files)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "next":
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(type(error), match="Input/output"):
        store.publish(tmp_path / "next", folder)
    assert load(folder).manifest == trained.manifest


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda f: (f.mkdir(), (f / "notes.txt").touch()), "is no artifact"),
        (lambda f: f.touch(), "is no folder"),
        (lambda f: f.symlink_to("/tmp"), "is no folder"),  # noqa: S108
    ],
)
def test_only_artifacts_are_replaced(tmp_path: Path, prepare: Callable[..., Any], words: str) -> None:
    prepare(tmp_path / "there")
    with pytest.raises(ArtifactError, match=words):
        store.check_replaceable(tmp_path / "there")


def test_an_artifact_with_somebody_elses_file_is_not_replaced(folder: Path) -> None:
    (folder / "notes.txt").touch()
    with pytest.raises(ArtifactError, match=r"also holds 'notes\.txt'"):
        store.check_replaceable(folder)


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    store.check_replaceable(tmp_path)
