"""Artifacts and checkpoints in Azure's Blob Service: a small server that looks at signatures."""

import base64
from collections.abc import Iterator

import pytest
from tests.support.blob_server import BlobServer, blob_server
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.artifact.stores import load_artifact, open_checkpoints, open_store
from modelservice.artifact.stores import objects as objects_module
from modelservice.artifact.stores.objects import object_name
from modelservice.contract.failure import StorageError
from modelservice.contract.manifest import MANIFEST_FILE
from modelservice.stages.base import Produced

ADDRESS = "az://models/team/default/iris/abc"
HELD = "models/other"
"""An object of somebody else, without which there would be no container."""


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobServer]:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    with blob_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        server.blobs[HELD] = b""
        yield server


def below(server: BlobServer) -> set[str]:
    """Names of what lies below the address."""
    prefix = f"{ADDRESS.removeprefix('az://')}/"
    return {name.removeprefix(prefix) for name in server.blobs if name.startswith(prefix)}


def test_an_artifact_goes_there_and_comes_back(azure: BlobServer, trained: Produced) -> None:
    store = open_store(ADDRESS)
    assert store.load() is None
    store.prepare()
    assert below(azure) == set()
    digest = store.publish(trained.manifest, trained.files)
    assert load_artifact(ADDRESS, digest=digest).contents == trained.files
    files = {object_name(name, entry) for name, entry in trained.manifest.files.items()}
    assert below(azure) == {MANIFEST_FILE, *files}
    store.discard()
    assert set(azure.blobs) == {HELD}


def test_of_two_artifacts_of_one_key_the_first_stays(azure: BlobServer, trained: Produced) -> None:
    first = open_store(ADDRESS).publish(trained.manifest, trained.files)
    other = trained.manifest.model_copy(update={"name": "later"})
    assert open_store(ADDRESS).publish(other, trained.files) == first
    assert azure.blobs[f"{ADDRESS.removeprefix('az://')}/{MANIFEST_FILE}"].count(b"later") == 0


def test_checkpoints_replace_each_other_and_go(azure: BlobServer) -> None:
    checkpoints = open_checkpoints(ADDRESS)
    assert checkpoints.read("fit", limit=100) is None
    for content in (b"first", b"second"):
        checkpoints.write("fit", content)
    assert checkpoints.read("fit", limit=100) == b"second"
    checkpoints.discard()
    assert set(azure.blobs) == {HELD}


@pytest.mark.parametrize(
    ("variable", "value", "address", "reason"),
    [
        ("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"another").decode(), ADDRESS, "StorageForbidden"),
        ("AZURE_ALLOW_HTTP", "false", ADDRESS, "StorageSettingsInvalid"),
        ("AZURE_ALLOW_HTTP", "true", ADDRESS.replace("models", "none"), "BucketNotFound"),
    ],
)
@pytest.mark.usefixtures("azure")
def test_what_is_refused_names_what_to_change(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, address: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StorageError) as caught:
        open_store(address).prepare()
    assert caught.value.reason == reason
