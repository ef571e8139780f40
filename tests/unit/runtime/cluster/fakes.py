"""What a cluster has, for commands that ask it: pods, and a port that leads to one of them."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from modelservice.artifact.files import document_bytes
from modelservice.cluster.errors import NotFoundError
from modelservice.contract.manifest import MANIFEST_FILE
from modelservice.serving.archive import Archive
from modelservice.stages.base import Produced

Object = dict[str, Any]


def all_files(produced: Produced) -> dict[str, bytes]:
    """All files of an artifact, the manifest first, as a server keeps them."""
    return {MANIFEST_FILE: document_bytes(produced.manifest), **produced.files}


def archive_of(files: Mapping[str, bytes]) -> bytes:
    return b"".join(Archive(files).pieces())


def serving_pod(name: str, digest: str, *, revision: int = 1, ready: bool = True) -> Object:
    args = ["serve", f"--model=/artifacts/key{revision}", f"--digest={digest}", f"--revision={revision}"]
    ports = [{"name": "http", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "labels": {"modelservice.dev/stage": "serve"}},
        "spec": {"containers": [{"name": "server", "args": args, "ports": ports}]},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


@dataclass
class FakePod:
    """Answers any path with the archive, or with the rest that is asked for.

    Each connection brings at most ``sent`` bytes before it ends, None for all. ``ranges``: as this release does.
    """

    body: bytes
    status: int = 200
    sent: int | None = None
    ranges: bool = True
    tls: ssl.SSLContext | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    @contextmanager
    def forwarded(self, *_: Any, **__: Any) -> Iterator[str]:
        """In place of ``forwarding.forwarded``."""
        pod = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pod.asked.append((self.path, self.headers.get("Authorization")))
                pod.bodies.append(self.rfile.read(int(self.headers.get("content-length", 0))))
                start = int(self.headers.get("range", "bytes=0-")[6:-1]) if pod.ranges else 0
                pod.started.append(start)
                self.send_response(206 if start else pod.status)
                self.send_header("content-length", str(len(pod.body) - start))
                self.end_headers()
                self.wfile.write(pod.body[start:][: pod.sent])

            do_POST = do_GET  # noqa: N815 - the library's name

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            if pod.tls is not None:
                server.socket = pod.tls.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield f"http{'s' if pod.tls else ''}://127.0.0.1:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()


@dataclass
class FakeAccess:
    """A namespace; ``patches`` and ``deleted`` are what was asked for, each with whether it was a dry run."""

    found: dict[str, Object] = field(default_factory=dict)
    serving: list[Object] = field(default_factory=list)
    of_kind: dict[str, list[Object]] = field(default_factory=dict)
    patches: list[tuple[Object, bool]] = field(default_factory=list)
    deleted: list[tuple[str, str, bool]] = field(default_factory=list)
    namespace: str = "team"
    pod: FakePod = field(default_factory=lambda: FakePod(b""))

    def service(self, name: str) -> Object:
        if name not in self.found:
            raise NotFoundError(f"no ModelService {name} in namespace {self.namespace}")
        return self.found[name]

    def services(self, *, everywhere: bool = False) -> list[Object]:
        return list(self.found.values())

    def pods(self, name: str, *, stage: str | None = None) -> list[Object]:
        return self.serving

    def children(self, name: str) -> dict[str, list[Object]]:
        return self.of_kind

    def patch(self, name: str, change: Object, *, dry_run: bool = False) -> Object:
        self.patches.append((change, dry_run))
        return {}

    def delete_job(self, name: str, uid: str, *, dry_run: bool = False) -> None:
        self.deleted.append((name, uid, dry_run))


def refusal(said: str) -> bytes:
    return json.dumps({"error": said}).encode()
