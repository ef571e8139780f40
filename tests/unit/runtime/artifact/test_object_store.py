"""An artifact in object storage: obstore's store in memory, and a small HTTP server that refuses in many ways."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.artifact.errors import ArtifactError, StorageUnavailableError
from modelservice.artifact.files import document_bytes
from modelservice.artifact.stores import StoreKind, StoreOptions, load_artifact, open_checkpoints, open_store
from modelservice.artifact.stores import objects as objects_module
from modelservice.artifact.stores.object_checkpoints import ObjectCheckpoints
from modelservice.artifact.stores.objects import ObjectArtifactStore, object_name
from modelservice.contract.failure import About, Retry, StorageError
from modelservice.contract.manifest import MANIFEST_FILE, METRICS_FILE, MODEL_FILE
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Produced

ADDRESS = "s3://models/team/default/iris/abc"


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture(scope="module")
def other() -> Produced:
    """The same key, trained elsewhere: other bytes."""
    return produce(train_work(epochs=1, seed=1))


@pytest.fixture
def bucket() -> MemoryStore:
    return MemoryStore()


def store_in(bucket: MemoryStore) -> ObjectArtifactStore:
    return ObjectArtifactStore(bucket, address=ADDRESS)


def paths(bucket: MemoryStore) -> set[str]:
    return {found["path"] for batch in obstore.list(bucket) for found in batch}


def test_what_was_published_is_what_is_loaded(trained: Produced, bucket: MemoryStore) -> None:
    store = store_in(bucket)
    assert store.load() is None
    store.prepare()
    assert paths(bucket) == set()
    digest = store.publish(trained.manifest, trained.files)
    artifact = store.load(digest=digest)
    assert artifact is not None
    assert (artifact.digest, artifact.contents) == (trained.digest, trained.files)
    assert Predictor.from_artifact(artifact).labels == ("setosa", "versicolor", "virginica")


def test_the_manifest_comes_last_and_files_lie_under_their_own_hash(
    trained: Produced, monkeypatch: pytest.MonkeyPatch, bucket: MemoryStore
) -> None:
    written = []

    class Recording:
        def put(self, path: str, content: bytes, **kwargs: Any) -> Any:
            written.append((path, kwargs.get("mode")))
            return bucket.put(path, content, **kwargs)

    ObjectArtifactStore(Recording(), address=ADDRESS).publish(trained.manifest, trained.files)  # type: ignore[arg-type]
    assert written[-1] == (MANIFEST_FILE, "create")
    assert {path for path, _ in written[:-1]} == {
        object_name(name, entry) for name, entry in trained.manifest.files.items()
    }
    assert all(re.fullmatch(r"[0-9a-f]{16}/[-A-Za-z_.]+", path) for path, _ in written[:-1])


def test_of_two_artifacts_of_one_key_the_first_stays_whole(
    trained: Produced, other: Produced, bucket: MemoryStore
) -> None:
    first = store_in(bucket).publish(trained.manifest, trained.files)
    assert other.digest != first
    assert store_in(bucket).publish(other.manifest, other.files) == first
    artifact = store_in(bucket).load(digest=first)
    assert artifact is not None
    assert artifact.contents == trained.files


@pytest.mark.parametrize("damage", ["manifest", "file", "key"])
def test_a_damaged_one_is_no_obstacle(trained: Produced, other: Produced, bucket: MemoryStore, damage: str) -> None:
    manifest = trained.manifest.model_copy(update={"key": "xyz"}) if damage == "key" else trained.manifest
    store_in(bucket).publish(manifest, trained.files)
    if damage == "manifest":
        bucket.put(MANIFEST_FILE, b"{}")
    elif damage == "file":
        bucket.put(object_name(MODEL_FILE, trained.manifest.files[MODEL_FILE]), b"x")
    assert store_in(bucket).publish(other.manifest, other.files) == other.digest
    assert store_in(bucket).load(digest=other.digest) is not None


@pytest.mark.parametrize("foreign", ["table.csv", f"data/{MODEL_FILE}", f"{'0' * 16}/notes.txt"])
def test_what_may_be_somebodys_data_is_never_discarded(trained: Produced, bucket: MemoryStore, foreign: str) -> None:
    store_in(bucket).publish(trained.manifest, trained.files)
    bucket.put(foreign, b"data")
    before = paths(bucket)
    with pytest.raises(ArtifactError, match="move it first"):
        store_in(bucket).discard()
    assert paths(bucket) == before


def test_discarding_leaves_nothing(trained: Produced, bucket: MemoryStore) -> None:
    store_in(bucket).publish(trained.manifest, trained.files)
    store_in(bucket).discard()
    assert paths(bucket) == set()
    assert store_in(bucket).load() is None
    store_in(bucket).discard()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (MODEL_FILE, b"x", "has 1 bytes, the manifest says"),
        (MODEL_FILE, None, "model.onnx is missing in s3://models/team/default/iris/abc"),
        (MANIFEST_FILE, b"{}", "of kind 'None', expected Manifest"),
        (MANIFEST_FILE, b" " * (2**20 + 1), "at most 1048576 are read"),
    ],
)
def test_what_is_not_as_listed_is_refused(
    trained: Produced, bucket: MemoryStore, name: str, content: bytes | None, words: str
) -> None:
    store_in(bucket).publish(trained.manifest, trained.files)
    path = name if name == MANIFEST_FILE else object_name(name, trained.manifest.files[name])
    if content is None:
        bucket.delete(path)
    else:
        bucket.put(path, content)
    with pytest.raises(ArtifactError, match=words):
        store_in(bucket).load()


def test_a_copied_folder_is_told_what_reads_it(trained: Produced, bucket: MemoryStore) -> None:
    bucket.put(MANIFEST_FILE, document_bytes(trained.manifest))
    for name, content in trained.files.items():
        bucket.put(name, content)
    with pytest.raises(
        ArtifactError, match=r"is stored as [0-9a-f]{16}/.*: if a folder .* in spec\.model\.artifact, which"
    ):
        store_in(bucket).load()


def test_a_changed_file_of_the_same_size_is_refused(trained: Produced, bucket: MemoryStore) -> None:
    store_in(bucket).publish(trained.manifest, trained.files)
    changed = trained.files[METRICS_FILE].replace(b"accuracy", b"ACCURACY")
    bucket.put(object_name(METRICS_FILE, trained.manifest.files[METRICS_FILE]), changed)
    with pytest.raises(ArtifactError, match="its sha256 differs"):
        store_in(bucket).load()


def test_another_digest_is_refused(trained: Produced, bucket: MemoryStore) -> None:
    store_in(bucket).publish(trained.manifest, trained.files)
    with pytest.raises(ArtifactError, match="expected sha256:0"):
        store_in(bucket).load(digest="sha256:" + "0" * 64)


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers every request with ``server.answer``: a status and the code of an S3 error."""

    def _refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, code = self.server.answer  # type: ignore[attr-defined]
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = _refuse  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("answer", "reason", "field", "retry"),
    [
        ((403, "AccessDenied"), "StorageForbidden", "spec.artifacts.secretRef", Retry.ON_CHANGE),
        ((401, "Unauthorized"), "StorageForbidden", "spec.artifacts.secretRef", Retry.ON_CHANGE),
        ((404, "InvalidAccessKeyId"), "StorageForbidden", "spec.artifacts.secretRef", Retry.ON_CHANGE),
        ((404, "XAdminUserNotFound"), "StorageForbidden", "spec.artifacts.secretRef", Retry.ON_CHANGE),
        ((404, "NoSuchBucket"), "BucketNotFound", "spec.artifacts.uri", Retry.ON_CHANGE),
        ((400, "InvalidRequest"), "StorageSettingsInvalid", "spec.artifacts.secretRef", Retry.ON_CHANGE),
        ((301, "PermanentRedirect"), "StorageSettingsInvalid", "spec.artifacts.secretRef", Retry.ON_CHANGE),
        ((500, "InternalError"), "StorageUnavailable", None, Retry.SOON),
        ((503, "SlowDown"), "StorageUnavailable", None, Retry.SOON),
        ((429, "TooManyRequests"), "StorageUnavailable", None, Retry.SOON),
    ],
)
def test_refusals_say_what_must_change(s3: Any, answer: Any, reason: str, field: str | None, retry: Retry) -> None:
    s3.answer = answer
    store = open_store(ADDRESS)
    for call in (store.load, store.prepare):
        with pytest.raises(StorageError) as caught:
            call()
        failure = caught.value.failure()
        assert (failure.reason, failure.field, failure.about, failure.retry) == (reason, field, About.STORAGE, retry)
        assert ADDRESS in failure.message
        assert "Debug source" not in failure.message


def test_a_missing_object_is_no_error(s3: Any) -> None:
    s3.answer = (404, "NoSuchKey")
    assert open_store(ADDRESS).load() is None


def test_rights_that_are_missing_for_discarding_are_said(s3: Any) -> None:
    s3.answer = (403, "AccessDenied")
    with pytest.raises(StorageError, match="get, put, list and delete"):
        open_store(ADDRESS).discard()


def test_a_server_that_is_not_there_may_come(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageUnavailableError, match="does not answer as it should") as caught:
        load_artifact(ADDRESS)
    assert caught.value.failure().exit_code == 75


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AWS_ALLOW_HTTP": "false"}, "plain HTTP, which needs AWS_ALLOW_HTTP"),
        ({"AWS_ALLOW_HTTP": "perhaps"}, 'failed to parse "perhaps" as boolean'),
        ({"AWS_ENDPOINT_URL": "not a URL"}, "cannot be used as it is set"),
    ],
)
def test_settings_that_cannot_be_are_said(
    s3: Any, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError, match=words) as caught:
        open_store(ADDRESS).load()
    assert (caught.value.reason, caught.value.field) == ("StorageSettingsInvalid", "spec.artifacts.secretRef")


def test_a_bucket_elsewhere_needs_its_own_settings() -> None:
    with pytest.raises(StorageError, match=r"az://models/x cannot be used as it is set: .*Account must be specified"):
        open_store("az://models/x")


def test_an_address_of_no_store_is_refused() -> None:
    with pytest.raises(
        ArtifactError, match=r"kept in a folder or under s3://, gs://, az://, oci://, oci\+http://, not under ftp://"
    ):
        open_store("ftp://models/x")


def test_a_new_store_is_one_member_of_the_registry(
    trained: Produced, monkeypatch: pytest.MonkeyPatch, bucket: MemoryStore
) -> None:
    """A dummy store is taken through what every command uses."""
    from modelservice.artifact import stores  # noqa: PLC0415

    opened = []

    def open_dummy(address: str, options: StoreOptions) -> ObjectArtifactStore:
        opened.append((address, options.scratch))
        return store_in(bucket)

    def open_dummy_checkpoints(_address: str, _options: StoreOptions) -> ObjectCheckpoints:
        return ObjectCheckpoints(bucket, address=ADDRESS)

    dummy = StoreKind(("dummy",), open_dummy, open_dummy_checkpoints)
    monkeypatch.setattr(stores, "STORES", (*stores.STORES, dummy))
    open_store("dummy://a/b", scratch="pod").publish(trained.manifest, trained.files)
    assert Predictor.load("dummy://a/b", digest=trained.digest).manifest == trained.manifest
    assert opened == [("dummy://a/b", "pod"), ("dummy://a/b", "local")]
    open_checkpoints("dummy://a/b").write("train", b"so far")
    assert open_checkpoints("dummy://a/b").read("train", limit=6) == b"so far"
    with pytest.raises(ArtifactError, match="dummy://"):
        open_store("ftp://x")


def test_several_files_are_fetched_at_a_time(trained: Produced, bucket: MemoryStore) -> None:
    store_in(bucket).publish(trained.manifest, trained.files)
    two = threading.Barrier(2, timeout=60)

    class Waiting:
        """Gives no file before another one is asked for."""

        def get(self, path: str, **kwargs: Any) -> Any:
            if path.endswith((MODEL_FILE, METRICS_FILE)):
                two.wait()
            return bucket.get(path, **kwargs)

    artifact = ObjectArtifactStore(Waiting(), address=ADDRESS).load()  # type: ignore[arg-type]
    assert artifact is not None
    assert list(artifact.contents) == list(trained.manifest.files)


def test_the_manifest_in_a_bucket_is_that_of_a_folder(trained: Produced, bucket: MemoryStore) -> None:
    store_in(bucket).publish(trained.manifest, trained.files)
    manifest = json.loads(bytes(bucket.get(MANIFEST_FILE).bytes()))
    assert (manifest["kind"], manifest["stage"], manifest["key"]) == ("Manifest", "train", "abc")
