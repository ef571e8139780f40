"""What a registry answers: tokens, refusals, downloads that break off, and one that is away."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.registry_server import RegistryServer, registry_server
from tests.unit.runtime.artifact.images import NAME, address_in, published
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.artifact import registry_client
from modelservice.artifact.errors import StorageUnavailableError
from modelservice.artifact.registry import Registry
from modelservice.artifact.registry_client import RefusedError
from modelservice.artifact.stores import load_artifact, open_store
from modelservice.artifact.stores.images import ImageArtifactStore
from modelservice.contract.failure import About, Retry, StorageError
from modelservice.stages.base import Produced


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RegistryServer]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with registry_server(monkeypatch) as running:
        yield running


@pytest.mark.parametrize("login", ["Basic", "Bearer"])
def test_who_may_is_let_in_and_nobody_else(
    trained: Produced, server: RegistryServer, tmp_path: Path, login: str
) -> None:
    server.login = login
    with pytest.raises(StorageError) as refused:
        open_store(address_in(server)).prepare()
    assert (refused.value.reason, refused.value.field) == ("StorageForbidden", "spec.artifacts.image.pushSecretRef")
    with pytest.raises(StorageError) as refused:
        open_store(address_in(server)).load()
    assert (refused.value.reason, refused.value.field) == ("StorageForbidden", "spec.artifacts.image")
    server.login_file(tmp_path, password="wrong")  # noqa: S106 - of a server in a test
    with pytest.raises(StorageError, match="refuses"):
        open_store(address_in(server)).prepare()
    server.login_file(tmp_path)
    published(server, trained)
    assert load_artifact(address_in(server), digest=trained.digest).digest == trained.digest


def test_a_token_is_asked_for_once(trained: Produced, server: RegistryServer, tmp_path: Path) -> None:
    server.login = "Bearer"
    server.login_file(tmp_path)
    store = published(server, trained)
    assert len([line for line in server.asked if line.startswith("GET /token")]) == 1
    store.load()
    assert len([line for line in server.asked if line.startswith("GET /token")]) == 2


def test_who_may_only_pull_is_told_before_the_work(server: RegistryServer, tmp_path: Path) -> None:
    server.login, server.rights = "Bearer", frozenset({"pull"})
    server.login_file(tmp_path)
    store = open_store(address_in(server))
    assert store.load() is None
    with pytest.raises(StorageError, match="may pull and push there") as refused:
        store.prepare()
    assert refused.value.reason == "StorageForbidden"


@pytest.mark.parametrize(
    ("answer", "reason", "field", "retry"),
    [
        ((403, "DENIED"), "StorageForbidden", "spec.artifacts.image.pushSecretRef", Retry.ON_CHANGE),
        ((401, "UNAUTHORIZED"), "StorageForbidden", "spec.artifacts.image.pushSecretRef", Retry.ON_CHANGE),
        ((404, "NAME_UNKNOWN"), "RepositoryNotFound", "spec.artifacts.image.repository", Retry.ON_CHANGE),
        ((405, "UNSUPPORTED"), "StorageSettingsInvalid", "spec.artifacts.image", Retry.ON_CHANGE),
        ((503, "UNAVAILABLE"), "StorageUnavailable", None, Retry.SOON),
        ((429, "TOOMANYREQUESTS"), "StorageUnavailable", None, Retry.SOON),
    ],
)
def test_refusals_say_what_must_change(
    server: RegistryServer, answer: tuple[int, str], reason: str, field: str | None, retry: Retry
) -> None:
    server.refusals["POST"] = answer
    store = ImageArtifactStore(Registry(server.host, NAME, plain_http=True, seconds=0), address_in(server))
    with pytest.raises(StorageError) as refused:
        store.prepare()
    failure = refused.value.failure()
    assert (failure.reason, failure.field, failure.retry, failure.about) == (reason, field, retry, About.STORAGE)
    assert f"{answer[0]} {answer[1]}" in failure.message


def test_a_registry_that_is_not_there_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    with registry_server(monkeypatch) as server:
        host = server.host
    store = ImageArtifactStore(Registry(host, NAME, plain_http=True, seconds=0), f"oci+http://{host}/{NAME}:abc")
    with pytest.raises(StorageUnavailableError, match="does not answer as it should"):
        store.load()


def test_what_was_away_for_a_moment_is_asked_again(
    trained: Produced, server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.refusals["PATCH"] = (503, "UNAVAILABLE")
    monkeypatch.setattr("time.sleep", lambda _: server.refusals.clear())
    published(server, trained)
    assert load_artifact(address_in(server), digest=trained.digest).contents == trained.files


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_goes_on(trained: Produced, server: RegistryServer, ranges: bool) -> None:
    store = published(server, trained)
    server.cut, server.ranges = 5000, ranges
    found = store.load(digest=trained.digest)
    assert found is not None
    assert found.contents == trained.files
    assert len([line for line in server.asked if line.startswith("GET") and "/blobs/" in line]) == 2


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("https://r.example/v2/", "https://r.example:443/upload", True),
        ("http://r.example/v2/", "http://r.example:80/upload", True),
        ("https://r.example/v2/", "https://r.example:8443/upload", False),
        ("https://r.example/v2/", "https://storage.example/upload", False),
        ("https://r.example/v2/", "https://r.example@storage.example/upload", False),
    ],
)
def test_who_gets_the_password(first: str, second: str, same: bool) -> None:
    assert (registry_client._origin(first) == registry_client._origin(second)) is same


def test_blobs_that_lie_elsewhere_are_fetched_without_the_password(
    trained: Produced, server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As registries do that keep blobs in a bucket: they send to a URL that says enough."""
    server.login = "Basic"
    server.login_file(tmp_path)
    store = published(server, trained)
    with registry_server(monkeypatch) as elsewhere:
        elsewhere.blobs = server.blobs
        server.redirect = f"http://{elsewhere.host}"
        found = store.load(digest=trained.digest)
    assert found is not None
    assert elsewhere.authorizations == [""]


def test_tls_is_spoken_unless_the_address_says_otherwise(server: RegistryServer) -> None:
    with pytest.raises(StorageError, match=r"does not speak TLS: set plainHttp \(oci\+http://\)") as refused:
        open_store(f"oci://{server.host}/{NAME}:abc").load()
    assert refused.value.reason == "StorageSettingsInvalid"


def test_a_token_server_without_tls_gets_no_password(
    server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry with TLS that names a token server without it: a downgrade, by whoever wrote the challenge."""
    server.login_file(tmp_path)
    client = Registry(server.host, NAME)._client
    refused = RefusedError(401, "who are you")
    challenge = f'Bearer realm="http://{server.host}/token",service="s"'
    with pytest.raises(RefusedError, match="which is not https"):
        client._authorization(challenge, "pull", refused)
    assert server.asked == []
