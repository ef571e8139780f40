"""A small server of Google Cloud Storage on the loopback, for what a stage asks of its XML API: objects, lists, writes.

Requests must carry the bearer token that it knows, as the metadata server of a machine gives it.
"""

import http.server
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tests.support.object_server import Handler, names_in, running

TOKEN = "known"  # noqa: S105 - of nobody


class GoogleServer(http.server.ThreadingHTTPServer):
    """Holds objects by ``bucket/name``, in ``buckets`` that are there; where it ``keeps`` them none may be deleted."""

    daemon_threads = True

    def __init__(self, *buckets: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets = frozenset(buckets)
        self.objects: dict[str, bytes] = {}
        self.keeps = False

    def variables(self) -> dict[str, str]:
        """What a pod's environment says of it."""
        host = f"127.0.0.1:{self.server_port}"
        return {"GOOGLE_BASE_URL": f"http://{host}", "GCE_METADATA_HOST": host, "GCE_METADATA_IP": host}


class _Handler(Handler):
    server: GoogleServer

    def do_GET(self) -> None:  # noqa: N802 - as http.server calls it
        url = urlsplit(self.path)
        if url.path.startswith("/computeMetadata/"):
            self.answer(200, json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}).encode())
            return
        if not self._admitted():
            return
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "list-type" in query:
            self._list(unquote(url.path).strip("/"), query)
        elif (content := self.server.objects.get(self._name)) is None:
            self.refuse(404, "NoSuchKey")
        else:
            self.send_content(content, self.headers.get("Range"), changed="PreconditionFailed")

    def do_PUT(self) -> None:  # noqa: N802
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._admitted():
            return
        if self.headers.get("x-goog-if-generation-match") == "0" and self._name in self.server.objects:
            self.refuse(412, "PreconditionFailed")
        else:
            self.server.objects[self._name] = content
            self.answer(200, b"", {"ETag": '"0x1"'})

    def do_DELETE(self) -> None:  # noqa: N802
        if not self._admitted():
            return
        if self.server.keeps:
            self.refuse(403, "AccessDenied")
        elif self.server.objects.pop(self._name, None) is None:
            self.refuse(404, "NoSuchKey")
        else:
            self.answer(204, b"")

    @property
    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def _admitted(self) -> bool:
        """Whether the request shows the token, and its bucket is there; answered where not."""
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.refuse(403, "AccessDenied")
        elif self._name.partition("/")[0] not in self.server.buckets:
            self.refuse(404, "NoSuchBucket")
        else:
            return True
        return False

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        here = names_in(self.server.objects, bucket, query.get("prefix", ""), below="delimiter" not in query)
        listed = "".join(
            f"<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>"
            for name in here
        )
        self.answer(200, f"<ListBucketResult>{listed}</ListBucketResult>".encode())


@contextmanager
def google_server(monkeypatch: pytest.MonkeyPatch, *buckets: str) -> Iterator[GoogleServer]:
    """One that runs."""
    server = GoogleServer(*buckets)
    with running(server, monkeypatch):
        yield server
