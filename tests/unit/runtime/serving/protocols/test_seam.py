"""A protocol of one's own: one member beside the others, carried by both transports without a change in them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc.aio
import numpy as np
from tests.unit.runtime.serving.fakes import VERSION, client_of, core_of, numeric_model

from modelservice.serving.answer import Answer, json_answer
from modelservice.serving.calls import Call
from modelservice.serving.chain import MAX_BODY
from modelservice.serving.core import Models
from modelservice.serving.errors import RequestError
from modelservice.serving.parsing import parse_object
from modelservice.serving.protocols import PROTOCOLS
from modelservice.serving.protocols.base import InferMethod, Operation, Page, Rest, Service, Spoken, State
from modelservice.serving.transports.grpc.server import start_grpc
from modelservice.serving.transports.http.server import build_front


class Dummy:
    """``POST /dummy`` and ``dummy.Dummy/Ask`` answer the number of the most probable class of one row."""

    name = "dummy"

    def rest(self, spoken: Spoken) -> Rest:
        model, name, version, tolerance = spoken

        def parse(body: bytes, _header_length: bytes | None) -> Call[Any]:
            row = parse_object(body)["row"]
            rows = model.encoder.from_instances([row], tolerance)
            return Call(rows, refused, lambda found: json_answer(int(found.raw.argmax())))

        shown = Page("/dummy", "What this is", partial(page, f"{name}/{version}"))
        return Rest((Operation("/dummy", "/dummy", parse),), (shown,))

    def services(self, spoken: Sequence[Spoken]) -> tuple[Service, ...]:
        def parse(data: bytes) -> Call[bytes]:
            rows = np.frombuffer(data, dtype="<f4").reshape(1, -1)
            return Call(rows, refused, lambda found: b"%d" % found.raw.argmax())

        return (Service("dummy.Dummy", (InferMethod("Ask", parse),)),)


def page(model: str, state: State) -> Answer:
    return json_answer({"model": model, "ready": state.ready})


def refused(error: Any) -> RequestError:
    return RequestError(f"row: {error}")


async def test_a_new_protocol_is_one_member() -> None:
    core = core_of(numeric_model())
    protocols = (*PROTOCOLS, Dummy())
    async with client_of(build_front(Models([core]), protocols)) as client:
        assert (await client.post("/dummy", json={"row": [3, 3]})).json() == 2
        assert (await client.get("/dummy")).json() == {"model": f"iris/{VERSION}", "ready": True}
        wrong = await client.post("/dummy", json={"row": [1, "x"]})
        assert (wrong.status_code, wrong.json()["error"]) == (400, "row: [0].petal_length: 'x' is not a number")
        large = await client.post("/dummy", content=b"", headers={"content-length": str(MAX_BODY + 1)})
        assert large.status_code == 413
        assert 'code="200",route="/dummy"' in (await client.get("/metrics")).text
    server, port, _ = await start_grpc(Models([core]), host="127.0.0.1", port=0, protocols=protocols)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = await channel.unary_unary("/dummy.Dummy/Ask")(np.array([3, 3], dtype="<f4").tobytes())
    await server.stop(None)
    assert answer == b"2"


def test_members_have_names_of_their_own() -> None:
    assert len({protocol.name for protocol in PROTOCOLS}) == len(PROTOCOLS)
