"""A small S3 server on the loopback, for tests of what a store answers: objects, parts of them, lists and refusals."""

import hashlib
import html
import http.server
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class ObjectServer(http.server.ThreadingHTTPServer):
    """Holds objects by ``bucket/name``.

    Attributes:
        objects: contents.
        refusals: status and S3 code of the next answers, one for each request; of the last one all that follow, where
            ``for_ever`` is set.
        missing: status and S3 code of the answer where no object is; with 200 a page that is given instead.
        keeps: objects may not be deleted.
        asked: paths of all requests, with the range where one was asked for.
        access_keys: of all requests, as their signatures name them.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.refusals: list[tuple[int, str]] = []
        self.for_ever = False
        self.missing = (404, "NoSuchKey")
        self.keeps = False
        self.asked: list[str] = []
        self.access_keys: list[str] = []

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def variables(self, access_key: str = "key") -> dict[str, str]:
        """What a pod's environment says of it."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }


class Handler(http.server.BaseHTTPRequestHandler):
    """What a handler of any store needs: parts of a content of one version, and answers without a word on stderr."""

    protocol_version = "HTTP/1.1"

    def refuse(self, status: int, code: str) -> None:
        """Say no, as the store does."""
        self.answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def send_content(self, content: bytes, wanted: str | None, *, changed: str) -> None:
        """A content, or the part of it that is wanted; refused by the code ``changed`` where another one is meant."""
        tag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if self.headers.get("If-Match", tag["ETag"]) != tag["ETag"]:
            self.refuse(412, changed)
        elif wanted and (match := re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)):
            begin, last = int(match.group(1)), int(match.group(2))
            part = content[begin : last + 1]
            said = f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"
            self.answer(206, part, {**tag, "Content-Range": said})
        else:
            self.answer(200, content, tag)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def names_in(held: Iterable[str], bucket: str, prefix: str, *, below: bool = False) -> list[str]:
    """Names of a bucket that begin so, with or without those in folders below."""
    names = [name.removeprefix(f"{bucket}/") for name in held if name.startswith(f"{bucket}/")]
    return sorted(name for name in names if name.startswith(prefix) and (below or "/" not in name.removeprefix(prefix)))


class _Handler(Handler):
    server: ObjectServer

    def do_GET(self) -> None:
        server, url = self.server, urlsplit(self.path)
        wanted = self.headers.get("Range")
        server.asked.append(unquote(url.path).lstrip("/") + (f" {wanted}" if wanted else ""))
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        server.access_keys.append(signed.group(1) if signed else "")
        if server.refusals:
            status, code = server.refusals[0] if server.for_ever else server.refusals.pop(0)
            self.refuse(status, code)
        elif "list-type" in (query := parse_qs(url.query)):
            self._list(unquote(url.path).strip("/"), query.get("prefix", [""])[0], below="delimiter" not in query)
        elif (content := server.objects.get(unquote(url.path).lstrip("/"))) is None:
            self._miss(*server.missing)
        else:
            self.send_content(content, wanted, changed="PreconditionFailed")

    def do_POST(self) -> None:
        """Objects of a bucket are deleted; those that may not be are named in an answer of 200."""
        bucket = unquote(urlsplit(self.path).path).strip("/")
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        said = ""
        for name in map(html.unescape, re.findall("<Key>(.*?)</Key>", body)):
            self.server.asked.append(f"DELETE {bucket}/{name}")
            if self.server.keeps:
                said += f"<Error><Key>{name}</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
            else:
                self.server.objects.pop(f"{bucket}/{name}", None)
                said += f"<Deleted><Key>{name}</Key></Deleted>"
        self.answer(200, f"<DeleteResult>{said}</DeleteResult>".encode())

    def _miss(self, status: int, said: str) -> None:
        if status == http.HTTPStatus.OK:
            self.send_content(said.encode(), None, changed="PreconditionFailed")
        else:
            self.refuse(status, said)

    def _list(self, bucket: str, prefix: str, *, below: bool) -> None:
        listed = "".join(
            f"<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>"
            for name in names_in(self.server.objects, bucket, prefix, below=below)
        )
        self.answer(200, f"<ListBucketResult>{listed}</ListBucketResult>".encode())


@contextmanager
def running(server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While inside, a server runs, and there is no proxy before it."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    with server:
        # Who went away between the look for somebody and the hello would be waited for without end.
        server.socket.setblocking(False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def object_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """One that runs."""
    server = ObjectServer()
    with running(server, monkeypatch):
        yield server
