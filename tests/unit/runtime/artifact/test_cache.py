"""What was downloaded is not downloaded again, and nothing that lies in the cache is believed."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.artifact import download
from modelservice.artifact.cache import Cache
from modelservice.artifact.errors import ArtifactError, StorageUnavailableError
from modelservice.artifact.load import Artifact, collected
from modelservice.artifact.stores.objects import ObjectArtifactStore, object_name
from modelservice.contract.digests import digits
from modelservice.contract.manifest import MANIFEST_FILE, MODEL_FILE
from modelservice.stages.base import Produced

ADDRESS = "s3://models/team/default/iris/abc"
LIMIT = 10_000_000
CONTENT = bytes(range(250)) * 4
NAME = hashlib.sha256(CONTENT).hexdigest()


class Bucket:
    """A store in memory that counts what it is asked for, and may be away before it has given a whole file."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.asked: list[str] = []
        self.away_from: int | None = None

    def head(self, path: str) -> Any:
        return self.store.head(path)

    def get(self, path: str, *, options: Any = None) -> Any:
        self.asked.append(path)
        begin = (options or {}).get("range", (0,))[0]
        if self.away_from is not None and begin >= self.away_from:
            raise StorageUnavailableError("StorageUnavailable", "away")
        return self.store.get(path, options=options)


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture
def bucket(trained: Produced) -> Bucket:
    bucket = Bucket()
    ObjectArtifactStore(bucket.store, address=ADDRESS).publish(trained.manifest, trained.files)
    return bucket


Load = Callable[..., Artifact]


@pytest.fixture
def load(bucket: Bucket, trained: Produced, tmp_path: Path) -> Load:
    def load(**kwargs: Any) -> Artifact:
        cache = Cache(tmp_path / "cache", limit=LIMIT)
        store = ObjectArtifactStore(bucket, address=ADDRESS, cache=cache)  # type: ignore[arg-type]
        bucket.asked.clear()
        artifact = store.load(**{"digest": trained.digest, **kwargs})
        assert artifact is not None
        return artifact

    return load


@pytest.fixture
def model(trained: Produced, tmp_path: Path) -> Path:
    """Where the model's file is kept."""
    return tmp_path / "cache" / digits(trained.manifest.files[MODEL_FILE].sha256)


def test_what_was_loaded_once_is_asked_of_nobody(load: Load, bucket: Bucket, trained: Produced) -> None:
    assert load().contents == trained.files
    assert len(bucket.asked) == 1 + len(trained.files)
    again = load()
    assert (again.contents, again.digest, bucket.asked) == (trained.files, trained.digest, [])


def test_without_a_digest_the_manifest_is_asked_for(load: Load, bucket: Bucket) -> None:
    load()
    load(digest=None)
    assert bucket.asked == [MANIFEST_FILE]


def test_what_somebody_wrote_there_is_replaced(load: Load, bucket: Bucket, trained: Produced, model: Path) -> None:
    load()
    for changed in (b"\0" * model.stat().st_size, b"short"):
        model.write_bytes(changed)
        for _ in range(2):
            assert load().contents == trained.files
            assert set(bucket.asked) <= {object_name(MODEL_FILE, trained.manifest.files[MODEL_FILE])}
        assert model.read_bytes() == trained.files[MODEL_FILE]
    (model.parent / digits(trained.digest)).write_bytes(b"{}")
    assert load().contents == trained.files
    assert bucket.asked == [MANIFEST_FILE]
    load()
    assert bucket.asked == []


def test_a_download_goes_on_where_the_process_before_ended(
    load: Load, bucket: Bucket, trained: Produced, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load()
    monkeypatch.setattr(download, "PART_BYTES", 100)
    size, kept = model.stat().st_size, 200
    model.unlink()
    bucket.away_from = kept
    with pytest.raises(StorageUnavailableError):
        load()
    (part,) = model.parent.glob("*.part")
    assert (part.name, part.stat().st_size) == (f"{model.name}.{size}.part", kept)
    bucket.away_from = None
    assert load().contents == trained.files
    assert len(bucket.asked) == -(-(size - kept) // 100)
    assert model.read_bytes() == trained.files[MODEL_FILE]
    assert list(model.parent.glob("*.part")) == []


@pytest.mark.parametrize("planted", [b"planted", b"planted" * 10_000])
def test_a_part_that_somebody_wrote_is_downloaded_anew(
    load: Load, trained: Produced, model: Path, planted: bytes
) -> None:
    load()
    part = model.with_name(f"{model.name}.{model.stat().st_size}.part")
    model.unlink()
    part.write_bytes(planted)
    for _ in range(2):
        assert load().contents == trained.files
    assert model.read_bytes() == trained.files[MODEL_FILE]
    assert not part.exists()


def test_what_the_store_has_wrong_is_refused_and_not_kept(
    load: Load, bucket: Bucket, trained: Produced, model: Path
) -> None:
    entry = trained.manifest.files[MODEL_FILE]
    bucket.store.put(object_name(MODEL_FILE, entry), b"x" * entry.size)
    with pytest.raises(ArtifactError, match="its sha256 differs"):
        load()
    assert not model.exists()
    assert not list(model.parent.glob("*.part"))


def fetched(cache: Cache, content: bytes = CONTENT) -> bytes:
    """A file that is fetched through a cache."""
    name = hashlib.sha256(content).hexdigest()
    with cache.entry(name, len(content)) as entry:
        if entry is None:
            return b""
        found = collected(entry.pieces(lambda begin: [content[begin:]]))
        entry.keep()
        return found.content


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=3_000)
    contents = [bytes([number]) * 1_000 for number in range(4)]
    for number, content in enumerate(contents[:3]):
        assert fetched(cache, content) == content
        os.utime(tmp_path / hashlib.sha256(content).hexdigest(), (number, number))
    fetched(cache, contents[0])  # so it was used last
    fetched(cache, contents[3])
    kept = {path.read_bytes() for path in tmp_path.iterdir()}
    assert kept == {contents[0], contents[2], contents[3]}


def test_what_is_in_use_stays_and_room_is_reserved(tmp_path: Path) -> None:
    cache, other = Cache(tmp_path, limit=2_500), Cache(tmp_path, limit=2_500)
    with cache.entry(NAME, 1_000) as begun:
        assert begun is not None
        assert fetched(other, b"b" * 1_000) == b"b" * 1_000
        with other.entry(hashlib.sha256(b"b" * 1_000).hexdigest(), 1_000) as read:
            assert read is not None
            # 1,000 are reserved, 1,000 are being read: nothing may go.
            assert fetched(Cache(tmp_path, limit=2_500), b"c" * 1_000) == b""
        assert fetched(other, b"d" * 1_000) == b"d" * 1_000
        assert collected(begun.pieces(lambda begin: [CONTENT[begin:]])).content == CONTENT
        begun.keep()
    assert {path.read_bytes()[:1] for path in tmp_path.iterdir()} == {CONTENT[:1], b"d"}


def test_two_at_the_same_file_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with Cache(tmp_path, limit=LIMIT).entry(NAME, len(CONTENT)) as first:
        assert first is not None
        pieces = first.pieces(lambda _: [CONTENT[:100], CONTENT[100:]])
        next(pieces)
        with Cache(tmp_path, limit=LIMIT).entry(NAME, len(CONTENT)) as second:
            assert second is None
        assert b"".join(pieces) == CONTENT[100:]
        first.keep()
    assert (tmp_path / NAME).read_bytes() == CONTENT
    cache, other = Cache(tmp_path, limit=LIMIT), Cache(tmp_path, limit=LIMIT)
    with cache.entry(NAME, len(CONTENT)) as one, other.entry(NAME, len(CONTENT)) as another:
        assert one is not None
        assert another is not None


def test_what_can_never_fit_drives_nothing_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(tmp_path, limit=1_000)
    fetched(cache)
    assert fetched(cache, b"x" * 1_001) == fetched(cache, b"x" * 1_001) == b""
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert caplog.messages == [
        f"the cache {tmp_path} cannot be used, which costs a download: a file of 1001 bytes is larger than all that it"
        " may hold, 1000 bytes"
    ]


def names(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir())


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "notes.txt").write_bytes(b"x" * 10_000)
    target = tmp_path / "target"
    target.write_bytes(b"somebody's")
    (tmp_path / NAME).symlink_to(target)
    cache = Cache(tmp_path, limit=1_500)
    assert fetched(cache) == b""
    assert fetched(cache, b"a" * 1_000) == b"a" * 1_000
    assert fetched(cache, b"b" * 1_000) == b"b" * 1_000
    assert target.read_bytes() == b"somebody's"
    assert set(names(tmp_path)) == {
        "lost+found", "notes.txt", "target", NAME, hashlib.sha256(b"b" * 1_000).hexdigest()
    }  # fmt: skip


def test_a_folder_that_cannot_be_used_costs_a_download(
    load: Load, bucket: Bucket, trained: Produced, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    for _ in range(2):
        assert load().contents == trained.files
        assert len(bucket.asked) == 1 + len(trained.files)
    assert len(caplog.messages) == 2  # once for each load, not for each file
    assert "cannot be used, which costs a download" in caplog.text


def test_a_full_disk_costs_a_download(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Cache(tmp_path, limit=LIMIT).entry(NAME, len(CONTENT)) as entry:
        assert entry is not None

        class Full:
            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def write(self, _: bytes) -> int:
                raise OSError(28, "No space left on device")

        file, entry._file = entry._file, Full()  # type: ignore[assignment]
        assert b"".join(entry.pieces(lambda _: [CONTENT[:500], CONTENT[500:]])) == CONTENT
        entry.keep()
    assert list(tmp_path.iterdir()) == []
    assert "No space left on device" in caplog.text


def test_nfs_gives_exclusive_locks_to_writers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As flock(2) says, "NFS details"; otherwise nothing would ever go."""
    flock = fcntl.flock

    def of_nfs(descriptor: int, how: int) -> None:
        read_only = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        if how & fcntl.LOCK_EX and read_only:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", of_nfs)
    cache = Cache(tmp_path, limit=2_500)
    for number in range(5):
        content = bytes([number]) * 1_000
        assert fetched(cache, content) == content
        assert content in {path.read_bytes() for path in tmp_path.iterdir()}


def test_it_is_said_that_there_is_no_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(tmp_path, limit=1_500)
    with cache.entry(NAME, 1_000):
        assert fetched(Cache(tmp_path, limit=1_500), b"b" * 1_000) == b""
    assert "there is no room for 1000 bytes: all else is in use, or may not be removed" in caplog.text


def test_the_group_may_go_on_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Cache(tmp_path, limit=LIMIT).entry(NAME, len(CONTENT)):
            (part,) = tmp_path.iterdir()
            assert part.stat().st_mode & 0o777 == 0o660
    finally:
        os.umask(before)


def test_a_folder_in_the_place_of_a_file_costs_a_download(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    cache = Cache(tmp_path, limit=LIMIT)
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        assert fetched(cache) == b""
        assert cache.find(NAME, limit=LIMIT) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
