"""Encrypted artifacts and checkpoints in a folder and in a bucket: what is at rest, which keys open it, what is not."""

import base64
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from obstore.store import MemoryStore
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.artifact import download, stores
from modelservice.artifact.cache import Cache
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.keys import Keys, read_keys
from modelservice.artifact.sealing import PLAIN, Sealed
from modelservice.artifact.stores import Checkpoints, Store, load_artifact, open_checkpoints, open_store
from modelservice.artifact.stores.object_checkpoints import ObjectCheckpoints
from modelservice.artifact.stores.objects import ObjectArtifactStore
from modelservice.contract.failure import About, Retry, StorageError
from modelservice.contract.manifest import MANIFEST_FILE, METRICS_FILE, MODEL_FILE
from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice.contract.signature import SIGNATURE_FILE
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Produced

ADDRESS = "s3://models/team/default/iris/abc"
MAGIC = b"MSVCSEA1"


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The mount of a Secret with two keys, as the kubelet makes it."""
    folder = tmp_path / "secret"
    content = folder / "..2026_11_29"
    content.mkdir(parents=True)
    for name, byte in (("2026-10", b"a"), ("2026-11", b"b")):
        (content / name).write_bytes(base64.encodebytes(byte * 32))
        (folder / name).symlink_to(Path("..data", name))
    (folder / "..data").symlink_to(content.name)
    return folder


def keys_of(*paths: Path) -> Keys:
    return read_keys({ENCRYPTION_KEYS_ENV: ":".join(map(str, paths))})


class Place:
    """A store of one kind, opened with keys; and what lies in it, by name."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.bucket = kind, folder / "abc", MemoryStore()

    def store(self, keys: Keys) -> Store:
        if self.kind == "bucket":
            return ObjectArtifactStore(self.bucket, address=ADDRESS, keys=keys)
        return stores.STORES[-1].open(str(self.folder), stores.StoreOptions(keys=keys))

    def checkpoints(self, keys: Keys) -> Checkpoints:
        if self.kind == "bucket":
            return ObjectCheckpoints(self.bucket, address=ADDRESS, keys=keys)
        return stores.STORES[-1].open_checkpoints(str(self.folder), stores.StoreOptions(keys=keys))

    def stored(self) -> dict[str, bytes]:
        if self.kind == "bucket":
            paths = [str(found["path"]) for batch in self.bucket.list() for found in batch]
            return {path: bytes(self.bucket.get(path).bytes()) for path in paths}
        files = (path for path in self.folder.parent.rglob("*") if path.is_file() and "secret" not in path.parts)
        return {str(path.relative_to(self.folder.parent)): path.read_bytes() for path in files}

    def put(self, path: str, content: bytes) -> None:
        if self.kind == "bucket":
            self.bucket.put(path, content)
        else:
            place = self.folder.parent / path
            place.unlink()
            place.write_bytes(content)


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


def test_nothing_is_at_rest_that_can_be_read(place: Place, trained: Produced, secret: Path) -> None:
    keys = keys_of(secret / "2026-11", secret)
    store = place.store(keys)
    store.prepare()
    assert store.publish(trained.manifest, trained.files) == trained.digest
    place.checkpoints(keys).write("train", b"weights so far")
    at_rest = place.stored()
    assert len(at_rest) == len(trained.files) + 2
    known = [trained.digest[7:23], *(entry.sha256[7:23] for entry in trained.manifest.files.values())]
    for path, content in at_rest.items():
        assert content.startswith(MAGIC), path
        assert not any(word in content for word in (b"setosa", b"petal", b"float32", b"accuracy", b"weights so far"))
        assert not any(digest in path or digest.encode() in content for digest in known)


def test_what_was_encrypted_is_loaded_with_its_digest(place: Place, trained: Produced, secret: Path) -> None:
    place.store(keys_of(secret / "2026-11")).publish(trained.manifest, trained.files)
    for keys in (keys_of(secret / "2026-11"), keys_of(secret)):
        for digest in (trained.digest, None):
            artifact = place.store(keys).load(digest=digest)
            assert artifact is not None
            assert (artifact.digest, artifact.contents) == (trained.digest, trained.files)
    with pytest.raises(ArtifactError, match="expected sha256:0"):
        place.store(keys_of(secret)).load(digest="sha256:" + "0" * 64)


def test_a_new_key_is_for_new_artifacts_and_the_old_one_opens_old_ones(
    place: Place, trained: Produced, secret: Path
) -> None:
    place.store(keys_of(secret / "2026-10")).publish(trained.manifest, trained.files)
    rotated = keys_of(secret / "2026-11", secret)
    assert place.store(rotated).load(digest=trained.digest) is not None
    place.store(rotated).discard()
    place.store(rotated).publish(trained.manifest, trained.files)
    (secret / "2026-10").unlink()
    assert place.store(keys_of(secret)).load(digest=trained.digest) is not None


@pytest.mark.parametrize("given", [(), ("2026-10",)])
def test_without_the_key_it_is_said_and_nothing_is_thrown_away(
    place: Place, trained: Produced, secret: Path, given: tuple[str, ...]
) -> None:
    place.store(keys_of(secret / "2026-11")).publish(trained.manifest, trained.files)
    before = place.stored()
    store = place.store(keys_of(*(secret / name for name in given)))
    for call in (store.load, lambda: store.publish(trained.manifest, trained.files)):
        with pytest.raises(StorageError, match=r"manifest\.json in .*abc is encrypted with the key of id [0-9a-f]{32}"):
            call()
    with pytest.raises(StorageError, match=r"or delete what lies in \S*abc if the key is lost, and it is made again"):
        store.load()
    with pytest.raises(StorageError, match="which is not given") as caught:
        store.load(digest=trained.digest)
    assert "delete" not in caught.value.message
    failure = caught.value.failure()
    assert (failure.reason, failure.field) == ("EncryptionKeyMissing", "spec.artifacts.encryption.secretRef")
    assert (failure.about, failure.retry) == (About.STORAGE, Retry.ON_CHANGE)
    assert {path: content for path, content in place.stored().items() if path in before} == before


def test_what_is_not_encrypted_is_believed_by_its_digest_alone(place: Place, trained: Produced, secret: Path) -> None:
    place.store(keys_of()).publish(trained.manifest, trained.files)
    store = place.store(keys_of(secret / "2026-11"))
    assert store.load(digest=trained.digest) is not None
    with pytest.raises(
        ArtifactError, match=r"is not encrypted, so anybody may have written it: .* leave --encryption-key out"
    ):
        store.load()
    store.prepare()
    assert store.publish(trained.manifest, trained.files) == trained.digest
    assert place.store(keys_of(secret)).load() is not None
    assert place.stored()[MANIFEST_FILE if place.kind == "bucket" else f"abc/{MANIFEST_FILE}"].startswith(MAGIC)


CHANGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "cut": lambda own, _: own[:-1],
    "flipped": lambda own, _: own[:-1] + bytes([own[-1] ^ 1]),
    "another file": lambda _, other: other,
    "plain": lambda own, _: b"{" * len(own),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE])
def test_what_was_changed_is_damaged(place: Place, trained: Produced, secret: Path, name: str, change: str) -> None:
    keys = keys_of(secret / "2026-11")
    place.store(keys).publish(trained.manifest, trained.files)
    at_rest = place.stored()
    (path,) = (path for path in at_rest if path.endswith(name))
    (other,) = (path for path in at_rest if path.endswith(METRICS_FILE))
    place.put(path, CHANGES[change](at_rest[path], at_rest[other]))
    with pytest.raises(ArtifactError):
        place.store(keys).load()


def test_checkpoints_go_on_with_their_key_alone(place: Place, secret: Path) -> None:
    old, new = keys_of(secret / "2026-10"), keys_of(secret / "2026-11", secret)
    content = bytes(range(256)) * 30_000  # of several parts
    place.checkpoints(old).write("train", memoryview(content)[:1_000], content[1_000:])
    assert place.checkpoints(new).read("train", limit=len(content)) == content
    with pytest.raises(ArtifactError, match="at most"):
        place.checkpoints(new).read("train", limit=len(content) // 2)
    with pytest.raises(StorageError, match="which is not given"):
        place.checkpoints(keys_of(secret / "2026-11")).read("train", limit=len(content))
    (path,) = place.stored()
    place.checkpoints(new).write("fold-1", b"other")
    (other,) = (content for name, content in place.stored().items() if name != path)
    for planted in (b"planted", other):
        place.put(path, planted)
        with pytest.raises(ArtifactError, match=r"is not encrypted|was changed since it was encrypted, or is another"):
            place.checkpoints(new).read("train", limit=100)


def test_what_is_kept_of_a_download_is_encrypted(trained: Produced, secret: Path, tmp_path: Path) -> None:
    keys, folder = keys_of(secret / "2026-11", secret), tmp_path / "cache"
    bucket = MemoryStore()
    ObjectArtifactStore(bucket, address=ADDRESS, keys=keys).publish(trained.manifest, trained.files)

    def load(bucket: MemoryStore) -> object:
        cache = Cache(folder, limit=10_000_000)
        artifact = ObjectArtifactStore(bucket, address=ADDRESS, keys=keys, cache=cache).load(digest=trained.digest)
        assert artifact is not None
        return artifact.contents

    assert load(bucket) == trained.files
    assert load(MemoryStore()) == trained.files  # an empty one: nobody is asked
    kept = list(folder.iterdir())
    assert len(kept) == 1 + len(trained.files)
    assert all(path.read_bytes().startswith(MAGIC) for path in kept)
    for path in kept:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    for _ in range(2):
        assert load(bucket) == trained.files
    assert load(MemoryStore()) == trained.files


def test_what_was_stored_again_with_another_key_is_looked_for_anew(
    trained: Produced, secret: Path, tmp_path: Path
) -> None:
    """The same training has the same digest, under which the cache has its manifest of before."""
    folder, bucket = tmp_path / "cache", MemoryStore()
    several = keys_of(), keys_of(secret / "2026-10"), keys_of(secret / "2026-11", secret)
    manifests = {keys.form.identify(trained.digest) for keys in several}
    for keys in several:
        store = ObjectArtifactStore(
            bucket, address=ADDRESS, keys=keys, cache=Cache(folder, limit=10_000_000)
        )  # fmt: skip
        store.discard()
        store.publish(trained.manifest, trained.files)
        for path in folder.glob("*") if folder.exists() else ():
            if path.name not in manifests:
                path.unlink()
        for _ in range(2):
            artifact = store.load(digest=trained.digest)
            assert artifact is not None
            assert artifact.contents == trained.files


def test_pods_of_different_keys_share_a_cache(trained: Produced, secret: Path, tmp_path: Path) -> None:
    """Several ModelServices of one training: each one's manifest and files are kept beside the others'."""
    folder = tmp_path / "cache"

    def load(keys: Keys, bucket: MemoryStore) -> object:
        store = ObjectArtifactStore(bucket, address=ADDRESS, keys=keys, cache=Cache(folder, limit=10_000_000))
        artifact = store.load(digest=trained.digest)
        assert artifact is not None
        return artifact.contents

    several = [keys_of(secret / "2026-10"), keys_of(secret / "2026-11"), keys_of()]
    for keys in several:
        bucket = MemoryStore()
        ObjectArtifactStore(bucket, address=ADDRESS, keys=keys).publish(trained.manifest, trained.files)
        assert load(keys, bucket) == trained.files
    assert len(list(folder.iterdir())) == len(several) * (1 + len(trained.files))
    for keys in several:
        assert load(keys, MemoryStore()) == trained.files  # an empty one: nobody is asked


@pytest.mark.parametrize("planted", [b"{}", Sealed(b"c" * 32), Sealed(b"b" * 32)], ids=["other", "unknown key", "key"])
def test_a_manifest_that_somebody_wrote_there_stops_no_pod(
    trained: Produced, secret: Path, tmp_path: Path, planted: bytes | Sealed
) -> None:
    keys, folder, bucket = keys_of(secret / "2026-11"), tmp_path / "cache", MemoryStore()
    store = ObjectArtifactStore(bucket, address=ADDRESS, keys=keys, cache=Cache(folder, limit=10_000_000))
    store.publish(trained.manifest, trained.files)
    folder.mkdir()
    content = planted if isinstance(planted, bytes) else b"".join(planted.store(MANIFEST_FILE, [b"{}"]))
    for form in (keys.form, PLAIN):
        (folder / form.identify(trained.digest)).write_bytes(content)
    for _ in range(2):
        artifact = store.load(digest=trained.digest)
        assert artifact is not None
        assert artifact.contents == trained.files


def test_a_file_that_is_stored_again_while_it_is_read_is_begun_once_more(
    trained: Produced, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pods of one key, of which each encrypts with a salt of its own."""
    monkeypatch.setattr(download, "PART_BYTES", 500)
    keys, bucket = keys_of(secret / "2026-11"), MemoryStore()
    other = ObjectArtifactStore(bucket, address=ADDRESS, keys=keys)
    other.publish(trained.manifest, trained.files)
    first_parts, stored_again = [], Event()

    class Shared:
        def head(self, path: str) -> Any:
            return bucket.head(path)

        def get(self, path: str, *, options: Any = None) -> Any:
            first = path.endswith(MODEL_FILE) and options["range"][0] == 0
            if path.endswith(MODEL_FILE) and not first:
                stored_again.wait(10)
            result = bucket.get(path, options=options)
            if first:
                first_parts.append(path)
                if len(first_parts) == 1:
                    other.publish(trained.manifest, trained.files)
                    stored_again.set()
            return result

    artifact = ObjectArtifactStore(Shared(), address=ADDRESS, keys=keys).load()  # type: ignore[arg-type]
    assert artifact is not None
    assert (artifact.digest, artifact.contents) == (trained.digest, trained.files)
    assert len(first_parts) == 2


def test_the_environment_names_keys(
    trained: Produced, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, f"{secret / '2026-11'}:{secret}")
    open_store(tmp_path / "abc").publish(trained.manifest, trained.files)
    open_checkpoints(tmp_path / "abc").write("train", b"so far")
    assert (tmp_path / ".abc.checkpoints" / "train").read_bytes().startswith(MAGIC)
    assert Predictor.load(tmp_path / "abc").digest == trained.digest
    monkeypatch.delenv(ENCRYPTION_KEYS_ENV)
    with pytest.raises(StorageError, match="on a laptop name its file with --encryption-key"):
        load_artifact(tmp_path / "abc")


def test_a_folder_without_keys_is_no_store_of_plain_artifacts(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"of encryption keys is empty: .* on a laptop name the file of a key"):
        keys_of(tmp_path)


def test_none_are_named() -> None:
    keys = read_keys({})
    assert (keys.known, keys.form) == ({}, PLAIN)


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (None, "EncryptionKeyMissing", r"2026-12 cannot be read: No such file .* correct the name in spec\.artifacts"),
        (b"", "EncryptionKeyInvalid", "is no encryption key: 32 bytes in base64 are one, as of `openssl rand"),
        (b"a" * 32, "EncryptionKeyInvalid", "is no encryption key"),
        (base64.b64encode(b"a" * 31), "EncryptionKeyInvalid", "is no encryption key"),
        (base64.b64encode(b"a" * 64), "EncryptionKeyInvalid", "is no encryption key"),
        (b"\xff" * 44, "EncryptionKeyInvalid", "is no encryption key"),
    ],
)
def test_what_is_no_key_is_refused(secret: Path, content: bytes | None, reason: str, words: str) -> None:
    path = secret / "2026-12"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=words) as caught:
        keys_of(path, secret)
    assert (caught.value.reason, caught.value.field) == (reason, "spec.artifacts.encryption.secretRef")
    assert not content or content.decode(errors="replace")[:8] not in caught.value.message
