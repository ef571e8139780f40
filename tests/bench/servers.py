"""The two servers that are compared, each in a process of its own: ``python -m tests.bench.servers echo|model ...``.

Both run uvicorn in the same way; the echo reads the body and answers one of the same size as the model's.
"""

import sys
import time

STARTED = time.perf_counter()


def run_echo(port: int, answer_bytes: int) -> int:
    """Serve a bare ASGI application."""
    import uvicorn  # noqa: PLC0415

    from modelservice.serving.main import bind, server_config  # noqa: PLC0415

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


def run_model(port: int, folder: str) -> int:
    """Serve an artifact as the command does, after saying how long the imports took."""
    from pathlib import Path  # noqa: PLC0415

    from modelservice.contract.serving import Batching  # noqa: PLC0415
    from modelservice.serving.main import serve  # noqa: PLC0415

    sys.stderr.write(f"imported in {time.perf_counter() - STARTED:.2f} s\n")
    return serve(folder=Path(folder), name="iris", digest=None, host="127.0.0.1", port=port, batching=Batching())


if __name__ == "__main__":
    role, port, argument = sys.argv[1:]
    sys.exit(run_echo(int(port), int(argument)) if role == "echo" else run_model(int(port), argument))
