"""A port of this machine that leads to a pod, through the apiserver, as ``kubectl port-forward`` has it.

Each connection has a stream of its own. What a pod's NetworkPolicies refuse does not matter: the kubelet connects.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, NamedTuple

from modelservice.cluster.access import Access, Object
from modelservice.cluster.errors import ClusterError, told

HTTP_PORTS: Final = ("http", "https")
"""Names of the port that answers requests, without and with TLS."""
STATUS_PORT: Final = "status"
"""Name of the port of probes and metrics, where they have one of their own."""
_PIECE: Final = 2**16
_READY: Final = "Ready"


class Target(NamedTuple):
    """A port of a pod, and whether it speaks TLS."""

    pod: str
    port: int
    tls: bool


def target_of(pods: list[Object], name: str, *, status: bool = False) -> Target:
    """The newest ready serving pod, and its port.

    Args:
        pods: that serve, the newest first.
        name: of the ModelService, for messages.
        status: the port of probes and metrics is meant.

    Raises:
        ClusterError: none is ready.
    """
    ready = next((pod for pod in pods if is_ready(pod)), None)
    if ready is None:
        what = f"{len(pods)} pods, none of them ready" if pods else "no pods"
        raise ClusterError(f"{name} has {what}: see kubectl modelservice status {name}")
    ports = {
        port["name"]: port["containerPort"]
        for container in ready["spec"]["containers"]
        for port in container.get("ports", ())
        if "name" in port
    }
    if status and STATUS_PORT in ports:
        return Target(ready["metadata"]["name"], ports[STATUS_PORT], tls=False)
    http = next((one for one in HTTP_PORTS if one in ports), None)
    if http is None:
        raise ClusterError(f"pod {ready['metadata']['name']} has no port {' or '.join(HTTP_PORTS)}")
    return Target(ready["metadata"]["name"], ports[http], tls=http == "https")


@contextmanager
def forwarded(access: Access, target: Target, *, port: int = 0) -> Iterator[str]:
    """Listen on loopback for as long as the context lasts, and lead each connection to the pod.

    Args:
        access: to the cluster.
        target: the pod and its port.
        port: of this machine; 0 for any.

    Raises:
        ClusterError: the port is taken.

    Yields:
        The address, such as http://127.0.0.1:40123.
    """
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise ClusterError(f"cannot listen on port {port} of this machine: {error.strerror}") from error
    with closing(listening):
        threading.Thread(target=_accept, args=(listening, access, target), daemon=True).start()
        yield f"{'https' if target.tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}"


def _accept(listening: socket.socket, access: Access, target: Target) -> None:
    """Until the listening socket is closed."""
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_lead, args=(connection, access, target), daemon=True).start()


def _lead(connection: socket.socket, access: Access, target: Target) -> None:
    """One connection, both ways, until either side ends."""
    with closing(connection), suppress(OSError, ClusterError):
        stream = _opened(access, target)
        with closing(stream):
            other = stream.socket(target.port)
            back = threading.Thread(target=_pump, args=(other, connection), daemon=True)
            back.start()
            _pump(connection, other)
            back.join()


def _opened(access: Access, target: Target) -> Any:
    from kubernetes.stream import portforward  # noqa: PLC0415

    with told(access.where):
        connect = access.api("CoreV1Api").connect_get_namespaced_pod_portforward
        return portforward(connect, target.pod, access.namespace, ports=str(target.port))


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Bytes from one side to the other, until it says that no more come."""
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def is_ready(pod: Object) -> bool:
    """Whether a pod takes requests, and stays."""
    conditions = pod.get("status", {}).get("conditions", ())
    ready = any(one["type"] == _READY and one["status"] == "True" for one in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")
