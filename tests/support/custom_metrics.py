"""A custom metrics API that the local cluster's apiserver takes in: it reads what pods themselves tell.

In the place of an adapter and a Prometheus, of which the rule is tested elsewhere: the autoscaler is the cluster's own.
"""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tests.cluster import pki
from tests.cluster.network import BRIDGE_IP
from tests.support.e2e import Space

from modelservice.contract.places import METRICS_ROUTE, SERVING_PORT
from modelservice_operator.domain.builders.scaling_metrics import CUSTOM_METRICS, SCALING_METRICS

VERSION = f"{CUSTOM_METRICS.group}/v1beta2"
API_SERVICE = f"v1beta2.{CUSTOM_METRICS.group}"
_NAMES = [metric.name for metric in SCALING_METRICS if metric.api == CUSTOM_METRICS]

Object = dict[str, Any]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, space: Space) -> None:
        super().__init__((BRIDGE_IP, 0), _Handler)
        self.space = space
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.certificate("apiserver"), pki.key("apiserver"))
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def values(self, name: str, selector: str) -> Iterator[Object]:
        """What each selected pod tells of a metric, those that do not answer left out."""
        listed = json.loads(self.space.kubectl("get", "pods", f"--selector={selector}", "--output=json"))
        for pod in listed["items"]:
            if (value := told(pod.get("status", {}).get("podIP"), name)) is None:
                continue
            about = {"apiVersion": "v1", "kind": "Pod", "namespace": self.space.name, "name": pod["metadata"]["name"]}
            said = {"timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "value": f"{int(value * 1000)}m"}
            yield {"describedObject": about, "metric": {"name": name}, **said}


def told(address: str | None, name: str) -> float | None:
    """A gauge of a server, None where it does not answer."""
    try:
        page = httpx.get(f"http://{address}:{SERVING_PORT}{METRICS_ROUTE}", trust_env=False, timeout=5).text
    except httpx.HTTPError:
        return None
    samples = [one for family in text_string_to_metric_families(page) for one in family.samples if one.name == name]
    return samples[0].value if samples else None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        path, root = unquote(asked.path).rstrip("/"), f"/apis/{VERSION}"
        pods = f"{root}/namespaces/{self.server.space.name}/pods/*/"
        if path == root:
            one = {"singularName": "", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}
            resources = [{"name": f"pods/{name}", **one} for name in _NAMES]
            self._answer(
                {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION, "resources": resources}
            )
        elif path.startswith(pods) and path.removeprefix(pods) in _NAMES:
            (selector,) = parse_qs(asked.query).get("labelSelector", [""])
            items = list(self.server.values(path.removeprefix(pods), selector))
            self._answer({"kind": "MetricValueList", "apiVersion": VERSION, "metadata": {}, "items": items})
        else:
            self._answer({"kind": "Status", "apiVersion": "v1", "status": "Failure"}, HTTPStatus.NOT_FOUND)

    def _answer(self, document: Object, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def custom_metrics_api(space: Space) -> Iterator[None]:
    """Serve the metrics of a space's pods until the context ends."""
    server = _Server(space)
    serving = threading.Thread(target=server.serve_forever, name="custom metrics")
    serving.start()
    name, port = "custom-metrics", server.server_port
    metadata, ports = {"name": name, "namespace": space.name}, [{"name": "https", "protocol": "TCP", "port": port}]
    endpoint = {"addresses": [BRIDGE_IP], "conditions": {"ready": True}}
    labels = {"kubernetes.io/service-name": name}
    spec = {
        "group": CUSTOM_METRICS.group,
        "version": VERSION.rpartition("/")[2],
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {**metadata, "port": port},
        "insecureSkipTLSVerify": True,  # signed for another address
    }
    try:
        space.administer({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}})
        space.administer(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**metadata, "labels": labels},
                "addressType": "IPv4",
                "endpoints": [endpoint],
                "ports": ports,
            }
        )
        kind = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
        space.administer({**kind, "metadata": {"name": API_SERVICE}, "spec": spec})
        yield
    finally:
        # First: while one is registered that does not answer, no namespace can be deleted.
        space.as_admin("delete", "apiservice", API_SERVICE, "--ignore-not-found")
        server.shutdown()
        serving.join()
        server.server_close()
