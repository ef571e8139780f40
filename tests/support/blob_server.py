"""A small server of Azure's Blob Service on the loopback, for what a training asks of it: blobs, parts, lists, writes.

Requests must be signed with the account's key as the REST reference says (Shared Key of the Blob Service).
"""

import base64
import hashlib
import hmac
import http.server
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tests.support.object_server import Handler, names_in, running

ACCOUNT = "account"
KEY = base64.b64encode(b"a key of 32 bytes, for one account").decode()
_SIGNED = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)
"""Headers of a string to sign, in order."""


class BlobServer(http.server.ThreadingHTTPServer):
    """Holds blobs by ``container/name``.

    Attributes:
        blobs: contents.
        keeps: blobs may not be deleted.
        asked: paths of all requests, with the range if there is one.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.keeps = False
        self.asked: list[str] = []

    def variables(self, key: str = KEY) -> dict[str, str]:
        """What a pod's environment says of it."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.server_port}",
            "AZURE_ALLOW_HTTP": "true",
        }


class _Handler(Handler):
    server: BlobServer

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        url = urlsplit(self.path)
        path, wanted = unquote(url.path).strip("/"), self.headers.get("Range")
        self.server.asked.append(path + (f" {wanted}" if wanted else ""))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        container, _, blob = path.partition("/")
        if not self._admitted(url.path, query, container):
            return
        if query.get("comp") == "list":
            self._list(container, query)
        elif (content := self.server.blobs.get(path)) is None:
            self.refuse(404, "BlobNotFound" if blob else "InvalidUri")
        else:
            self.send_content(content, wanted, changed="ConditionNotMet")

    def do_PUT(self) -> None:  # noqa: N802
        url = urlsplit(self.path)
        path, content = unquote(url.path).strip("/"), self.rfile.read(int(self.headers["Content-Length"]))
        if not self._admitted(url.path, {}, path.partition("/")[0]):
            return
        if self.headers.get("If-None-Match") == "*" and path in self.server.blobs:
            self.refuse(409, "BlobAlreadyExists")
        else:
            self.server.blobs[path] = content
            self.answer(201, b"", {"ETag": '"0x1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})

    def do_POST(self) -> None:  # noqa: N802
        """A batch of deletions, as the client asks for each; signatures inside the batch are not looked at."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self._admitted(url.path, query, unquote(url.path).strip("/")):
            return
        answers = []
        for number, name in re.findall(r"Content-ID: (\d+).*?DELETE (\S+) HTTP", body, re.DOTALL | re.IGNORECASE):
            path = unquote(urlsplit(name).path).strip("/")
            if self.server.keeps:
                status = "403 This request is not authorized to perform this operation using this permission."
            elif self.server.blobs.pop(path, None) is None:
                status = "404 The specified blob does not exist."
            else:
                status = "202 Accepted"
            inside = f"HTTP/1.1 {status}\r\nx-ms-request-id: {number}\r\n\r\n"
            answers.append(f"--batch\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n{inside}")
        self.answer(202, f"{''.join(answers)}--batch--".encode(), {"Content-Type": "multipart/mixed; boundary=batch"})

    def _admitted(self, path: str, query: dict[str, str], container: str) -> bool:
        """Whether the request is signed, and its container there; answered where not."""
        if self.headers.get("Authorization") != f"SharedKey {ACCOUNT}:{self._signature(path, query)}":
            self.refuse(403, "AuthenticationFailed")
        elif not any(name.startswith(f"{container}/") for name in self.server.blobs):
            self.refuse(404, "ContainerNotFound")
        else:
            return True
        return False

    def _signature(self, path: str, query: dict[str, str]) -> str:
        length = self.headers.get("Content-Length", "")
        values = {name: self.headers.get(name, "") for name in _SIGNED} | {"Content-Length": length.lstrip("0")}
        own = sorted((name.lower(), value) for name, value in self.headers.items() if name.lower().startswith("x-ms-"))
        parts = [
            self.command,
            *values.values(),
            *(f"{name}:{value}" for name, value in own),
            f"/{ACCOUNT}{path}",
            *(f"{name}:{query[name]}" for name in sorted(query)),
        ]
        signed = hmac.new(base64.b64decode(KEY), "\n".join(parts).encode(), hashlib.sha256)
        return base64.b64encode(signed.digest()).decode()

    def _list(self, container: str, query: dict[str, str]) -> None:
        prefix = query.get("prefix", "")
        here = names_in(self.server.blobs, container, prefix, below="delimiter" not in query)
        properties = (
            "<Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Etag>0x1</Etag>"
            "<Content-Length>1</Content-Length><Content-Type>text/csv</Content-Type>"
        )
        listed = "".join(f"<Blob><Name>{name}</Name><Properties>{properties}</Properties></Blob>" for name in here)
        self.answer(200, f"<EnumerationResults><Blobs>{listed}</Blobs><NextMarker/></EnumerationResults>".encode())

    def refuse(self, status: int, code: str) -> None:
        """Say no, with the code in a header too."""
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.answer(status, body, {"x-ms-error-code": code})


@contextmanager
def blob_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobServer]:
    """One that runs."""
    server = BlobServer()
    with running(server, monkeypatch):
        yield server
