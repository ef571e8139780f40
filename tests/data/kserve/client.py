"""Calls of KServe's own client, for an environment that has ``kserve``: see ``tests/support/kserve_recording.py``.

It takes the port of HTTP and the address of gRPC, and prints what each call got, as JSON, in the order of the calls;
requests of gRPC come with it, since nothing else can cut them out of a connection.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

MODEL, ROWS, CLASSES = "iris", [[3.0, 3.0], [-3.0, -3.0]], ["virginica", "setosa"]


def request(*, binary: bool = False) -> InferRequest:
    given = InferInput(name="features", shape=[2, 2], datatype="FP32")
    given.set_data_from_numpy(np.array(ROWS, dtype=np.float32), binary_data=binary)
    return InferRequest(model_name=MODEL, infer_inputs=[given], request_id="a7")


def labels(answer: Any) -> list[str]:
    (found,) = (output.as_numpy() for output in answer.outputs if output.name == "label")
    return [one.decode() if isinstance(one, bytes) else str(one) for one in found]


async def rest(base: str) -> list[dict[str, Any]]:
    """Each call on a client of its own, so on a connection of its own."""
    calls: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "v1 predict": ("v1", lambda c: c.infer(base, {"instances": ROWS}, model_name=MODEL)),
        "v1 explain": ("v1", lambda c: c.explain(base, MODEL, {"instances": ROWS})),
        "v1 live": ("v1", lambda c: c.is_server_live(base)),
        "v1 ready": ("v1", lambda c: c.is_model_ready(base, MODEL)),
        "v2 infer": ("v2", lambda c: c.infer(base, request(), model_name=MODEL)),
        "v2 infer binary": ("v2", lambda c: c.infer(base, request(binary=True), model_name=MODEL)),
        "v2 live": ("v2", lambda c: c.is_server_live(base)),
        "v2 server ready": ("v2", lambda c: c.is_server_ready(base)),
        "v2 ready": ("v2", lambda c: c.is_model_ready(base, MODEL)),
    }
    found = []
    for name, (protocol, call) in calls.items():
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
            try:
                got: Any = await call(client)
            except Exception as error:
                got = repr(error)
        found.append({"call": name, "got": labels(got) if hasattr(got, "outputs") else got})
    return found


async def grpc(address: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with InferenceGRPCClient(address) as client:

        def record(method: str) -> None:
            through = getattr(client._client_stub, method)

            def called(request: Any, **more: Any) -> Any:
                found.append({"method": method, "request": base64.b64encode(request.SerializeToString()).decode()})
                return through(request, **more)

            setattr(client._client_stub, method, called)

        for method in ("ModelInfer", "ServerReady", "ServerLive", "ModelReady"):
            record(method)
        calls = (
            lambda: client.infer(request()),
            lambda: client.infer(request(binary=True)),
            client.is_server_ready,
            client.is_server_live,
            lambda: client.is_model_ready(MODEL),
        )
        for call in calls:
            try:
                got: Any = await call()
            except Exception as error:
                got = repr(error)
            found[-1]["got"] = labels(got) if hasattr(got, "outputs") else got
    return found


async def main() -> None:
    http, address = sys.argv[1:]
    said = {"rest": await rest(f"http://127.0.0.1:{http}"), "grpc": await grpc(address)}
    print(json.dumps({"version": version("kserve"), **said}))  # noqa: T201


asyncio.run(main())
