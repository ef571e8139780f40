"""A small OCI registry on the loopback, for tests of what one answers: images, parts of blobs, tokens and refusals."""

import base64
import hashlib
import http.server
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.object_server import Handler, running

USER, PASSWORD = "pusher", "secret"


class RegistryServer(http.server.ThreadingHTTPServer):
    """Holds what was pushed, of all repositories together.

    Attributes:
        blobs: by digest.
        manifests: by digest, each with its media type.
        tags: digests by ``repository:tag``.
        asked: method and path of all requests.
        refusals: status and code of all answers to a method.
        login: how callers are known: Basic, Bearer, or None for nobody is asked.
        rights: what a token may, of pull, push and delete.
        cut: bytes after which the next answer with a blob breaks off.
        ranges: whether parts of blobs are given.
        redirect: where blobs lie instead; None for here.
        authorizations: what was shown by who asked for blobs.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        self.asked: list[str] = []
        self.refusals: dict[str, tuple[int, str]] = {}
        self.login: str | None = None
        self.rights = frozenset({"pull", "push", "delete"})
        self.cut: int | None = None
        self.ranges = True
        self.redirect: str | None = None
        self.authorizations: list[str] = []

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    def login_file(self, folder: Path, *, password: str = PASSWORD) -> Path:
        """What ``docker login`` would write, in a folder for ``DOCKER_CONFIG``."""
        entry = {"auth": base64.b64encode(f"{USER}:{password}".encode()).decode()}
        path = folder / "config.json"
        path.write_text(json.dumps({"auths": {self.host: entry}}), encoding="utf-8")
        return path


class _Handler(Handler):
    server: RegistryServer

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, json.dumps({"errors": [{"code": code, "message": "no"}]}).encode())

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        if self.path.startswith("/token"):
            self._token()
        elif self._lets_in("pull"):
            repository, kind, reference = self._parts()
            if kind == "manifests":
                self._manifest(repository, reference)
            else:
                self._blob(reference)

    def do_POST(self) -> None:  # noqa: N802 - as above
        if self._lets_in("push"):
            self.answer(202, b"", {"Location": f"{urlsplit(self.path).path}one?state=begun"})

    def do_PATCH(self) -> None:  # noqa: N802 - as above
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._lets_in("push"):
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            self.server.blobs[f"upload {digest}"] = body
            self.answer(202, b"", {"Location": f"{urlsplit(self.path).path}?state=sent"})

    def do_PUT(self) -> None:  # noqa: N802 - as above
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._lets_in("push"):
            return None
        repository, kind, reference = self._parts()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if kind == "manifests":
            self.server.manifests[digest] = self.headers["Content-Type"], body
            if ":" not in reference:
                self.server.tags[f"{repository}:{reference}"] = digest
            elif reference != digest:
                return self.refuse(400, "DIGEST_INVALID")
        else:
            (digest,) = parse_qs(urlsplit(self.path).query)["digest"]
            if f"upload {digest}" not in self.server.blobs:
                return self.refuse(400, "DIGEST_INVALID")
            self.server.blobs[digest] = self.server.blobs.pop(f"upload {digest}")
        return self.answer(201, b"", {"Location": "/"})

    def do_DELETE(self) -> None:  # noqa: N802 - as above
        _, kind, reference = self._parts()
        if not self._lets_in("push" if kind == "blobs" else "delete"):
            return
        if kind == "manifests":
            self.server.manifests.pop(reference, None)
            tags = self.server.tags
            self.server.tags = {tag: digest for tag, digest in tags.items() if digest != reference}
        self.answer(202, b"")

    def _parts(self) -> tuple[str, str, str]:
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(.+)", urlsplit(self.path).path)
        assert match is not None, self.path
        return match[1], match[2], match[3]

    def _lets_in(self, action: str) -> bool:
        server = self.server
        server.asked.append(f"{self.command} {self.path}")
        if (refusal := server.refusals.get(self.command)) is not None:
            self.refuse(*refusal)
            return False
        said = self.headers.get("Authorization", "")
        if server.login == "Basic" and said != _basic():
            self._challenge('Basic realm="here"')
        elif server.login == "Bearer" and action not in said.removeprefix("Bearer ").split("-"):
            scope = f"repository:any:{action}"
            self._challenge(f'Bearer realm="http://{server.host}/token",service="registry",scope="{scope}"')
        else:
            return True
        return False

    def _challenge(self, said: str) -> None:
        body = b'{"errors": [{"code": "UNAUTHORIZED", "message": "who are you"}]}'
        self.answer(401, body, {"WWW-Authenticate": said})

    def _token(self) -> None:
        """Its text is what it lets its holder do."""
        self.server.asked.append(f"GET {self.path}")
        (scope,) = parse_qs(urlsplit(self.path).query)["scope"]
        if self.headers.get("Authorization") != _basic():
            return self.refuse(401, "UNAUTHORIZED")
        granted = sorted(self.server.rights & set(scope.rpartition(":")[2].split(",")))
        return self.answer(200, json.dumps({"token": "-".join(granted)}).encode())

    def _manifest(self, repository: str, reference: str) -> None:
        digest = self.server.tags.get(f"{repository}:{reference}", reference)
        if digest not in self.server.manifests:
            return self.refuse(404, "MANIFEST_UNKNOWN")
        media_type, body = self.server.manifests[digest]
        return self.answer(200, body, {"Content-Type": media_type})

    def _blob(self, digest: str) -> None:
        server = self.server
        server.authorizations.append(self.headers.get("Authorization", ""))
        if server.redirect is not None:
            return self.answer(307, b"", {"Location": f"{server.redirect}{self.path}"})
        if (blob := server.blobs.get(digest)) is None:
            return self.refuse(404, "BLOB_UNKNOWN")
        begin = 0
        if server.ranges and (match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            begin = int(match[1])
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(blob) - begin))
        self.end_headers()
        cut, server.cut = server.cut, None
        self.wfile.write(blob[begin:cut])
        if cut is not None:
            self.close_connection = True
        return None


def _basic() -> str:
    return f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@contextmanager
def registry_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryServer]:
    """One that runs."""
    server = RegistryServer()
    with running(server, monkeypatch):
        yield server
