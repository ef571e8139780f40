"""Several models in one process: one way in, each its own queue, and one executor that none of them keeps to itself."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc.aio
import httpx
import orjson
import pytest
from tests.unit.runtime.serving.fakes import CHEAP, FakeModel, client_of, mixed_model, numeric_model
from tests.unit.runtime.serving.talking import connected, until

from modelservice.contract.serving import Batching
from modelservice.serving.access.audit import AuditLog
from modelservice.serving.batcher import HANDED_OVER
from modelservice.serving.core import Common, Core, Models, build_core, share
from modelservice.serving.costs import Costs
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.protocols.open_inference.messages import MESSAGES
from modelservice.serving.protocols.tensorflow.messages import MESSAGES as TENSORFLOW
from modelservice.serving.switching import Source, Switch
from modelservice.serving.transports.grpc import Grpc
from modelservice.serving.transports.grpc.server import start_grpc
from modelservice.serving.transports.http.server import build_front
from modelservice.serving.transports.http.status import build_status_front

COSTLY = Costs(compute=((1, 0.1), (4, 0.1), (8, 0.1)), handover=0.001)
PATIENT = Batching(max_size=4, max_queue_milliseconds=10_000)
NAMES = ("iris", "wine")
INFER = "/inference.GRPCInferenceService/ModelInfer"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
WINE_LABELS = ("red", "white")


def wine() -> FakeModel:
    model = numeric_model(WINE_LABELS)
    model.digest = "sha256:" + "ef" * 32
    return model


def core_in(common: Common, model: FakeModel, name: str, *, revision: int = 1, costs: Costs = CHEAP) -> Core:
    return build_core(model, name=name, revision=revision, costs=costs, batching=PATIENT, common=common)


def common(**more: Any) -> Common:
    return share(**{"executor": ThreadPoolExecutor(max_workers=1), "lifecycle": Lifecycle(), **more})


def two(**more: Any) -> Models:
    shared = common(**more)
    return Models([core_in(shared, numeric_model(), "iris"), core_in(shared, wine(), "wine", revision=4)])


@asynccontextmanager
async def asked(models: Models) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(build_front(models)) as client:
        yield client


async def test_each_is_asked_by_its_name_in_both_ways_over_http() -> None:
    models = two()
    async with connected(build_front(models)) as direct, asked(models) as ordinary:
        for client in (direct, ordinary):
            for _ in range(3):  # a head that is known leads to the same model
                for name, label in (("iris", "virginica"), ("wine", "white")):
                    answer = await client.post(f"/v1/models/{name}:predict", json={"instances": [[3, 3]]})
                    assert answer.json()["predictions"][0]["label"] == label
        inputs = [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [3, 3]}]
        answer = await direct.post("/v2/models/wine/versions/4/infer", json={"inputs": inputs})
        assert (answer.json()["model_name"], answer.json()["model_version"]) == ("wine", "4")


async def test_who_asks_for_none_of_them_is_told_their_names() -> None:
    async with asked(two()) as client:
        unknown = await client.post("/v1/models/rose:predict", json={"instances": [[3, 3]]})
        assert unknown.status_code == 404
        assert unknown.json()["error"] == "no model named 'rose' here; this server serves 'iris', 'wine'"
        version = await client.get("/v2/models/wine/versions/1")
        assert version.json()["error"] == "no version '1' of wine; this server serves '4'"
        page = await client.get("/?model=rose", headers={"accept": "text/html"})
        assert page.status_code == 404


async def test_lists_have_all_of_them() -> None:
    async with asked(two()) as client:
        assert (await client.get("/v1/models")).json() == {"models": list(NAMES)}
        index = (await client.post("/v2/repository/index")).json()
        assert [(one["name"], one["version"], one["state"]) for one in index] == [
            ("iris", "1", "READY"),
            ("wine", "4", "READY"),
        ]
        await client.post("/v1/models/wine:predict", json={"instances": [[1, 2], [3, 4]]})
        done = (await client.get("/v2/models/stats")).json()["model_stats"]
        assert {one["name"]: one["inference_count"] for one in done} == {"iris": 0, "wine": 2}
        links = (await client.get("/")).json()
        assert links["models"] == list(NAMES)
        assert {"/v1/models/iris:predict", "/v1/models/wine:predict"} <= set(links["inference"])
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert {"/v1/models/iris:predict", "/v1/models/wine:predict", "/v2/models/wine/infer"} <= paths.keys()


async def test_each_has_its_page_which_leads_to_the_others() -> None:
    async with asked(two()) as client:
        for query, own, other in (("", "iris", "wine"), ("?model=wine", "wine", "iris")):
            page = (await client.get(f"/{query}", headers={"accept": "text/html"})).text
            assert f"<h1>{own}</h1>" in page
            assert f'<a href="/?model={other}">{other}</a>' in page


async def test_metrics_tell_them_apart_and_are_one_page() -> None:
    models = two()
    async with asked(models) as client, client_of(build_status_front(models)) as status:
        await client.post("/v1/models/wine:predict", json={"instances": [[3, 3]]})
        await client.get("/v1/models")
        text = (await client.get("/metrics")).text
        assert 'modelservice_requests_total{code="200",model="wine",route="/v1/models/{name}:predict"} 1.0' in text
        assert 'modelservice_requests_total{code="200",route="/v1/models"} 1.0' in text  # of no model
        assert 'modelservice_batch_rows_sum{model="iris"} 0.0' in text
        assert 'modelservice_predictions_total{label="white",model="wine"} 1.0' in text
        families = [line for line in text.splitlines() if line.startswith("# TYPE ")]
        assert len(families) == len(set(families))
        assert 'modelservice_batch_rows_sum{model="wine"} 1.0' in (await status.get("/metrics")).text


async def test_columns_are_counted_where_they_belong() -> None:
    shared = common()
    models = Models([core_in(shared, mixed_model(), "people"), core_in(shared, mixed_model(), "guests")])
    async with asked(models) as client:
        row = {"age": 3.0, "city (home)": "Atlantis"}
        assert (await client.post("/v1/models/guests:predict", json={"instances": [row]})).status_code == 200
        text = (await client.get("/metrics")).text
    for name, count in (("people", 0), ("guests", 1)):
        assert f'modelservice_unseen_categories_total{{column="city (home)",model="{name}"}} {count:.1f}' in text


def infer_request(name: str, value: float = 3.0) -> bytes:
    request: Any = MESSAGES["ModelInferRequest"](model_name=name)
    given = request.inputs.add(name="features", datatype="FP32", shape=(1, 2))
    given.contents.fp32_contents.extend([value, value])
    return bytes(request.SerializeToString())


async def test_a_refusal_over_grpc_is_counted_with_the_model_that_was_asked() -> None:
    models = two()
    server, port, _ = await start_grpc(models, host="127.0.0.1", port=0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        wrong: Any = MESSAGES["ModelInferRequest"].FromString(infer_request("wine"))
        wrong.inputs[0].datatype = "FP99"
        predicted: Any = TENSORFLOW["PredictRequest"](model_spec={"name": "wine"})
        for method, message in ((INFER, wrong), (PREDICT, predicted)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(method)(message.SerializeToString())
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(INFER)(infer_request("rose"))
    await server.stop(None)
    page = models.common.exposition.render().body.decode()
    for method in (INFER, PREDICT):
        assert f'modelservice_requests_total{{code="INVALID_ARGUMENT",model="wine",route="{method}"}} 1.0' in page
    assert f'modelservice_requests_total{{code="NOT_FOUND",route="{INFER}"}} 1.0' in page


async def test_each_is_asked_by_its_name_over_grpc() -> None:
    models = two()
    server, port, _ = await start_grpc(models, host="127.0.0.1", port=0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(INFER, response_deserializer=MESSAGES["ModelInferResponse"].FromString)
        for name, version in (("iris", "1"), ("wine", "4")):
            answer = await infer(infer_request(name))
            assert (answer.model_name, answer.model_version) == (name, version)
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
        for name in NAMES:
            await stream.write(infer_request(name))
            told: Any = MESSAGES["ModelStreamInferResponse"].FromString(await stream.read())
            assert told.infer_response.model_name == name
        stream.cancel()
        predicted: Any = TENSORFLOW["PredictRequest"](model_spec={"name": "wine"})
        tensor = predicted.inputs["features"]
        tensor.dtype = 1
        tensor.float_val.extend([3.0, 3.0])
        for size in (1, 2):
            tensor.tensor_shape.dim.add(size=size)
        predicted = TENSORFLOW["PredictResponse"].FromString(
            await channel.unary_unary(PREDICT)(predicted.SerializeToString())
        )
        assert predicted.model_spec.version.value == 4
        with pytest.raises(grpc.aio.AioRpcError, match="this server serves 'iris', 'wine'") as refused:
            await infer(infer_request("rose"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        asked_all = channel.unary_unary("/inference.GRPCInferenceService/ModelStatistics")
        done: Any = MESSAGES["ModelStatisticsResponse"].FromString(await asked_all(b""))
        assert {one.name: one.inference_count for one in done.model_stats} == {"iris": 2, "wine": 3}
        index: Any = MESSAGES["RepositoryIndexResponse"].FromString(
            await channel.unary_unary("/inference.GRPCInferenceService/RepositoryIndex")(b"")
        )
        assert [one.name for one in index.models] == list(NAMES)
    await server.stop(None)
    page = models.common.exposition.render().body.decode()
    assert f'modelservice_requests_total{{code="OK",model="wine",route="{INFER}"}} 1.0' in page
    assert f'modelservice_requests_total{{code="NOT_FOUND",route="{INFER}"}} 1.0' in page


async def test_lines_of_the_audit_name_the_model_or_none() -> None:
    stream = io.BytesIO()
    log = AuditLog(stream)
    async with asked(two(audit=log)) as client:
        await client.post("/v1/models/wine:predict", json={"instances": [[3, 3]]})
        await client.get("/v1/models")
    log.write()
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["model"], line["digest"]) for line in lines] == [("wine", wine().digest), (None, None)]


class Recording(ThreadPoolExecutor):
    """Runs nothing before it is let, and remembers of which model the batches were."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self.may = threading.Event()
        self.submitted = 0

    def submit(self, *given: Any, **more: Any) -> Future[Any]:
        function, *arguments = given
        self.submitted += 1

        def wait() -> Any:
            assert self.may.wait(10)
            return function(*arguments, **more)

        return super().submit(wait)


async def test_none_keeps_the_executor_to_itself() -> None:
    ran: list[str] = []
    executor = Recording()
    shared = common(executor=executor)
    cores = []
    for name, model in (("iris", numeric_model()), ("wine", wine())):
        run = model.engine.run

        def recorded(features: Any, run: Any = run, name: str = name) -> Any:
            ran.append(name)
            return run(features)

        model.engine.run = recorded  # type: ignore[method-assign]
        cores.append(core_in(shared, model, name, costs=COSTLY))
    models = Models(cores)
    async with asked(models) as client:
        ran.clear()  # what the pages of the documentation asked
        rows = [[3, 3]] * 4
        flood = [
            asyncio.create_task(client.post("/v1/models/iris:predict", json={"instances": rows})) for _ in range(20)
        ]
        await until(lambda: models.first.inference.queued_rows >= 4 * (20 - 2 * HANDED_OVER))
        before = executor.submitted
        lone = asyncio.create_task(client.post("/v1/models/wine:predict", json={"instances": rows}))
        await until(lambda: executor.submitted > before)
        executor.may.set()
        assert (await lone).status_code == 200
        assert {answer.status_code for answer in await asyncio.gather(*flood)} == {200}
    assert ran.index("wine") <= HANDED_OVER


async def test_one_takes_the_place_of_its_like_and_the_other_stays() -> None:
    models = two()
    newer = numeric_model(("small", "large"))
    newer.digest = "sha256:" + "cd" * 32
    switch = Switch(
        [Source("iris", lambda: newer, lambda: True), Source("wine", wine, lambda: True)],
        measure=lambda _model, handover: replace(CHEAP, handover=handover),
    )
    models = Models(models, renew=switch.renew)
    grpc_server = Grpc().bind("127.0.0.1", 0)
    await grpc_server.start(models)
    switch.begin(models, [grpc_server])
    first, second = await asyncio.gather(switch.renew("iris"), switch.renew("wine"))
    assert (first, second) == (True, False)
    assert {core.name: core.model.digest for core in switch.models} == {"iris": newer.digest, "wine": wine().digest}
    async with asked(switch.models) as client:
        answer = await client.post("/v1/models/iris:predict", json={"instances": [[3, 3]]})
        assert answer.json()["predictions"][0]["label"] == "large"
        await client.post("/v2/repository/models/wine/load")
        text = (await client.get("/metrics")).text
    assert f'modelservice_model_info{{digest="{newer.digest}",model="iris",name="iris"}} 1.0' in text
    switch.models.common.lifecycle.leave()
    await grpc_server.serve()
