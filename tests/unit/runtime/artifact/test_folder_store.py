"""An artifact in a folder: nothing is replaced that is not ours, and at no time there is none."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.stages.pipelines import produce, store, train_work

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.stores import folder as folder_module
from modelservice.artifact.stores import load_artifact, open_store
from modelservice.artifact.stores.folder import STALE_SECONDS
from modelservice.contract.manifest import MANIFEST_FILE, MODEL_FILE
from modelservice.stages.base import Produced


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture
def folder(trained: Produced, tmp_path: Path) -> Path:
    return store(trained, tmp_path / "model")


def publish(trained: Produced, folder: Path, **manifest: Any) -> str:
    return open_store(folder).publish(trained.manifest.model_copy(update=manifest), trained.files)


def test_what_was_published_is_what_is_loaded(trained: Produced, tmp_path: Path) -> None:
    digest = publish(trained, tmp_path / "model")
    artifact = open_store(tmp_path / "model").load(digest=digest)
    assert artifact is not None
    assert (artifact.digest, artifact.manifest, artifact.contents) == (digest, trained.manifest, trained.files)
    assert digest == trained.digest
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_other_users_can_read_the_artifact_and_nobody_can_change_it(trained: Produced, tmp_path: Path) -> None:
    publish(trained, tmp_path / "model")
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()} == {0o444}


def test_nothing_is_there_before(tmp_path: Path) -> None:
    assert open_store(tmp_path / "model").load() is None
    open_store(tmp_path / "model").discard()


def test_an_artifact_takes_the_place_of_another(trained: Produced, folder: Path, tmp_path: Path) -> None:
    publish(trained, folder, key="new")
    assert load_artifact(folder).manifest.key == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt("Input/output")])
def test_the_old_one_comes_back_if_the_new_one_cannot_take_its_place(
    trained: Produced, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if ".tmp-" in self.name:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(type(error), match="Input/output"):
        publish(trained, folder, key="new")
    assert load_artifact(folder).manifest == trained.manifest
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_nothing_is_left_of_what_could_not_be_written(
    trained: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module, "_write_file", full)
    with pytest.raises(OSError, match="No space"):
        publish(trained, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


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
        open_store(tmp_path / "there").prepare()


def test_an_artifact_with_somebody_elses_file_is_not_replaced(trained: Produced, folder: Path) -> None:
    (folder / "notes.txt").touch()
    with pytest.raises(ArtifactError, match=r"also holds 'notes\.txt'"):
        open_store(folder).prepare()
    with pytest.raises(ArtifactError, match=r"also holds 'notes\.txt'"):
        publish(trained, folder)
    assert (folder / "notes.txt").exists()


def test_an_empty_folder_may_be_used(trained: Produced, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    open_store(tmp_path / "model").prepare()
    assert publish(trained, tmp_path / "model") == trained.digest


@pytest.mark.parametrize("left", [(), (MODEL_FILE,), (MANIFEST_FILE, MODEL_FILE)])
def test_what_is_left_of_an_artifact_is_discarded(tmp_path: Path, left: tuple[str, ...]) -> None:
    (tmp_path / "model").mkdir()
    for name in left:
        (tmp_path / "model" / name).write_text("damaged")
    with pytest.raises(ArtifactError):
        open_store(tmp_path / "model").load()
    open_store(tmp_path / "model").discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("data"),
        lambda path: path.symlink_to("elsewhere"),
        lambda path: (path.mkdir(), (path / "table.csv").write_text("a,b")),
        lambda path: (path.mkdir(), (path / MANIFEST_FILE).mkdir()),
        lambda path: (path.mkdir(), (path / MODEL_FILE).symlink_to("/dev/null")),
        lambda path: (path / "a" / "b").mkdir(parents=True),
    ],
    ids=["file", "link", "foreign file", "folder of a known name", "link of a known name", "folders"],
)
def test_what_may_be_somebodys_data_is_never_discarded(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    path, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArtifactError, match="move it first"):
        open_store(path).discard()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("address", ["", "/", "a\0b", "\ud800"])
def test_what_is_no_path_of_a_folder(address: str) -> None:
    with pytest.raises(ArtifactError, match="is no path of a folder"):
        open_store(address)


def test_the_folder_that_one_is_in(trained: Produced, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert load_artifact(".").manifest == trained.manifest


def test_only_temporary_folders_of_this_artifact_and_of_dead_processes_are_removed(tmp_path: Path) -> None:
    now = 1_000_000.0
    ages = {
        ".model.tmp-mine": 0,
        ".model.tmp-dead": STALE_SECONDS + 1,
        ".model.tmp-writing": STALE_SECONDS - 1,
        ".other.tmp-dead": STALE_SECONDS + 1,
    }
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").touch()
        os.utime(tmp_path / name, (now - age, now - age))
    open_store(tmp_path / "model", scratch="mine", now=lambda: now).prepare()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".model.tmp-writing", ".other.tmp-dead"]


def test_a_disk_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Any, **_kwargs: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="Read-only"):
        open_store(tmp_path / "model").prepare()
