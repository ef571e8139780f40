"""Artifacts as images in a real registry: CNCF distribution over a folder, on this machine's own loopback."""

import base64
import concurrent.futures
import functools
import http.server
import json
import secrets
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import jwt
import numpy as np
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from tests.cluster.toolchain import binary
from tests.support.object_server import Handler, running
from tests.support.registry_server import PASSWORD, USER
from tests.unit.runtime.stages.pipelines import IRIS, compress_work, order_of, train_work
from tests.wiring.test_object_store import encryption_key, run_as_pod, wait_until

from modelservice.artifact.files import file_entries
from modelservice.artifact.stores import load_artifact, open_store
from modelservice.contract.failure import StorageError
from modelservice.contract.manifest import WEIGHTS_FILE
from modelservice.contract.places import ENCRYPTION_KEYS_ENV
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Produced

pytestmark = pytest.mark.cluster


class Server(NamedTuple):
    """A registry: its host with the port, and the folder that it keeps all in."""

    host: str
    folder: Path

    def new_address(self) -> str:
        """Of an image in a repository that nobody used."""
        return f"oci+http://{self.host}/models/default/iris-{secrets.token_hex(4)}:abc"


@contextmanager
def registry(folder: Path, **config: Any) -> Iterator[Server]:
    """A registry that keeps all in a folder."""
    program = Path(binary("registry"))
    if not program.exists():
        pytest.fail(f"there is no {program}: run `python -m tests.cluster build registry`", pytrace=False)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": host},
        **config,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    environment = {"OTEL_TRACES_EXPORTER": "none"}  # it looks for a collector otherwise
    with subprocess.Popen([str(program), "serve", str(folder / "config.yaml")], env=environment) as process:
        try:
            wait_until(lambda: answers(host), process)
            yield Server(host, folder / "data")
        finally:
            process.terminate()


def answers(host: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{host}/v2/", timeout=1).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, and no credentials of whoever runs the tests."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


def test_an_artifact_goes_there_and_comes_back(server: Server, trained: Produced) -> None:
    address = server.new_address()
    store = open_store(address)
    assert store.load() is None
    store.prepare()
    digest = store.publish(trained.manifest, trained.files)
    assert load_artifact(f"{address}@{store.stored_as}", digest=digest).contents == trained.files
    assert Predictor.load(address, digest=digest).predict([[5.1, 3.5, 1.4, 0.2]]) == ["setosa"]
    again = open_store(address)
    again.publish(trained.manifest, trained.files)
    assert again.stored_as == store.stored_as, "the same artifact is the same image"
    store.discard()
    assert store.load() is None


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_large_file_is_streamed(
    server: Server, trained: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, encrypted: bool
) -> None:
    if encrypted:
        monkeypatch.setenv(ENCRYPTION_KEYS_ENV, encryption_key(tmp_path))
    weights = np.random.default_rng(0).bytes(20_000_000)
    files = {**trained.files, WEIGHTS_FILE: weights}
    manifest = trained.manifest.model_copy(update={"files": file_entries(files)})
    address, before = server.new_address(), set(server.folder.rglob("blobs/sha256/*/*/data"))
    digest = open_store(address).publish(manifest, files)
    assert load_artifact(address, digest=digest).contents == files
    found = [path.read_bytes() for path in server.folder.rglob("blobs/sha256/*/*/data") if path not in before]
    assert any(weights[:64] in content for content in found) is not encrypted


def test_of_two_that_publish_at_once_both_are_whole(server: Server, trained: Produced, other: Produced) -> None:
    address = server.new_address()

    def publish(produced: Produced) -> tuple[str, str | None]:
        store = open_store(address)
        return store.publish(produced.manifest, produced.files), store.stored_as

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        stored = set(pool.map(publish, [trained, other, trained, other]))
    assert {digest for digest, _ in stored} == {trained.digest, other.digest}
    for digest, image in stored:
        assert load_artifact(f"{address}@{image}", digest=digest).digest == digest


def test_a_registry_that_deletes_nothing_is_no_obstacle(
    tmp_path: Path, trained: Produced, other: Produced, caplog: pytest.LogCaptureFixture
) -> None:
    with registry(tmp_path, storage={"filesystem": {"rootdirectory": str(tmp_path / "data")}}) as found:
        store = open_store(found.new_address())
        store.publish(trained.manifest, trained.files)
        store.discard()
        assert "cannot be deleted" in caplog.text
        store.publish(other.manifest, other.files)
        loaded = store.load()
        assert loaded is not None
        assert loaded.digest == other.digest


def test_pods_of_both_stages_work_from_the_registry_alone(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As processes: train, compress what was pushed encrypted, by its digest, and answer with it."""
    (tmp_path / "iris.csv").write_bytes(IRIS.read_bytes())
    work = train_work(epochs=20, hidden=(32, 32))
    environment = {ENCRYPTION_KEYS_ENV: encryption_key(tmp_path), "HOME": str(tmp_path)}
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, environment[ENCRYPTION_KEYS_ENV])
    place = server.new_address().removesuffix(":abc")
    trained = run_as_pod(tmp_path, order_of(work, key="parent", artifact=f"{place}:parent"), environment)
    parent = f"{place}:parent@{trained.stored_as}"
    compress = compress_work(work, Path("unused"), trained.digest).model_copy(update={"parent": parent})
    compressed = run_as_pod(tmp_path, order_of(compress, key="child", artifact=f"{place}:child"), environment)
    assert compressed.compression is not None
    predictor = Predictor.load(f"{place}:child@{compressed.stored_as}", digest=compressed.digest)
    assert predictor.manifest.parent is not None
    assert predictor.manifest.parent.digest == trained.digest


@functools.cache
def signer() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A key that signs tokens, and its certificate, which the registry trusts."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    lasting = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return key, lasting.serial_number(x509.random_serial_number()).sign(key, SHA256())


class TokenServer(Handler):
    """Gives signed tokens to one user: all that is asked for but what ``withheld`` names."""

    withheld: frozenset[str] = frozenset()

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        if self.headers.get("Authorization") != f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}":
            self.answer(401, b"{}")
            return
        query = parse_qs(urlsplit(self.path).query)
        kind, name, actions = query["scope"][0].split(":")
        now = datetime.now(UTC)
        granted = [action for action in actions.split(",") if action not in self.withheld]
        claims = {
            "iss": "tests",
            "sub": USER,
            "aud": query["service"][0],
            "iat": now,
            "nbf": now - timedelta(minutes=1),
            "exp": now + timedelta(minutes=5),
            "jti": secrets.token_hex(8),
            "access": [{"type": kind, "name": name, "actions": granted}],
        }
        key, certificate = signer()
        chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
        token = jwt.encode(claims, key, algorithm="RS256", headers={"x5c": chain})
        self.answer(200, json.dumps({"token": token}).encode())


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A registry that takes the tokens of a server beside it alone."""
    bundle = tmp_path / "trusted.pem"
    bundle.write_bytes(signer()[1].public_bytes(Encoding.PEM))
    tokens = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenServer)
    token = {
        "realm": f"http://127.0.0.1:{tokens.server_port}/token",
        "service": "registry",
        "issuer": "tests",
        "rootcertbundle": str(bundle),
    }
    with running(tokens, monkeypatch), registry(tmp_path, auth={"token": token}) as found:
        yield found


def log_in(server: Server, folder: Path) -> None:
    entry = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    (folder / "config.json").write_text(json.dumps({"auths": {server.host: entry}}), encoding="utf-8")


def test_tokens_are_fetched_and_rights_that_are_missing_are_said(
    guarded: Server, tmp_path: Path, trained: Produced, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = guarded.new_address()
    with pytest.raises(StorageError) as refused:
        open_store(address).prepare()
    assert (refused.value.reason, refused.value.field) == ("StorageForbidden", "spec.artifacts.image.pushSecretRef")
    log_in(guarded, tmp_path)
    store = open_store(address)
    store.prepare()
    store.publish(trained.manifest, trained.files)
    assert load_artifact(address, digest=trained.digest).contents == trained.files
    monkeypatch.setattr(TokenServer, "withheld", frozenset({"push", "delete"}))
    with pytest.raises(StorageError, match="may pull and push there") as refused:
        open_store(address).prepare()
    assert refused.value.reason == "StorageForbidden"
    monkeypatch.setattr(TokenServer, "withheld", frozenset({"pull", "push", "delete"}))
    with pytest.raises(StorageError, match="may pull there") as refused:
        open_store(address).load()
    assert refused.value.field == "spec.artifacts.image"
