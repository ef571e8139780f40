"""The client against the real application on loopback, and its retries against answers in a row."""

import asyncio
from typing import Any

import httpx
import numpy
import pandas
import pytest
from tests.unit.runtime.serving.fakes import numeric_model, regression_model
from tests.unit.runtime.serving.talking import listening

import modelservice
from modelservice.client import Client, ClientError, rows
from modelservice.client.connecting import _Asking
from modelservice.serving.transports.http.connection import InferenceConnection

ROWS = [[1, 2], [3, 4]]


async def test_every_kind_of_data_gets_the_same_answers() -> None:
    async with listening(InferenceConnection, numeric_model()) as (port, _):
        url = f"http://127.0.0.1:{port}"
        async with modelservice.connect_async(url) as model:
            names = [column["name"] for column in (await model.metadata())["inputs"]][:2]
            listed = await model.predict(ROWS)
            assert len(listed) == 2
            assert await model.predict(numpy.array(ROWS)) == listed
            assert all(sum(row.values()) == pytest.approx(1) for row in await model.predict_proba(ROWS))
            explained = await model.explain(ROWS, label=listed[0])
            assert [answer["label"] for answer in explained] == [listed[0]] * 2
            with pytest.raises(ClientError, match="HTTP 400"):
                await model.predict([["a"]])
        assert names
        with modelservice.connect(url) as waiting:
            assert await asyncio.to_thread(waiting.predict, ROWS) == listed


async def test_a_regression_has_no_probabilities() -> None:
    async with (
        listening(InferenceConnection, regression_model()) as (port, _),
        modelservice.connect_async(f"http://127.0.0.1:{port}") as model,
    ):
        with pytest.raises(ValueError, match="call predict"):
            await model.predict_proba(ROWS)


def client(*statuses: int, seen: list[Any]) -> Client:
    left = iter(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"model": "iris"})
        seen.append(request.content)
        status = next(left)
        said = {"predictions": [{"label": "a"}]} if status == 200 else {"error": "later"}
        return httpx.Response(status, json=said, headers={"retry-after": "0"})

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://a")
    return Client(_Asking(http, 2, 1.0, lambda: 0.0), http)


@pytest.mark.parametrize(
    ("statuses", "asked", "error"),
    [((429, 503, 200), 3, None), ((503, 503, 503), 3, "later"), ((500,), 1, "later"), ((400,), 1, "later")],
)
def test_only_429_and_503_are_asked_again(statuses: tuple[int, ...], asked: int, error: str | None) -> None:
    seen: list[Any] = []
    model = client(*statuses, seen=seen)
    if error is None:
        frame = pandas.DataFrame({"x": [float("nan")]}, index=[7])
        assert model.predict(frame).to_dict() == {7: "a"}
        assert seen[0] == b'{"instances":[{"x": null}]}'
    else:
        with pytest.raises(ClientError, match=error):
            model.predict([[1]])
    assert len(seen) == asked


def test_rows_are_split_by_number_and_columns_must_fit() -> None:
    assert [len(batch) for batch in rows.batches([[1]] * 5, 2)] == [2, 2, 1]
    assert rows.rows_of({"a": [1, 2], "b": [3, 4]}) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    with pytest.raises(ValueError, match="equally long"):
        rows.rows_of({"a": [1, 2], "b": [3]})
