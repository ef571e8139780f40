"""What the apiserver is asked, in its own words."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from modelservice.cluster.access import Access
from modelservice.cluster.errors import ClusterError, NotFoundError

JOB = "/apis/batch/v1/namespaces/team/jobs/iris-train-key-1"


@contextmanager
def apiserver(status: int, answer: dict[str, Any], kubeconfig: Path) -> Iterator[list[tuple[str, Any, Any]]]:
    """Answers each DELETE alike; yields path, query and body of each."""
    asked: list[tuple[str, Any, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_DELETE(self) -> None:
            url = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"null")
            asked.append((url.path, parse_qs(url.query), body))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team"}}],
            "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
            "users": [{"name": "u", "user": {}}],
        }
        kubeconfig.write_text(yaml.safe_dump(config))
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def deleted(status: int, answer: dict[str, Any], tmp_path: Path, **options: Any) -> tuple[str, Any, Any]:
    with apiserver(status, {"kind": "Status", "apiVersion": "v1", **answer}, tmp_path / "config") as asked:
        Access(kubeconfig=str(tmp_path / "config")).delete_job("iris-train-key-1", "uid-7", **options)
    (only,) = asked
    return only


def test_a_job_is_deleted_with_its_pods_and_only_the_one_that_was_seen(tmp_path: Path) -> None:
    path, query, body = deleted(200, {"status": "Success"}, tmp_path)
    assert path == JOB
    assert query == {}
    assert body == {"preconditions": {"uid": "uid-7"}, "propagationPolicy": "Background"}
    # With a body the apiserver looks at no parameter of the query, so a dry run is asked for there as well.
    _, _, body = deleted(200, {"status": "Success"}, tmp_path, dry_run=True)
    assert body["dryRun"] == ["All"]


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (409, ClusterError, "the UID in the precondition .* does not match"),
        (404, NotFoundError, "no such Job"),
        (403, ClusterError, "cannot delete: ask for that right"),
    ],
)
def test_what_the_apiserver_refuses_is_said(status: int, error: type[Exception], words: str, tmp_path: Path) -> None:
    said = {409: "the UID in the precondition (uid-7) does not match", 404: "no such Job", 403: "cannot delete"}
    with pytest.raises(error, match=words):
        deleted(status, {"status": "Failure", "code": status, "message": said[status]}, tmp_path)


@pytest.fixture
def two(tmp_path: Path) -> str:
    """A kubeconfig of two contexts; nothing listens where their clusters are."""
    kubeconfig = tmp_path / "config"
    names = {"here": "team", "there": "shop"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "u", "namespace": namespace}}
            for name, namespace in names.items()
        ],
        "clusters": [
            {"name": name, "cluster": {"server": f"http://127.0.0.1:{port}"}}
            for port, name in enumerate(names, start=1)
        ],
        "users": [{"name": "u", "user": {}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config))
    return str(kubeconfig)


def test_each_context_has_its_cluster_and_its_namespace(two: str) -> None:
    for context, namespace, port in ((None, "team", 1), ("here", "team", 1), ("there", "shop", 2)):
        access = Access(kubeconfig=two, context=context)
        assert (access.namespace, access.where) == (namespace, f"the cluster at http://127.0.0.1:{port}")
    assert Access(kubeconfig=two, context="there", namespace="other").namespace == "other"


def test_a_context_and_a_kubeconfig_that_are_not_there_are_said(two: str, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"nowhere.*: set KUBECONFIG, or give --kubeconfig and --context"):
        Access(kubeconfig=two, context="nowhere")
    with pytest.raises(ClusterError, match="set KUBECONFIG, or give --kubeconfig and --context"):
        Access(kubeconfig=str(tmp_path / "none"))


def test_a_cluster_that_is_not_reached_is_said(two: str) -> None:
    words = r"the cluster at http://127.0.0.1:2 cannot be reached: .*refused; see kubectl cluster-info"
    with pytest.raises(ClusterError, match=words):
        Access(kubeconfig=two, context="there", timeout=5).service("iris")
