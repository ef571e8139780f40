"""Asking a served model: from this machine, where ClusterIPs and pod addresses are routed, and from a pod."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import tritonclient.grpc as grpcclient
from numpy.typing import NDArray
from tests.cluster.base_image import base_reference
from tests.support.pods import build_container, build_pod
from tritonclient.utils import np_to_triton_dtype

from modelservice.contract.places import GRPC_PORT

_UNHEARD = (0.2, 1.0)


def ask(address: str, name: str, rows: Sequence[Any]) -> list[Any]:
    """What a model answers for each row: of classes the label and all probabilities, of a regression a number.

    A Service that became ready is refused until kube-proxy has heard of it, mostly within milliseconds.

    Args:
        address: ``host`` or ``host:port``.
        name: of the model.
        rows: what to ask.

    Raises:
        httpx.HTTPError: it does not answer, or refuses.
    """
    for seconds in (*_UNHEARD, None):
        try:
            with _client() as client:
                answer = client.post(f"http://{address}/v1/models/{name}:predict", json={"instances": rows})
            break
        except httpx.ConnectError:
            if seconds is None:
                raise
            time.sleep(seconds)
    answer.raise_for_status()
    predictions: list[Any] = answer.json()["predictions"]
    return predictions


def predict(address: str, name: str, rows: Sequence[Any]) -> list[str]:
    """Labels that a model answers with, see ``ask``.

    Raises:
        httpx.HTTPError: it does not answer, or refuses.
    """
    return [one["label"] for one in ask(address, name, rows)]


def infer_grpc(address: str, name: str, rows: NDArray[Any], *, output: str) -> NDArray[Any]:
    """One output of a model with one input tensor, asked over gRPC by NVIDIA's client.

    Args:
        address: of the Service.
        name: of the model.
        rows: the tensor, of one of the types that the protocol knows.
        output: which of the outputs.
    """
    with grpcclient.InferenceServerClient(f"{address}:{GRPC_PORT}") as client:
        (described,) = client.get_model_metadata(name).inputs
        tensor = grpcclient.InferInput(described.name, list(rows.shape), np_to_triton_dtype(rows.dtype))
        tensor.set_data_from_numpy(rows)
        answer: NDArray[Any] = client.infer(name, [tensor]).as_numpy(output)
    return answer


def _client() -> httpx.Client:
    """A client that opens a connection for each request; without TLS, whose set-up costs more than a request."""
    return httpx.Client(verify=False, trust_env=False, timeout=10, headers={"Connection": "close"})  # noqa: S501


@dataclass(kw_only=True)
class Asked:
    """What came back: how often which status, and what failed before there was one."""

    answers: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@contextmanager
def keep_asking(
    address: str, name: str, rows: Sequence[Any], *, pause: float, most: int, threads: int = 1
) -> Iterator[Asked]:
    """Send requests one after the other, each on a new connection, for as long as the context lasts.

    They begin when the Service is heard of, see ``ask``.

    Args:
        address: ``host`` or ``host:port``.
        name: of the model.
        rows: what to ask.
        pause: seconds between two requests of a thread.
        most: requests of all threads after which it ends.
        threads: how many ask at the same time.
    """
    ask(address, name, rows)
    asked, done = Asked(), threading.Event()
    url = f"http://{address}/v1/models/{name}:predict"

    def keep() -> None:
        with _client() as client:
            for _ in range(most // threads):
                if done.wait(pause):
                    return
                try:
                    asked.answers[client.post(url, json={"instances": rows}).status_code] += 1
                except httpx.HTTPError as error:
                    asked.failures.append(f"{type(error).__name__}: {error}")

    asking = [threading.Thread(target=keep, name=f"asks {name}") for _ in range(threads)]
    for thread in asking:
        thread.start()
    try:
        yield asked
    finally:
        done.set()
        for thread in asking:
            thread.join()


def build_client(url: str, body: str) -> dict[str, Any]:
    """A pod of somebody else in the namespace that asks a model by its DNS name, and logs the answer."""
    fetch = (
        "import sys, urllib.request as r; "
        "q = r.Request(sys.argv[1], sys.argv[2].encode(), {'content-type': 'application/json'}); "
        "print(r.urlopen(q, timeout=10).read().decode())"
    )
    container = build_container("client", base_reference(), "python3", "-c", fetch, url, body)
    return build_pod("client", container, restartPolicy="OnFailure")
