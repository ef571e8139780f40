"""What work under way keeps beside its artifact: the same tests over each store, and a store that fails."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.stores import Checkpoints, ForgivingCheckpoints, open_checkpoints, open_store
from modelservice.artifact.stores.base import checkpoint_name
from modelservice.artifact.stores.folder import STALE_SECONDS
from modelservice.artifact.stores.folder_checkpoints import FolderCheckpoints
from modelservice.artifact.stores.object_checkpoints import ObjectCheckpoints
from modelservice.artifact.stores.objects import ObjectArtifactStore
from modelservice.contract.failure import StorageError

ADDRESS = "s3://models/default/iris/abc"


@pytest.fixture(params=["folder", "bucket"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    if request.param == "folder":
        return FolderCheckpoints(tmp_path / "abc", scratch="pod")
    return ObjectCheckpoints(MemoryStore(), address=ADDRESS)


def test_what_was_written_last_is_read(checkpoints: Checkpoints) -> None:
    assert checkpoints.read("train", limit=10) is None
    for content in (b"one", b"", b"three"):
        checkpoints.write("train", content)
        assert checkpoints.read("train", limit=5) == content
    checkpoints.write("fold-2", b"other")
    assert checkpoints.read("train", limit=5) == b"three"


def test_nothing_is_left_after_discarding(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for name in ("train", "fold-2"):
        checkpoints.write(name, b"so far")
    checkpoints.discard()
    assert [checkpoints.read(name, limit=10) for name in ("train", "fold-2")] == [None, None]
    assert not list(tmp_path.iterdir())
    checkpoints.discard()


def test_more_than_the_reader_bears_is_not_read(checkpoints: Checkpoints) -> None:
    checkpoints.write("train", b"12345")
    with pytest.raises(ArtifactError, match="has 5 bytes, at most 4 are read"):
        checkpoints.read("train", limit=4)


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", ".hidden", "x" * 65, "a\n"])
def test_a_name_stays_inside(checkpoints: Checkpoints, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a checkpoint"):
        checkpoint_name(name)
    with pytest.raises(ValueError, match="no name of a checkpoint"):
        checkpoints.write(name, b"")
    with pytest.raises(ValueError, match="no name of a checkpoint"):
        checkpoints.read(name, limit=1)


def test_the_scheme_says_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert isinstance(open_checkpoints(tmp_path / "abc"), FolderCheckpoints)
    assert isinstance(open_checkpoints(ADDRESS), ObjectCheckpoints)
    with pytest.raises(ArtifactError, match="not under ftp://"):
        open_checkpoints("ftp://models/abc")


def test_a_folder_keeps_them_beside_the_artifact(tmp_path: Path) -> None:
    open_checkpoints(tmp_path / "abc").write("train", b"so far")
    store = open_store(tmp_path / "abc")
    assert store.load() is None
    store.prepare()
    assert [path.name for path in tmp_path.rglob("*")] == [".abc.checkpoints", "train"]


def test_a_bucket_keeps_them_below_the_artifact(tmp_path: Path) -> None:
    bucket = MemoryStore()
    ObjectCheckpoints(bucket, address=ADDRESS).write("train", b"so far")
    assert [found["path"] for batch in bucket.list() for found in batch] == ["checkpoints/train"]
    store = ObjectArtifactStore(bucket, address=ADDRESS)
    assert store.load() is None
    store.discard()
    assert not list(bucket.list())


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = FolderCheckpoints(tmp_path / "abc", scratch="pod")
    checkpoints.write("train", b"before")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.write("train", b"after")
    assert checkpoints.read("train", limit=10) == b"before"
    assert [path.name for path in tmp_path.iterdir()] == [".abc.checkpoints"]


def test_what_a_killed_pod_was_writing_goes_with_the_next_one(tmp_path: Path) -> None:
    left = FolderCheckpoints(tmp_path / "abc", scratch="killed")._scratch
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    open_store(tmp_path / "abc", scratch="next", now=lambda: STALE_SECONDS + 1).prepare()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("planted", ["link", "file"])
def test_what_stands_in_the_way_is_no_folder_of_checkpoints(tmp_path: Path, planted: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "train").write_bytes(b"somebody's")
    place = tmp_path / ".abc.checkpoints"
    if planted == "link":
        place.symlink_to(elsewhere)
    else:
        place.write_bytes(b"")
    checkpoints = FolderCheckpoints(tmp_path / "abc", scratch="pod")
    assert checkpoints.read("train", limit=100) is None
    checkpoints.write("train", b"ours")
    assert checkpoints.read("train", limit=100) == b"ours"
    checkpoints.discard()
    assert (elsewhere / "train").read_bytes() == b"somebody's"


def test_a_link_in_place_of_a_checkpoint_is_not_followed(tmp_path: Path) -> None:
    checkpoints = FolderCheckpoints(tmp_path / "abc", scratch="pod")
    checkpoints.write("train", b"ours")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / ".abc.checkpoints" / "fold-2").symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactError, match="cannot be read as a plain file"):
        checkpoints.read("fold-2", limit=100)
    checkpoints.write("fold-2", b"ours")
    assert (tmp_path / "secret").read_bytes() == b"secret"


class Failing:
    """A store whose next calls fail."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.written: list[bytes] = []

    def _fail(self) -> None:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error

    def read(self, name: str, *, limit: int) -> bytes | None:
        self._fail()
        return b"content"

    def write(self, name: str, *content: bytes | memoryview) -> None:
        self._fail()
        self.written.append(b"".join(content))

    def discard(self) -> None:
        self._fail()


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_once_until_there_is_room() -> None:
    said: list[str] = []
    failing = Failing(FULL, FULL, None, FULL)
    checkpoints = ForgivingCheckpoints(failing, said.append)
    for content in (b"1", b"2", b"3", b"4", b"5"):
        checkpoints.write("train", content)
    assert failing.written == [b"3", b"5"]
    assert [sentence.partition(":")[0] for sentence in said] == [
        "no checkpoint can be written, which is tried again; the work goes on"
    ] * 2
    assert "No space left on device" in said[0]


@pytest.mark.parametrize("error", [FULL, StorageError("StorageForbidden", "no"), ArtifactError("too large")])
def test_what_cannot_be_read_or_removed_is_told_and_forgiven(error: Exception) -> None:
    said: list[str] = []
    assert ForgivingCheckpoints(Failing(error), said.append).read("train", limit=1) is None
    ForgivingCheckpoints(Failing(error), said.append).discard()
    assert [sentence.partition(":")[0] for sentence in said] == [
        "a checkpoint cannot be read, so it is not used",
        "checkpoints that are of no more use cannot be removed",
    ]


def test_what_cannot_be_read_hides_no_full_disk() -> None:
    said: list[str] = []
    checkpoints = ForgivingCheckpoints(Failing(ArtifactError("too large"), FULL), said.append)
    checkpoints.read("train", limit=1)
    checkpoints.write("train", b"so far")
    assert [sentence.rpartition(": ")[2] for sentence in said] == ["too large", str(FULL)]


def test_a_defect_is_not_forgiven() -> None:
    broken: Any = Failing(TypeError("defect"))
    with pytest.raises(TypeError):
        ForgivingCheckpoints(broken, print).read("train", limit=1)
