"""An artifact as an OCI image in a small registry on the loopback: what is stored, what is read, what is refused."""

import base64
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.registry_server import RegistryServer, registry_server
from tests.unit.runtime.artifact.images import NAME, address_in, changed, described, layer_of, published, put, put_layer
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes
from modelservice.artifact.image_layer import MAX_LAYER_BYTES
from modelservice.artifact.stores import NoCheckpoints, load_artifact, open_checkpoints, open_store
from modelservice.artifact.stores.images import KEY_ANNOTATION, parse_address
from modelservice.contract.digests import sha256
from modelservice.contract.failure import StorageError
from modelservice.contract.manifest import MANIFEST_FILE, METRICS_FILE
from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Produced


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture(scope="module")
def other() -> Produced:
    """The same key, trained elsewhere: other bytes."""
    return produce(train_work(epochs=1, seed=1))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RegistryServer]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with registry_server(monkeypatch) as running:
        yield running


def test_what_was_published_is_what_is_loaded(trained: Produced, server: RegistryServer) -> None:
    store = open_store(address_in(server))
    assert store.load() is None
    store.prepare()
    assert [line.partition(" ")[0] for line in server.asked] == ["GET", "POST", "DELETE", "GET"], (
        "begun, and taken back"
    )
    assert (server.blobs, server.manifests) == ({}, {})
    assert store.publish(trained.manifest, trained.files) == trained.digest
    image = store.stored_as
    assert image == server.tags[f"{NAME}:abc"]
    again = open_store(f"{address_in(server)}@{image}")
    artifact = again.load(digest=trained.digest)
    assert artifact is not None
    assert (artifact.manifest, artifact.contents, again.stored_as) == (trained.manifest, trained.files, image)
    assert Predictor.load(f"{address_in(server)}@{image}", digest=trained.digest).manifest == trained.manifest


def test_it_is_an_image_that_nodes_unpack(trained: Produced, server: RegistryServer) -> None:
    published(server, trained)
    index, images = described(server)
    assert [one["platform"] for one in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    (layer,) = {image["layers"][0]["digest"] for image in images}
    for image, listed in zip(images, index["manifests"], strict=True):
        config = json.loads(server.blobs[image["config"]["digest"]])
        assert config["rootfs"] == {"type": "layers", "diff_ids": [layer]}
        assert (config["architecture"], config["os"]) == (listed["platform"]["architecture"], "linux")
        assert len(server.manifests[listed["digest"]][1]) == listed["size"]
        assert image["layers"][0]["size"] == len(server.blobs[layer])
    with tarfile.open(fileobj=io.BytesIO(server.blobs[layer])) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [MANIFEST_FILE, *trained.manifest.files]
        assert {(one.isreg(), one.mode, one.uid, one.gid, one.mtime) for one in members} == {(True, 0o444, 0, 0, 0)}
        held = {one.name: file.read() for one in members if (file := tar.extractfile(one))}
    assert held == {MANIFEST_FILE: document_bytes(trained.manifest), **trained.files}


def unpack(layer: bytes, folder: Path) -> None:
    """Make of a layer what a node mounts."""
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            (folder / member.name).write_bytes(content.read())


def test_a_layer_in_a_folder_is_an_artifact_in_a_folder(
    trained: Produced, server: RegistryServer, tmp_path: Path
) -> None:
    """What a node mounts is read as any folder is."""
    published(server, trained)
    unpack(server.blobs[layer_of(server)], tmp_path / "abc")
    assert load_artifact(tmp_path / "abc", digest=trained.digest).contents == trained.files


def test_the_same_artifact_is_the_same_image(trained: Produced, server: RegistryServer) -> None:
    assert published(server, trained).stored_as == published(server, trained).stored_as
    assert len(server.manifests) == 3


def test_the_tag_comes_last(trained: Produced, server: RegistryServer) -> None:
    published(server, trained)
    assert server.asked[-1] == f"PUT /v2/{NAME}/manifests/abc"


def test_two_artifacts_of_one_key_are_both_whole(trained: Produced, other: Produced, server: RegistryServer) -> None:
    first, second = published(server, trained).stored_as, published(server, other).stored_as
    assert first != second
    for image, produced in ((first, trained), (second, other)):
        assert load_artifact(f"{address_in(server)}@{image}", digest=produced.digest).contents == produced.files
    found = open_store(address_in(server)).load()
    assert found is not None
    assert found.digest == other.digest


def test_another_digest_is_refused(trained: Produced, server: RegistryServer) -> None:
    store = published(server, trained)
    with pytest.raises(ArtifactError, match=r"has digest sha256:.*, expected sha256:0000"):
        store.load(digest=f"sha256:{'0' * 64}")
    with pytest.raises(ArtifactError, match="there is no artifact in"):
        load_artifact(f"{address_in(server)}@sha256:{'0' * 64}")


def with_first(kind: bytes, name: str = MANIFEST_FILE) -> Callable[[bytes], bytes]:
    """A layer that begins with a member of another type or name."""

    def change(layer: bytes) -> bytes:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "../../etc/passwd"
        return member.tobuf(tarfile.GNU_FORMAT) + layer

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed, "sha256 differs"),
        (lambda layer: layer[:-20480], "ends too soon"),
        (lambda layer: layer[:700], "ends too soon"),
        (lambda _: b"", "ends too soon"),
        (lambda _: b"\0" * 1024, f"has no {MANIFEST_FILE} where it should be"),
        (lambda layer: layer + b"more", "holds more than the manifest lists"),
        (with_first(tarfile.SYMTYPE), "is no plain file"),
        (with_first(tarfile.LNKTYPE), "is no plain file"),
        (with_first(tarfile.DIRTYPE, "folder"), "is no plain file"),
        (with_first(tarfile.XHDTYPE, "long"), "is no plain file"),
        (with_first(tarfile.GNUTYPE_SPARSE), "is no plain file"),
        (with_first(tarfile.REGTYPE, "../manifest.json"), "has '../manifest.json' where"),
    ],
)
def test_what_is_not_as_listed_is_refused(
    trained: Produced, server: RegistryServer, change: Callable[[bytes], bytes], words: str
) -> None:
    store = published(server, trained)
    put_layer(server, change(server.blobs[layer_of(server)]))
    with pytest.raises(ArtifactError, match=words):
        store.load()


def test_a_file_of_another_size_is_not_read(trained: Produced, server: RegistryServer) -> None:
    store = published(server, trained)
    layer = server.blobs[layer_of(server)]
    files = {MANIFEST_FILE: document_bytes(trained.manifest), **trained.files, METRICS_FILE: b"{}"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in (MANIFEST_FILE, *trained.manifest.files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))
    assert buffer.getvalue() != layer
    put_layer(server, buffer.getvalue())
    with pytest.raises(ArtifactError, match=rf"{METRICS_FILE} has 2 bytes, the manifest says"):
        store.load()


def test_a_layer_that_is_too_large_is_never_asked_for(trained: Produced, server: RegistryServer) -> None:
    store = published(server, trained)
    layer = layer_of(server)
    put_layer(server, server.blobs[layer], size=MAX_LAYER_BYTES + 1)
    server.asked.clear()
    with pytest.raises(ArtifactError, match=f"at most {MAX_LAYER_BYTES} are read"):
        store.load()
    assert not [line for line in server.asked if "/blobs/" in line]


def test_a_blob_that_is_another_one_is_refused(trained: Produced, server: RegistryServer) -> None:
    """What lies between the files is in no file's hash."""
    store = published(server, trained)
    layer, manifest = layer_of(server), document_bytes(trained.manifest)
    at = tarfile.BLOCKSIZE + len(manifest)
    assert len(manifest) % tarfile.BLOCKSIZE
    server.blobs[layer] = server.blobs[layer][:at] + b"x" + server.blobs[layer][at + 1 :]
    with pytest.raises(ArtifactError, match="is another one"):
        store.load()


@pytest.mark.parametrize("body", [b"[]", b"{", b"{}", b'{"manifests": []}', b'{"layers": [{}]}', b"x" * (2 << 20)])
def test_an_image_that_is_none_of_ours_is_refused_and_never_deleted(server: RegistryServer, body: bytes) -> None:
    put(server, body)
    store = open_store(address_in(server))
    with pytest.raises(ArtifactError):
        store.load()
    with pytest.raises(ArtifactError):
        store.discard()
    with pytest.raises(ArtifactError):
        store.prepare()
    assert sha256(body) in server.manifests


def test_a_part_that_is_missing_is_said(trained: Produced, server: RegistryServer) -> None:
    store = published(server, trained)
    del server.blobs[layer_of(server)]
    with pytest.raises(ArtifactError, match=r"blob sha256:.* is missing"):
        store.load()
    del server.manifests[described(server)[0]["manifests"][0]["digest"]]
    with pytest.raises(ArtifactError, match=r"manifest sha256:.* is missing"):
        store.load()


def test_discarding_leaves_no_artifact(trained: Produced, server: RegistryServer) -> None:
    store = published(server, trained)
    store.discard()
    assert store.load() is None
    store.discard()


def test_a_damaged_one_that_may_not_be_deleted_is_replaced(
    trained: Produced, server: RegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = published(server, trained)
    put_layer(server, b"damaged")
    server.refusals["DELETE"] = (405, "UNSUPPORTED")
    store.discard()
    assert "cannot be deleted" in caplog.text
    store.publish(trained.manifest, trained.files)
    found = store.load(digest=trained.digest)
    assert found is not None


def test_a_copied_image_of_one_architecture_is_read(trained: Produced, server: RegistryServer) -> None:
    """Tools that copy for one platform leave the index out."""
    store = published(server, trained)
    body = server.manifests[described(server)[0]["manifests"][1]["digest"]][1]
    put(server, body)
    found = store.load(digest=trained.digest)
    assert found is not None
    assert store.stored_as == sha256(body)


@pytest.mark.parametrize(
    "address",
    [
        "oci://registry.example/models/iris",
        "oci://registry.example:abc",
        "oci://registry.example/Models:abc",
        "oci://registry.example/models:abc@sha256:12",
        "oci://user:password@registry.example/models:abc",
    ],
)
def test_what_is_no_address_of_an_image(address: str) -> None:
    with pytest.raises(ArtifactError, match=r"is no address of an image such as oci://registry\.example/"):
        open_store(address)


def test_the_parts_of_an_address() -> None:
    digest = f"sha256:{'1' * 64}"
    both = parse_address(f"oci://r.example:5000/a/b:abc@{digest}")
    assert (both.host, both.repository, both.tag, both.digest) == ("r.example:5000", "a/b", "abc", digest)
    assert (both.plain_http, both.reference) == (False, digest)
    assert parse_address("oci+http://r.example/a:abc").plain_http


def test_without_a_tag_nothing_is_published(trained: Produced, server: RegistryServer) -> None:
    with pytest.raises(ArtifactError, match="has no tag"):
        open_store(f"oci+http://{server.host}/{NAME}@sha256:{'0' * 64}").publish(trained.manifest, trained.files)


def test_a_registry_keeps_no_checkpoints(server: RegistryServer) -> None:
    checkpoints = open_checkpoints(address_in(server))
    assert isinstance(checkpoints, NoCheckpoints)
    checkpoints.write("train", b"so far")
    assert checkpoints.read("train", limit=10) is None
    assert server.asked == []


def test_other_stores_load_no_tls() -> None:
    """A server that reads a folder starts as fast as before."""
    code = "import sys, modelservice.artifact.stores; sys.exit('urllib.request' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_artifact_is_marked_as_one(trained: Produced, server: RegistryServer) -> None:
    published(server, trained)
    assert described(server)[0]["annotations"] == {KEY_ANNOTATION: "abc"}


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key that the environment names."""
    path = tmp_path / "key"
    path.write_bytes(base64.b64encode(b"k" * 32))
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, str(path))
    return path


def test_an_encrypted_artifact_is_readable_with_its_key_alone(
    trained: Produced, server: RegistryServer, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert published(server, trained).publish(trained.manifest, trained.files) == trained.digest
    at_rest = b"".join(server.blobs.values()) + b"".join(body for _, body in server.manifests.values())
    known = [trained.digest, *(entry.sha256 for entry in trained.manifest.files.values())]
    assert not any(word in at_rest for word in (b"setosa", b"float32", *(digest[7:].encode() for digest in known)))
    assert load_artifact(address_in(server), digest=trained.digest).contents == trained.files
    keys.write_bytes(base64.b64encode(b"x" * 32))
    with pytest.raises(StorageError, match="is encrypted with the key of id"):
        open_store(address_in(server)).load()
    monkeypatch.delenv(ENCRYPTION_KEYS_ENV)
    with pytest.raises(StorageError, match="is encrypted with the key of id"):
        open_store(address_in(server)).load()


@pytest.mark.usefixtures("keys")
def test_a_mounted_layer_is_opened_with_the_key(trained: Produced, server: RegistryServer, tmp_path: Path) -> None:
    published(server, trained)
    unpack(server.blobs[layer_of(server)], tmp_path / "mounted")
    assert load_artifact(tmp_path / "mounted", digest=trained.digest).contents == trained.files


@pytest.mark.usefixtures("keys")
def test_what_was_changed_since_it_was_encrypted_is_refused(trained: Produced, server: RegistryServer) -> None:
    store = published(server, trained)
    put_layer(server, changed(server.blobs[layer_of(server)]))
    with pytest.raises(ArtifactError, match="was changed since it was encrypted"):
        store.load(digest=trained.digest)
