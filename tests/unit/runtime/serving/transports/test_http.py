"""The front and the application: the same answers, every path, every limit, and never a 500."""

import asyncio
import functools
import gzip
import json
import re
import zlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.unit.runtime.serving.fakes import (
    DIGEST,
    VERSION,
    client_of,
    front_of,
    image_model,
    mixed_model,
    numeric_model,
    refined_model,
    regression_model,
    tensor_model,
)
from tests.unit.runtime.serving.talking import connected

from modelservice.contract.serving import Batching
from modelservice.serving.budget import Budget
from modelservice.serving.chain import MAX_BODY, MAX_HEADER_BYTES, MAX_HEADERS
from modelservice.serving.costs import Costs
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.transports.http.front import Front

PREDICT = "/v1/models/iris:predict"
EXPLAIN = "/v1/models/iris:explain"
INFER = "/v2/models/iris/infer"
CONFIGURED = [
    {"name": "label", "data_type": "TYPE_STRING", "dims": [1]},
    {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [3]},
]
EXTENSIONS = ["binary_tensor_data", "model_configuration", "statistics", "model_repository"]
GOOD_PREDICT = {"instances": [[1, 2]]}
GOOD_INFER = {"inputs": [{"name": "m", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}


@pytest.fixture(params=["application", "connection"])
def either(request: pytest.FixtureRequest) -> Callable[[Front], AbstractAsyncContextManager[httpx.AsyncClient]]:
    """A client of a front: what is asked goes to its application, or to connections that answer what is small."""
    return client_of if request.param == "application" else connected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/v2",
            {
                "name": "modelservice",
                "extensions": ["binary_tensor_data", "model_configuration", "statistics", "model_repository"],
            },
        ),
        ("/v2/models/iris/config", {"name": "iris", "output": CONFIGURED}),
        (f"/v2/models/iris/versions/{VERSION}/config", {"platform": "modelservice_fake", "max_batch_size": 10_000}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/iris/ready", {"name": "iris", "ready": True}),
        (f"/v2/models/iris/versions/{VERSION}/ready", {"name": "iris", "ready": True}),
        ("/v1/models", {"models": ["iris"]}),
        ("/v1/models/iris", {"name": "iris", "ready": True, "digest": DIGEST}),
        (f"/v1/models/iris/versions/{VERSION}", {"name": "iris", "ready": True, "digest": DIGEST}),
        (f"/v2/models/iris/versions/{VERSION}", {"versions": [VERSION], "parameters": {"digest": DIGEST}}),
        ("/", {"status": "alive", "model": "iris", "inference": [PREDICT, EXPLAIN, INFER]}),
    ],
)
async def test_each_path_says_what_it_should(either: Any, path: str, expected: dict[str, Any]) -> None:
    async with either(front_of(numeric_model())) as client:
        answer = await client.get(path)
        assert answer.status_code == 200
        assert answer.json() | expected == answer.json()


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v1/models/iris", "/metrics", "/docs", "/nowhere"])
async def test_head_is_answered_as_get_without_a_body(either: Any, path: str) -> None:
    async with either(front_of(numeric_model())) as client:
        get, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    if path != "/metrics":  # which counts its readers
        assert dict(head.headers) == dict(get.headers)


async def test_status_has_the_keys_of_tensorflow_serving() -> None:
    async with client_of(front_of(numeric_model())) as client:
        (status,) = (await client.get("/v1/models/iris")).json()["model_version_status"]
        assert status == {
            "version": VERSION,
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }


async def test_metadata_says_how_to_send_rows_and_how_to_read_answers() -> None:
    async with client_of(front_of(numeric_model())) as numeric, client_of(front_of(mixed_model())) as mixed:
        (matrix,) = (await numeric.get("/v2/models/iris")).json()["inputs"]
        assert matrix == {
            "name": "features",
            "datatype": "FP64",
            "shape": [-1, 2],
            "parameters": {"columns": ["sepal_length", "petal_length"]},
        }
        metadata = (await mixed.get("/v2/models/iris")).json()
        assert metadata["inputs"] == [
            {"name": "age", "datatype": "FP64", "shape": [-1]},
            {"name": "city (home)", "datatype": "BYTES", "shape": [-1]},
        ]
        assert metadata["outputs"][1]["parameters"] == {"labels": ["setosa", "versicolor", "virginica"]}


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v1/models/rose:predict", 404, "no model named 'rose' here; this server serves 'iris'"),
        ("POST", "/v2/models/rose/infer", 404, "no model named 'rose' here; this server serves 'iris'"),
        ("GET", "/v2/models/rose", 404, "this server serves 'iris'"),
        ("POST", "/v2/models/iris/versions/9/infer", 404, f"no version '9' of iris; this server serves '{VERSION}'"),
        (
            "POST",
            "/v1/models/iris/labels/best:predict",
            404,
            "labelled 'best'; this server serves version",
        ),
        ("POST", "/v1/models/iris/versions/9:predict", 404, f"no version '9' of iris; this server serves '{VERSION}'"),
        ("GET", "/v2/models/iris/versions/9", 404, f"no version '9' of iris; this server serves '{VERSION}'"),
        ("GET", "/v2/models/iris/versions/9/ready", 404, f"no version '9' of iris; this server serves '{VERSION}'"),
        ("GET", "/v1/models/iris/versions/9", 404, f"no version '9' of iris; this server serves '{VERSION}'"),
        ("GET", "/v1/models/iris/versions/9/metadata", 404, f"no version '9' of iris; this server serves '{VERSION}'"),
        ("GET", "/v1/models/rose/metadata", 404, "no model named 'rose' here; this server serves 'iris'"),
        ("GET", f"/v2/models/iris/versions/{VERSION}/x", 404, f"nothing at /v2/models/iris/versions/{VERSION}/x; see"),
        ("POST", "/v1/models/iris:classify", 404, "nothing at /v1/models/iris:classify; see /docs, POST /v1/models"),
        ("POST", "/v2/repository/models/rose/load", 404, "no model named 'rose' here; this server serves 'iris'"),
        ("GET", "/nowhere", 404, "POST /v2/models/iris/infer"),
        ("GET", PREDICT, 405, "GET is not possible on /v1/models/iris:predict; expected POST"),
        ("DELETE", "/v2", 405, "expected GET"),
    ],
)
async def test_a_wrong_path_or_method_names_the_right_one(
    either: Any, method: str, path: str, status: int, message: str
) -> None:
    async with either(front_of(numeric_model())) as client:
        answer = await client.request(method, path)
        assert answer.status_code == status
        assert message in answer.json()["error"]
        if status == 405:
            assert answer.headers["allow"] in {"POST", "GET"}


def signature_tensor(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    dim = [{"size": str(size), "name": ""} for size in (-1, *shape)]
    return {"dtype": dtype, "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": name}


@pytest.mark.parametrize("path", ["/v1/models/iris/metadata", f"/v1/models/iris/versions/{VERSION}/metadata"])
async def test_the_signature_is_said_as_tensorflow_serving_says_it(path: str) -> None:
    async with client_of(front_of(mixed_model())) as mixed, client_of(front_of(image_model(labels=()))) as images:
        answer = await mixed.get(path)
        image = (await images.get(path)).json()["metadata"]["signature_def"]["signature_def"]["serving_default"]
    inputs = [signature_tensor("age", "DT_DOUBLE"), signature_tensor("city (home)", "DT_STRING")]
    outputs = [signature_tensor("label", "DT_STRING"), signature_tensor("probabilities", "DT_FLOAT", 3)]
    signature = {
        "inputs": {tensor["name"]: tensor for tensor in inputs},
        "outputs": {tensor["name"]: tensor for tensor in outputs},
        "method_name": "tensorflow/serving/predict",
    }
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "model_spec": {"name": "iris", "signature_name": "", "version": VERSION},
            "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
            "digest": DIGEST,
        },
    )
    assert image["inputs"] == {"x": signature_tensor("x", "DT_UINT8", 4, 4)}
    assert image["outputs"] == {"value": signature_tensor("value", "DT_FLOAT")}


@pytest.mark.parametrize(
    "model", [numeric_model, mixed_model, refined_model, regression_model, image_model, tensor_model]
)
async def test_the_documented_examples_run_and_answer_what_is_documented(either: Any, model: Any) -> None:
    async with either(front_of(model())) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert {PREDICT, INFER, "/metrics", "/v2/health/ready"} <= paths.keys()
        assert [path for path in paths if "/versions/" in path] == [f"/v2/models/iris/versions/{VERSION}/report"]
        for path in (PREDICT, INFER):
            operation = paths[path]["post"]
            example = operation["requestBody"]["content"]["application/json"]["example"]
            answer = await client.post(path, json=example)
            assert answer.status_code == 200
            assert answer.json() == operation["responses"]["200"]["content"]["application/json"]["example"]
            assert {"400", "413", "415", "429", "503"} <= operation["responses"].keys()


async def test_documentation_is_typed_from_the_signature() -> None:
    async with client_of(front_of(mixed_model())) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        schema = paths[PREDICT]["post"]["requestBody"]["content"]["application/json"]["schema"]
        row = schema["properties"]["instances"]["items"]["anyOf"][0]
        assert row["required"] == ["age", "city (home)"]
        assert row["properties"]["age"]["type"] == ["number", "null"]
        assert "Basel, Köln" in row["properties"]["city (home)"]["description"]
        answer = paths[PREDICT]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        labels = answer["properties"]["predictions"]["items"]["properties"]["label"]["enum"]
        assert labels == ["setosa", "versicolor", "virginica"]


async def test_tensors_are_documented_by_name_and_what_they_are_not_explained() -> None:
    async with client_of(front_of(tensor_model())) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        schema = paths[PREDICT]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
        row, columns = schema["instances"]["items"], schema["inputs"]
        assert row["required"] == columns["required"] == ["x", "age"]
        assert row["properties"]["age"]["anyOf"][1] == {"type": "number"}
        assert "b64" not in str(schema)
        assert "/v1/models/iris:explain" not in paths
        refused = await client.post("/v1/models/iris:explain", json={"instances": [{"x": [[1], [2]], "age": 3}]})
        assert (refused.status_code, "cannot be explained" in refused.text) == (400, True)
        metadata = (await client.get("/v1/models/iris/metadata")).json()["metadata"]["signature_def"]["signature_def"]
        assert metadata["serving_default"]["inputs"]["age"]["dtype"] == "DT_INT64"


async def test_yes_and_no_dates_and_free_text_are_documented_as_what_they_are() -> None:
    async with client_of(front_of(refined_model())) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        schema = paths[PREDICT]["post"]["requestBody"]["content"]["application/json"]["schema"]
        cells = schema["properties"]["instances"]["items"]["anyOf"][0]["properties"]
        assert cells["smoker"]["type"] == ["boolean", "string", "null"]
        assert "ISO 8601" in cells["seen"]["description"]
        tensors = paths[INFER]["post"]["requestBody"]["content"]["application/json"]["example"]["inputs"]
        assert [tensor["datatype"] for tensor in tensors] == ["FP64", "BOOL", "BYTES", "BYTES"]
        metadata = (await client.get("/v1/models/iris/metadata")).json()["metadata"]["signature_def"]["signature_def"]
        assert metadata["serving_default"]["inputs"]["smoker"]["dtype"] == "DT_BOOL"
        answer = await client.post(PREDICT, json={"instances": [[40, "NO", "2024-02-01 10:00", "new words"]]})
        assert answer.status_code == 200
        assert "unseen_categories_total{" not in (await client.get("/metrics")).text


async def test_the_documentation_page_needs_no_other_host() -> None:
    async with client_of(front_of(numeric_model())) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        needed = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert any(path.endswith(".js") for path in needed)
        for path in needed:
            assert path.startswith("/"), path
            assert (await client.get(path)).status_code == 200, path


@pytest.mark.parametrize(("name", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies_are_decoded(either: Any, name: str, encode: Any) -> None:
    async with either(front_of(numeric_model())) as client:
        plain = await client.post(PREDICT, json=GOOD_PREDICT)
        body = encode(json.dumps(GOOD_PREDICT).encode())
        encoded = await client.post(PREDICT, content=body, headers={"content-encoding": name})
        assert (encoded.status_code, encoded.content) == (200, plain.content)
        wrong = await client.post(
            PREDICT, content=encode(b'{"instances": [[1, "x"]]}'), headers={"content-encoding": name}
        )
        assert (wrong.status_code, wrong.json()["error"]) == (400, "instances[0].petal_length: 'x' is not a number")
        cut = await client.post(PREDICT, content=body[:-6], headers={"content-encoding": name})
        assert (cut.status_code, cut.json()["error"]) == (400, f"the body is not one whole {name} stream")
        other = await client.post(PREDICT, content=b"{}", headers={"content-encoding": name})
        assert other.status_code == 400


async def test_an_unknown_encoding_is_refused(either: Any) -> None:
    async with either(front_of(numeric_model())) as client:
        answer = await client.post(PREDICT, content=b"x", headers={"content-encoding": "br"})
        assert answer.status_code == 415
        assert answer.headers["accept-encoding"] == "gzip, deflate"


async def test_large_bodies_are_refused_by_their_length_in_pieces_and_after_inflation(either: Any) -> None:
    async def pieces() -> Any:
        for _ in range(MAX_BODY // 2**20 + 1):
            yield b" " * 2**20

    bomb = gzip.compress(b" " * (MAX_BODY + 1))
    async with either(front_of(numeric_model())) as client:
        for answer in (
            await client.post(PREDICT, content=b" " * (MAX_BODY + 1)),
            await client.post(PREDICT, content=pieces()),
            await client.post(PREDICT, content=bomb, headers={"content-encoding": "gzip"}),
        ):
            assert answer.status_code == 413
            assert f"larger than {MAX_BODY} bytes" in answer.json()["error"]


async def test_what_a_body_becomes_is_in_the_budget(either: Any) -> None:
    budget = Budget(1000)
    zipped = gzip.compress(b'{"instances": [[1, 2]]}'.ljust(1001))
    async with either(front_of(numeric_model(), budget=budget)) as client:
        answer = await client.post(PREDICT, content=zipped, headers={"content-encoding": "gzip"})
    assert (answer.status_code, len(zipped) < 100, budget.free) == (503, True, 1000)


@pytest.mark.parametrize("path", [PREDICT, "/docs", "/nowhere"])
async def test_every_path_has_the_same_limits(path: str) -> None:
    many = {f"x-{number}": "" for number in range(MAX_HEADERS + 1)}
    async with client_of(front_of(numeric_model())) as client:
        for headers, status, message in (
            (many, 431, f"at most {MAX_HEADERS} of {MAX_HEADER_BYTES}"),
            ({"x": "y" * MAX_HEADER_BYTES}, 431, f"at most {MAX_HEADERS} of {MAX_HEADER_BYTES}"),
            ({"content-length": str(MAX_BODY + 1)}, 413, f"larger than {MAX_BODY} bytes"),
            ({"content-length": "9" * 5000}, 413, f"larger than {MAX_BODY} bytes"),
        ):
            answer = await client.post(path, content=b"", headers=headers)
            assert answer.status_code == status
            assert message in answer.json()["error"]


async def test_a_large_request_is_answered_like_a_small_one(either: Any) -> None:
    async with either(front_of(numeric_model())) as client:
        small = (await client.post(PREDICT, json=GOOD_PREDICT)).json()["predictions"]
        large = await client.post(PREDICT, json={"instances": [[1, 2]] * 10_000})
        assert large.json()["predictions"] == small * 10_000
        wrong = await client.post(PREDICT, json={"instances": [[1, 2]] * 9_999 + [["x", 1]]})
        assert wrong.json()["error"].startswith("instances[9999].sepal_length: ")


async def test_a_full_queue_is_429_with_retry_after(either: Any) -> None:
    costs = Costs(compute=((1, 2.5),), handover=10.0)
    front = front_of(numeric_model(), costs=costs, batching=Batching(max_queue_milliseconds=1))
    async with either(front) as client:
        answers = await asyncio.gather(*(client.post(PREDICT, json=GOOD_PREDICT) for _ in range(3)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert {answer.status_code for answer in refused} == {429}
        assert {answer.headers["retry-after"] for answer in refused} == {"3"}


async def test_an_answer_that_is_not_finite_is_the_requests_fault(either: Any) -> None:
    async with either(front_of(numeric_model())) as client:
        answer = await client.post(PREDICT, json={"instances": [[3e38, 3e38]]})
        assert answer.status_code == 400
        assert "not finite" in answer.json()["error"]


async def test_a_model_that_breaks_is_500_without_its_words(either: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = numeric_model()
    front = front_of(model)
    model.engine.broken = True
    async with either(front) as client:
        answer = await client.post(PREDICT, json=GOOD_PREDICT)
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error; the server's log has the details"})
    assert "out of order" in caplog.text


async def test_draining_is_not_ready_answers_on_and_closes_connections(either: Any) -> None:
    lifecycle = Lifecycle()
    lifecycle.drain()
    async with either(front_of(numeric_model(), lifecycle=lifecycle)) as client:
        for path in ("/v2/health/ready", "/v2/models/iris/ready", "/v1/models/iris"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["ready"]) == (503, False)
            assert answer.headers["connection"] == "close"
        assert (await client.get("/v2/health/live")).status_code == 200
        answer = await client.post(PREDICT, json=GOOD_PREDICT)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        lifecycle.leaving = True
        answer = await client.post(PREDICT, json=GOOD_PREDICT)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("path", ["models/iris/stats", "models/stats", f"models/iris/versions/{VERSION}/stats"])
async def test_statistics_count_what_was_answered_refused_and_computed(either: Any, path: str) -> None:
    async with either(front_of(numeric_model())) as client:
        before = (await client.get(f"/v2/{path}")).json()["model_stats"]
        await client.post(PREDICT, json={"instances": [[1, 2]] * 3})
        await client.post(INFER, json=GOOD_INFER)
        await client.post(INFER, json={})
        await client.get("/nowhere")
        (after,) = (await client.get(f"/v2/{path}")).json()["model_stats"]
    nothing = {"count": 0, "ns": 0}
    assert before == [
        {
            "name": "iris",
            "version": VERSION,
            "inference_count": 0,
            "execution_count": 0,
            "inference_stats": {"success": nothing, "fail": nothing, "compute_infer": nothing},
        }
    ]
    assert (after["inference_count"], after["execution_count"]) == (4, 2)
    measured = after["inference_stats"]
    assert {name: one["count"] for name, one in measured.items()} == {"success": 2, "fail": 1, "compute_infer": 2}
    assert all(one["ns"] > 0 for one in measured.values())


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": false}', b'{"ready": true}'])
@pytest.mark.parametrize("draining", [False, True])
async def test_the_repository_index_lists_the_model(either: Any, body: bytes, draining: bool) -> None:
    lifecycle = Lifecycle()
    if draining:
        lifecycle.drain()
    async with either(front_of(numeric_model(), lifecycle=lifecycle)) as client:
        models = (await client.post("/v2/repository/index", content=body)).json()
    if draining and b"true" in body:
        assert models == []
    else:
        state = ("UNAVAILABLE", "the server is shutting down") if draining else ("READY", "")
        assert [tuple(model.values()) for model in models] == [("iris", VERSION, *state)]


@pytest.mark.parametrize(("body", "said"), [(b"[]", "must be a JSON object"), (b'{"ready": 1}', "ready: must be true")])
async def test_a_wrong_question_for_the_repository_index_is_400(body: bytes, said: str) -> None:
    async with client_of(front_of(numeric_model())) as client:
        answer = await client.post("/v2/repository/index", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


async def test_a_large_question_for_the_repository_index_is_not_parsed(either: Any) -> None:
    async with either(front_of(numeric_model())) as client:
        answer = await client.post("/v2/repository/index", content=b"{}" + b" " * LARGE_BODY)
    assert answer.status_code == 413
    assert answer.json() == {"error": f"the body is larger than {LARGE_BODY} bytes"}


async def test_metrics_count_requests_batches_and_name_the_model(either: Any) -> None:
    async with either(front_of(numeric_model())) as client:
        await client.post(PREDICT, json={"instances": [[1, 2]] * 3})
        await client.post(PREDICT, json={})
        await client.get("/somewhere/else")
        page = await client.get("/metrics")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/plain")
    for line in (
        'modelservice_requests_total{code="200",route="/v1/models/{name}:predict"} 1.0',
        'modelservice_requests_total{code="400",route="/v1/models/{name}:predict"} 1.0',
        'modelservice_requests_total{code="404",route="unmatched"} 1.0',
        'modelservice_request_duration_seconds_count{route="/v1/models/{name}:predict"} 2.0',
        'modelservice_batch_rows_bucket{le="2.0"} 0.0',
        'modelservice_batch_rows_bucket{le="4.0"} 1.0',
        'modelservice_batch_rows_bucket{le="+Inf"} 1.0',
        "modelservice_batch_rows_sum 3.0",
        "modelservice_queued_rows 0.0",
        "# TYPE modelservice_requests_in_flight gauge",
        "# TYPE modelservice_queue_wait_seconds gauge",
        "modelservice_ready 1.0",
        f'modelservice_model_info{{digest="{DIGEST}",name="iris"}} 1.0',
    ):
        assert line in page.text


async def test_metrics_count_categories_that_training_never_saw(either: Any) -> None:
    counter = 'modelservice_unseen_categories_total{column="city (home)"}'
    wrong = {"age": "x", "city (home)": "Nowhere"}
    async with either(front_of(mixed_model())) as client:
        assert f"{counter} 0.0" in (await client.get("/metrics")).text
        for cities in (["Basel", "Nowhere", None], ["Elsewhere"]):
            rows = [{"age": 0, "city (home)": city} for city in cities]
            assert (await client.post(PREDICT, json={"instances": rows})).status_code == 200
        assert (await client.post(PREDICT, json={"instances": [wrong]})).status_code == 400
        assert f"{counter} 2.0" in (await client.get("/metrics")).text
    async with either(front_of(numeric_model())) as client:
        assert "unseen_categories_total{" not in (await client.get("/metrics")).text


async def test_categories_of_a_batch_that_is_computed_again_are_counted_once(either: Any) -> None:
    async with either(front_of(mixed_model())) as client:
        good, bad = ({"instances": [{"age": age, "city (home)": "Nowhere"}]} for age in (0, 3e38))
        answers = await asyncio.gather(*(client.post(PREDICT, json=body) for body in (good, bad, good)))
        assert [answer.status_code for answer in answers] == [200, 400, 200]
        page = (await client.get("/metrics")).text
    assert 'modelservice_unseen_categories_total{column="city (home)"} 2.0' in page


async def test_a_client_that_left_is_counted_as_one() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": [], "query_string": b""}
    await front_of(numeric_model())(scope, receive, send)
    assert sent[0]["status"] == 499  # which uvicorn does not send to who left


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["age", "city (home)", "name", "data", "shape"]) | st.text(max_size=4), inner, max_size=4
        )
    ),
    max_leaves=12,
)
tensors = st.fixed_dictionaries(
    {"name": st.sampled_from(["age", "city (home)", "m", "x"])},
    optional={
        "datatype": st.sampled_from(["FP32", "FP16", "INT64", "BYTES", "BOOL", "BF16"]) | documents,
        "shape": st.lists(st.integers(-1, 3) | st.just(2**62), max_size=3) | documents,
        "data": st.lists(scalars, max_size=6) | documents,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 40)}) | documents,
    },
)
bodies = st.one_of(
    st.binary(max_size=64),
    documents.map(json.dumps).map(str.encode),
    st.fixed_dictionaries({"instances": st.lists(documents, max_size=3) | documents}).map(json.dumps).map(str.encode),
    st.fixed_dictionaries({"inputs": documents}).map(json.dumps).map(str.encode),
    st.fixed_dictionaries(
        {"inputs": st.lists(tensors, min_size=1, max_size=2)},
        optional={"id": scalars, "outputs": st.lists(documents, max_size=2) | documents, "parameters": documents},
    )
    .map(json.dumps)
    .map(str.encode),
)
header_values = st.none() | st.integers(-2, 200).map(str) | st.text(st.characters(min_codepoint=33, max_codepoint=126))


@functools.cache
def asked(model: Callable[[], Any]) -> Front:
    """A front that is asked again and again, by one test."""
    return front_of(model())


@examples(100, many=400)
@given(body=bodies, tail=st.binary(max_size=32), path=st.sampled_from([PREDICT, INFER]), length=header_values)
@pytest.mark.parametrize("model", [numeric_model, mixed_model, image_model])
async def test_no_body_makes_a_500(model: Any, body: bytes, tail: bytes, path: str, length: str | None) -> None:
    async with client_of(asked(model)) as client:
        headers = {} if length is None else {"inference-header-content-length": length}
        answers = [
            await client.post(path, content=body),
            await client.post(path, content=body + tail, headers={"inference-header-content-length": str(len(body))}),
            await client.post(path, content=body + tail, headers=headers),
        ]
    for answer in answers:
        assert answer.status_code in {200, 400, 413}
        if answer.status_code != 200:
            error = orjson.loads(answer.content)["error"]
            assert 0 < len(error) <= 503


async def test_the_fuzz_reaches_good_answers(either: Any) -> None:
    """A fuzz that only ever meets the first check proves nothing: its own building blocks make good requests."""
    good = [
        {"inputs": [{"name": "m", "datatype": "FP32", "shape": [1, 2], "data": [None, 2]}]},
        {"inputs": [{"name": "m", "datatype": "INT64", "shape": [1, 2], "data": [[1, 2]]}], "parameters": None},
    ]
    async with either(front_of(numeric_model())) as client:
        answers: list[httpx.Response] = [await client.post(INFER, json=body) for body in good]
    assert [answer.status_code for answer in answers] == [200, 200]
