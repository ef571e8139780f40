"""Data from a web server over TLS, on this machine's own loopback, with an authority that openssl makes for it."""

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.helm import ROOT

from modelservice.artifact.stores import load_artifact
from modelservice.contract.data import Format
from modelservice.contract.failure import DataError, StorageError
from modelservice.modalities import objects as objects_module
from modelservice.modalities.elsewhere import Named, read_elsewhere
from modelservice.modalities.objects import open_objects
from modelservice.modalities.sources import read_objects

pytestmark = pytest.mark.cluster

RELEASED = ROOT / "tests" / "data" / "released" / "0.1" / "artifacts" / "iris-train"
TABLE = b"a,y\n1,x\n2,z\n"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Web(http.server.BaseHTTPRequestHandler):
    """A table, a redirect to it, one to plain HTTP, an answer of unknown length, and an artifact."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        targets = {"/moved": "/table.csv", "/plain": "http://127.0.0.1:9/table.csv"}
        if self.path in targets:
            self.send_response(302)
            self.send_header("Location", targets[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path.startswith("/iris/"):
            self.answer_with(RELEASED / self.path.removeprefix("/iris/"))
            return
        self.send_response(200)
        if self.path == "/endless":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\na,y\r\n0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(TABLE)))
        self.end_headers()
        self.wfile.write(TABLE)

    def answer_with(self, file: Path) -> None:
        content = file.read_bytes() if file.is_file() else b""
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of an authority (``ca.pem``), and what it signed for localhost."""
    folder = tmp_path_factory.mktemp("pki")
    ca, key = folder / "ca.pem", folder / "ca.key"
    of_ca = ("-subj", "/CN=test", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", "-x509", *NEW_KEY, "-keyout", key, "-out", ca, "-days", "1", *of_ca)
    request, extensions = folder / "server.csr", folder / "extensions"
    openssl("req", *NEW_KEY, "-keyout", folder / "server.key", "-out", request, "-subj", "/CN=localhost")
    extensions.write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    signing = ("-CA", ca, "-CAkey", key, "-CAcreateserial", "-days", "1", "-extfile", extensions)
    openssl("x509", "-req", "-in", request, *signing, "-out", folder / "server.pem")
    return folder


@pytest.fixture
def address(authority: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a server whose authority the environment names."""
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["table.csv", "moved"])
def test_a_table_is_read_also_where_it_moved_to(address: str, path: str) -> None:
    source = read_objects(open_objects(f"{address}/{path}"), format=Format.CSV)
    assert source.target("y").texts == ("x", "z")


@pytest.mark.parametrize(
    ("path", "words"),
    [("plain", "it leads on to plain HTTP"), ("endless", "Content-Length Header missing")],
)
def test_what_can_never_be_read_is_said(address: str, path: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_objects(open_objects(f"{address}/{path}"), format=Format.CSV)
    assert (caught.value.reason, caught.value.field) == ("DataSettingsInvalid", "spec.data.uri")


def test_an_authority_that_nobody_named_is_not_trusted(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DataError, match="its certificate is not trusted: UnknownIssuer"):
        read_objects(open_objects(f"{address}/table.csv"), format=Format.CSV)


def test_an_artifact_is_read_from_a_folder_of_it(address: str) -> None:
    released = load_artifact(RELEASED)
    named = Named(uri=f"{address}/iris", digest=released.digest, field="spec.model.artifact", keys="")
    assert read_elsewhere(named).contents == released.contents
    with pytest.raises(StorageError, match=r"has no manifest\.json: correct spec\.model\.artifact\.uri"):
        read_elsewhere(named._replace(uri=f"{address}/iris/nowhere"))
