"""What ours is compared with, each in a process of its own: ``python -m tests.bench.servers ROLE ARGUMENT...``.

``echo`` and ``grpc-echo`` run uvicorn and grpc.aio as ours does; they read the body and answer one of the same size as
the model's. ``fastapi-async`` and ``fastapi-def`` are what one writes without this project. ``engine`` is the model
alone, without a server: it measures when it is asked.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCHES = (1, 8, 64)
SECONDS = 0.1


def run_echo(port: int, answer_bytes: int) -> int:
    """Serve a bare ASGI application."""
    import uvicorn  # noqa: PLC0415

    from modelservice.serving.listening import bind  # noqa: PLC0415
    from modelservice.serving.transports.http.server import server_config  # noqa: PLC0415

    body = b"x" * answer_bytes
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % answer_bytes)]

    async def echo(_scope, receive, send) -> None:  # type: ignore[no-untyped-def] # as bare as ASGI is
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with bind("127.0.0.1", port) as listener:
        uvicorn.Server(server_config(echo)).run(sockets=[listener])
    return 0


def run_grpc_echo(port: int, answer_bytes: int) -> int:
    """Serve one unary method that takes bytes and gives bytes, on the event loop that ours has."""
    import grpc.aio  # noqa: PLC0415

    from modelservice.serving.transports.grpc.server import OPTIONS  # noqa: PLC0415
    from modelservice.serving.transports.http.server import server_config  # noqa: PLC0415

    body = b"x" * answer_bytes

    async def echo(_request: bytes, _context: Any) -> bytes:
        return body

    async def serve() -> None:
        handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(echo)}
        server = grpc.aio.server(options=OPTIONS)
        service = "inference.GRPCInferenceService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()

    with asyncio.Runner(loop_factory=server_config(None).get_loop_factory()) as runner:
        runner.run(serve())
    return 0


def run_fastapi(port: int, folder: str, *, threaded: bool) -> int:
    """Serve the model as it is usually done: FastAPI, pydantic and torch, a forward pass for each request."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    import uvicorn  # noqa: PLC0415
    from fastapi import FastAPI  # noqa: PLC0415
    from pydantic import BaseModel  # noqa: PLC0415

    from modelservice.families.torch_engine import load_torch_engine  # noqa: PLC0415
    from modelservice.inference.predictor import Predictor  # noqa: PLC0415
    from modelservice.serving.listening import bind  # noqa: PLC0415
    from modelservice.serving.transports.http.server import server_config  # noqa: PLC0415

    torch.set_num_threads(1)
    predictor = Predictor.load(folder, engine=load_torch_engine)

    class Request(BaseModel):
        instances: list[dict[str, float]]

    class Prediction(BaseModel):
        label: str
        probabilities: dict[str, float]

    class Answer(BaseModel):
        predictions: list[Prediction]

    def predict(request: Request) -> Answer:
        raw = predictor.run(predictor.encode(request.instances))
        labels = [predictor.labels[code] for code in np.argmax(raw, axis=1)]
        rows = [dict(zip(predictor.labels, row, strict=True)) for row in raw.tolist()]
        pairs = zip(labels, rows, strict=True)
        return Answer(predictions=[Prediction(label=label, probabilities=row) for label, row in pairs])

    async def predict_here(request: Request) -> Answer:
        return predict(request)

    app = FastAPI()
    app.post(f"/v1/models/{Path(folder).name}:predict")(predict if threaded else predict_here)
    with bind("127.0.0.1", port) as listener:
        uvicorn.Server(server_config(app)).run(sockets=[listener])
    return 0


def run_engine(folder: str) -> int:
    """For each line that comes, print the rows/s of our engine with one thread at each batch size; no encoding."""
    import numpy as np  # noqa: PLC0415

    from modelservice.inference.predictor import Predictor  # noqa: PLC0415

    predictor = Predictor.load(folder)
    batches = [np.random.default_rng(0).random((rows, *predictor.shape), dtype=np.float32) for rows in BATCHES]
    for _ in sys.stdin:
        rates = []
        for features in batches:
            rows, started = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - started) < SECONDS:
                predictor.run(features)
                rows += len(features)
            rates.append(rows / elapsed)
        sys.stdout.write(json.dumps(rates) + "\n")
        sys.stdout.flush()
    return 0


ROLES: dict[str, Callable[..., int]] = {
    "echo": lambda port, size: run_echo(int(port), int(size)),
    "grpc-echo": lambda port, size: run_grpc_echo(int(port), int(size)),
    "fastapi-async": lambda port, folder: run_fastapi(int(port), folder, threaded=False),
    "fastapi-def": lambda port, folder: run_fastapi(int(port), folder, threaded=True),
    "engine": run_engine,
}

if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    sys.exit(ROLES[role](*arguments))
