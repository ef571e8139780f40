"""Artifacts and checkpoints in the stores of Azure and Google: small servers that look at signatures and tokens."""

import base64
import os
from collections.abc import Iterator, MutableMapping
from typing import NamedTuple

import pytest
from tests.support.blob_server import BlobServer, blob_server
from tests.support.google_server import GoogleServer, google_server
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.artifact.stores import load_artifact, open_checkpoints, open_store
from modelservice.artifact.stores import objects as objects_module
from modelservice.artifact.stores.objects import object_name
from modelservice.contract.failure import StorageError
from modelservice.contract.manifest import MANIFEST_FILE
from modelservice.stages.base import Produced

HELD = "models/other"
"""An object of somebody else, without which Azure's server would have no container."""


class Cloud(NamedTuple):
    """An address in a store that the environment tells, and all objects of that store."""

    address: str
    server: BlobServer | GoogleServer
    objects: MutableMapping[str, bytes]

    @property
    def below(self) -> set[str]:
        """Names of what lies below the address."""
        prefix = f"{self.address.partition('://')[2]}/"
        return {name.removeprefix(prefix) for name in self.objects if name.startswith(prefix)}


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture(params=["az", "gs"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    for name in [name for name in os.environ if name.startswith(("AZURE_", "GOOGLE_", "GCE_"))]:
        monkeypatch.delenv(name)
    address = f"{request.param}://models/team/default/iris/abc"
    with blob_server(monkeypatch) as azure, google_server(monkeypatch, "models") as google:
        for name, value in {**azure.variables(), **google.variables()}.items():
            monkeypatch.setenv(name, value)
        cloud = Cloud(address, azure, azure.blobs) if request.param == "az" else Cloud(address, google, google.objects)
        cloud.objects[HELD] = b""
        yield cloud


def test_an_artifact_goes_there_and_comes_back(cloud: Cloud, trained: Produced) -> None:
    store = open_store(cloud.address)
    assert store.load() is None
    store.prepare()
    assert cloud.below == set()
    digest = store.publish(trained.manifest, trained.files)
    assert load_artifact(cloud.address, digest=digest).contents == trained.files
    files = {object_name(name, entry) for name, entry in trained.manifest.files.items()}
    assert cloud.below == {MANIFEST_FILE, *files}
    store.discard()
    assert set(cloud.objects) == {HELD}


def test_rights_that_let_nobody_delete_are_told(cloud: Cloud, trained: Produced) -> None:
    store = open_store(cloud.address)
    store.publish(trained.manifest, trained.files)
    held, cloud.server.keeps = dict(cloud.objects), True
    with pytest.raises(StorageError) as caught:
        store.discard()
    assert (caught.value.reason, caught.value.field) == ("StorageForbidden", "spec.artifacts.secretRef")
    assert cloud.objects == held


def test_of_two_artifacts_of_one_key_the_first_stays(cloud: Cloud, trained: Produced) -> None:
    first = open_store(cloud.address).publish(trained.manifest, trained.files)
    later = trained.manifest.model_copy(update={"name": "later"})
    assert open_store(cloud.address).publish(later, trained.files) == first
    assert load_artifact(cloud.address, digest=first).manifest == trained.manifest


def test_checkpoints_replace_each_other_and_go(cloud: Cloud) -> None:
    checkpoints = open_checkpoints(cloud.address)
    assert checkpoints.read("fit", limit=100) is None
    for content in (b"first", b"second"):
        checkpoints.write("fit", content)
    assert checkpoints.read("fit", limit=100) == b"second"
    checkpoints.discard()
    assert set(cloud.objects) == {HELD}


def test_a_bucket_that_is_not_there_is_said(cloud: Cloud) -> None:
    with pytest.raises(StorageError) as caught:
        open_store(cloud.address.replace("models", "none")).prepare()
    assert (caught.value.reason, caught.value.field) == ("BucketNotFound", "spec.artifacts.uri")


@pytest.mark.parametrize("cloud", ["az"], indirect=True)
@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"another").decode(), "StorageForbidden"),
        ("AZURE_ALLOW_HTTP", "false", "StorageSettingsInvalid"),
    ],
)
def test_settings_that_open_nothing_name_the_secret(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StorageError) as caught:
        open_store(cloud.address).prepare()
    assert (caught.value.reason, caught.value.field) == (reason, "spec.artifacts.secretRef")
