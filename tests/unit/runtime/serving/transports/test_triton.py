"""Triton's client over HTTP works as it is, against connections that answer what is small themselves."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http.aio as triton
from tests.unit.runtime.serving.fakes import VERSION, mixed_model, numeric_model
from tests.unit.runtime.serving.talking import listening
from tritonclient.utils import InferenceServerException

from modelservice.serving.transports.http.connection import InferenceConnection


@pytest.fixture
async def client() -> AsyncIterator[triton.InferenceServerClient]:
    async with (
        listening(InferenceConnection, numeric_model()) as (port, _),
        triton.InferenceServerClient(f"127.0.0.1:{port}") as one,
    ):
        yield one


def matrix(rows: Any, *, binary: bool) -> triton.InferInput:
    values = np.asarray(rows, dtype=np.float32)
    given = triton.InferInput("features", list(values.shape), "FP32")
    given.set_data_from_numpy(values, binary_data=binary)
    return given


async def test_what_the_server_says_of_itself(client: triton.InferenceServerClient) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("iris", VERSION)
    assert (await client.get_server_metadata())["name"] == "modelservice"
    assert (await client.get_model_metadata("iris"))["versions"] == [VERSION]
    assert (await client.get_model_config("iris", VERSION))["input"][0]["data_type"] == "TYPE_FP64"
    assert [model["name"] for model in await client.get_model_repository_index()] == ["iris"]
    for name in ("", "iris"):
        assert (await client.get_inference_statistics(name))["model_stats"][0]["inference_count"] == 0


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary_output", [True, False])
@pytest.mark.parametrize("binary_input", [True, False])
async def test_inference(
    client: triton.InferenceServerClient, binary_input: bool, binary_output: bool, compression: str | None
) -> None:
    wanted = [triton.InferRequestedOutput(name, binary_data=binary_output) for name in ("probabilities", "label")]
    answer = await client.infer(
        "iris",
        [matrix([[3, 3], [-3, -3], [0, 0]], binary=binary_input)],
        outputs=wanted,
        request_id="a/7",
        request_compression_algorithm=compression,
    )
    labels = answer.as_numpy("label").astype(bytes).tolist()
    assert labels == [b"virginica", b"setosa", b"setosa"]
    assert answer.as_numpy("probabilities").sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert answer.get_response()["id"] == "a/7"
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["probabilities", "label"]


async def test_texts_and_an_error() -> None:
    city = triton.InferInput("city (home)", [1], "BYTES")
    city.set_data_from_numpy(np.array(["Köln".encode()], dtype=np.object_))
    age = triton.InferInput("age", [1], "FP64")
    age.set_data_from_numpy(np.array([2.0]))
    async with (
        listening(InferenceConnection, mixed_model()) as (port, _),
        triton.InferenceServerClient(f"127.0.0.1:{port}") as one,
    ):
        answer = await one.infer("iris", [age, city])
        assert answer.as_numpy("probabilities").shape == (1, 3)
        with pytest.raises(InferenceServerException, match="city"):
            await one.infer("iris", [age])
