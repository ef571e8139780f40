"""Data that a pod reads without keys, by what the cloud gives to its ServiceAccount; what is said where it gives none.

Each cloud's webhook sets variables and projects a token; the client of the stores finds them by itself.
"""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.identity_server import KEY_ID, POD_TOKEN, TOKEN, IdentityServer
from tests.support.object_server import running
from tests.unit.runtime.serving.pki import Authority

from modelservice.artifact.stores import objects as artifacts_module
from modelservice.artifact.stores import open_store
from modelservice.contract.failure import DataError, Retry, StageError, StorageError
from modelservice.modalities import objects as objects_module
from modelservice.modalities.objects import open_objects

TABLE = b"a,y\n1,x\n2,z\n"
CLOUDS = {
    "EKS Pod Identity": ("s3://tables/t.csv", "/v1/credentials", POD_TOKEN, KEY_ID),
    "IRSA": ("s3://tables/t.csv", "/", POD_TOKEN, KEY_ID),
    "Azure": ("az://tables/t.csv", "/tenant/oauth2/v2.0/token", POD_TOKEN, TOKEN),
    "GKE": ("gs://tables/t.csv", "/computeMetadata/v1/instance/service-accounts/default/token", "", TOKEN),
}
REFUSALS = {
    "EKS Pod Identity": (403, b"AccessDeniedException: Unauthorized Exception! EKS does not have permissions"),
    "IRSA": (403, b"<Error><Code>AccessDenied</Code><Message>Not authorized to perform this</Message></Error>"),
    "Azure": (400, b'{"error": "unauthorized_client", "error_description": "AADSTS700016: no such application"}'),
    "GKE": (404, b"Unable to generate access token"),
}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityServer]:
    for module in (objects_module, artifacts_module):
        monkeypatch.setattr(module, "MAX_RETRIES", 0)
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "GCE_"))]:
        monkeypatch.delenv(name)
    server = IdentityServer(TABLE)
    with running(server, monkeypatch):
        yield server


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[IdentityServer]:
    """Over TLS, as clients want it of one who is shown tokens."""
    authority, server = Authority("test"), IdentityServer()
    issued = authority.issue("sts")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tmp_path / name).write_bytes(issued[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    with running(server, monkeypatch):
        yield server


def become(
    name: str, cloud: IdentityServer, sts: IdentityServer, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> IdentityServer:
    """Have the environment of a pod of that cloud, and tell who gives it credentials."""
    for variable, value in cloud.variables(name, folder / "token").items():
        monkeypatch.setenv(variable, value)
    if name != "IRSA":
        return cloud
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"https://localhost:{sts.server_port}")
    return sts


def read(uri: str) -> bytes:
    objects = open_objects(uri)
    return objects.read(objects.path, limit=1000)


@pytest.mark.parametrize("name", CLOUDS)
def test_the_token_of_the_pod_becomes_credentials_that_open_the_data(
    name: str, cloud: IdentityServer, sts: IdentityServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri, path, shown, credentials = CLOUDS[name]
    gives = become(name, cloud, sts, monkeypatch, tmp_path)
    assert read(uri) == TABLE
    assert gives.asked == [(path, shown)]
    assert set(cloud.shown) == {credentials}


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_that_gives_nothing_is_no_matter_of_time(
    name: str, cloud: IdentityServer, sts: IdentityServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gives = become(name, cloud, sts, monkeypatch, tmp_path)
    gives.refusal = REFUSALS[name]
    with pytest.raises(
        DataError, match="the cloud gives the pod none: name a ServiceAccount in serviceAccountName"
    ) as no:
        read(CLOUDS[name][0])
    assert (no.value.reason, no.value.field) == ("DataForbidden", "spec.data.secretRef")
    assert cloud.shown == []  # nothing is asked for without credentials
    with pytest.raises(StorageError, match="the cloud gives the pod none") as never:
        open_store(CLOUDS[name][0].removesuffix("t.csv") + "key", scratch="a").prepare()
    assert (never.value.reason, never.value.field) == ("StorageForbidden", "spec.artifacts.secretRef")
    assert POD_TOKEN not in no.value.message + never.value.message


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_that_is_away_is_asked_again_by_the_next_pod(
    name: str, cloud: IdentityServer, sts: IdentityServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gives = become(name, cloud, sts, monkeypatch, tmp_path)
    gives.refusal = (503, b"")
    with pytest.raises(StageError) as away:
        read(CLOUDS[name][0])
    assert (away.value.reason, away.value.RETRY) == ("DataUnavailable", Retry.SOON)
    with pytest.raises(StorageError) as later:
        open_store(CLOUDS[name][0].removesuffix("t.csv") + "key", scratch="a").prepare()
    assert (later.value.reason, later.value.RETRY) == ("StorageUnavailable", Retry.SOON)


@pytest.mark.parametrize("name", ["EKS Pod Identity", "IRSA", "Azure"])
def test_a_token_that_nobody_projected_is_said(
    name: str, cloud: IdentityServer, sts: IdentityServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    become(name, cloud, sts, monkeypatch, tmp_path)
    (tmp_path / "token").unlink()
    with pytest.raises(DataError, match="the cloud gives the pod none") as refused:
        read(CLOUDS[name][0])
    assert refused.value.reason == "DataForbidden"


def test_where_nobody_gives_anything_no_request_goes_out_without_credentials(
    cloud: IdentityServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in cloud.variables("EKS Pod Identity", tmp_path / "token").items():
        if "CONTAINER" not in name:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StageError, match="nobody gives this machine an identity of its own") as refused:
        read("s3://tables/t.csv")
    assert (refused.value.reason, refused.value.field) == ("DataUnavailable", "spec.data.secretRef")
    assert cloud.shown == []


def test_keys_go_before_an_identity(cloud: IdentityServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in cloud.variables("EKS Pod Identity", tmp_path / "token").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert read("s3://tables/t.csv") == TABLE
    assert cloud.asked == []
