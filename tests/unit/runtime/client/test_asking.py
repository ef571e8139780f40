"""What is asked and when again, by answers in a row, a clock that is told and waits that take no time."""

import json
import sys
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import httpx
import pandas
import pytest

from modelservice.client import AsyncClient, Client, ClientError
from modelservice.client.asking import Asking

NOW = 1_800_000_000.0
Answers = list[tuple[int, str]]
MEMBERS = {"predict": "predictions", "explain": "explanations"}


class Server:
    """Answers with statuses and Retry-After, in a row, and then with labels."""

    def __init__(self, *answers: tuple[int, str], said: Any = None) -> None:
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []
        self._answers, self._said = iter(answers), said

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.asked if request.method == "POST"]

    def client(self, model: str | None = None) -> Client:
        http = httpx.Client(transport=httpx.MockTransport(self._answer), base_url="http://a")
        return Client(http, self._asking(http, model), timeout=1, sleep=self.slept.append)

    def awaited(self) -> AsyncClient:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://a")
        return AsyncClient(http, self._asking(http, None), timeout=1, sleep=sleep)

    def _asking(self, http: httpx.Client | httpx.AsyncClient, model: str | None) -> Asking:
        return Asking(http, model, retries=2, max_wait=10.0, clock=lambda: NOW, jitter=lambda: 0.5)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.method == "GET":
            return httpx.Response(200, json={"model": "my iris"})
        status, after = next(self._answers, (200, ""))
        if status != 200:
            return httpx.Response(status, json={"error": "later"}, headers={"retry-after": after} if after else {})
        verb = request.url.path.rpartition(":")[2]
        labels = [{"label": str(row), "probabilities": {}} for row in json.loads(request.content)["instances"]]
        return httpx.Response(200, json=self._said or {MEMBERS[verb]: labels})


async def of_both(*answers: tuple[int, str], ask: Callable[[Any], Any]) -> list[tuple[Any, Server]]:
    """What a client that waits and one that is awaited make of the same answers: a value, or a sentence."""
    outcomes: list[tuple[Any, Server]] = []
    for waits in (True, False):
        server = Server(*answers)
        try:
            got = ask(server.client() if waits else server.awaited())
            outcomes.append((await got if isinstance(got, Awaitable) else got, server))
        except ClientError as error:
            outcomes.append((str(error), server))
    return outcomes


@pytest.mark.parametrize(
    ("answers", "slept", "outcome"),
    [
        ([(429, "2"), (503, "")], [3.0, pytest.approx(0.3)], ["[1]"]),
        ([(503, formatdate(NOW + 4, usegmt=True))], [6.0], ["[1]"]),
        ([(503, formatdate(NOW - 9, usegmt=True))], [0.0], ["[1]"]),
        ([(503, "soon")], [pytest.approx(0.15)], ["[1]"]),
        ([(503, "0")] * 3, [0.0, 0.0], "later (HTTP 503)"),
        ([(503, "4"), (503, "4")], [6.0], "later (HTTP 503)"),
        ([(429, "7")], [], "later (HTTP 429)"),
        ([(500, "1")], [], "later (HTTP 500)"),
        ([(400, "")], [], "later (HTTP 400)"),
    ],
)
async def test_only_429_and_503_are_asked_again_as_long_as_may_be_waited(
    answers: Answers, slept: list[float], outcome: Any
) -> None:
    for got, server in await of_both(*answers, ask=lambda model: model.predict([[1]])):
        assert got == outcome
        assert server.slept == slept
        assert len(server.bodies) == len(slept) + 1


async def test_the_models_name_is_asked_once() -> None:
    server = Server()
    model = server.client()
    assert model.predict([[1]]) + model.predict([[2]]) == ["[1]", "[2]"]
    assert [request.url.raw_path for request in server.asked] == [b"/", *[b"/v1/models/my%20iris:predict"] * 2]


def test_a_name_that_is_given_is_not_asked_for() -> None:
    server = Server()
    server.client("wine").predict([[1]])
    assert [request.url.path for request in server.asked] == ["/v1/models/wine:predict"]


async def test_rows_are_split_by_number_and_answered_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelservice.client.asking.MAX_ROWS", 2)
    for got, server in await of_both(ask=lambda model: model.predict([[n] for n in range(5)])):
        assert got == [f"[{n}]" for n in range(5)]
        assert [len(body["instances"]) for body in server.bodies] == [2, 2, 1]


@pytest.mark.parametrize(
    ("evaluations", "sizes"), [({}, [9, 3]), ({"evaluations": 3000}, [3] * 4), ({"evaluations": -2}, [9, 3])]
)
def test_explanations_are_split_by_what_they_take(evaluations: dict[str, int], sizes: list[int]) -> None:
    server = Server()
    assert len(server.client().explain([[1]] * 12, seed=1, **evaluations)) == 12
    assert [len(body.pop("instances")) for body in server.bodies] == sizes
    assert all(body == {"instances": body["instances"], "seed": 1, **evaluations} for body in server.bodies)


def test_what_is_no_server_of_a_model_is_named() -> None:
    with pytest.raises(ClientError, match=r"^http://a/v1/models/iris:predict answers, but .*check the address"):
        Server(said=["page"]).client("iris").predict([[1]])


def test_pandas_is_needed_for_frames_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pandas.DataFrame({"x": [1]}, index=[7])
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert Server().client().predict([{"x": 1}]) == ["{'x': 1}"]
    with pytest.raises(ModuleNotFoundError):
        Server().client().predict(frame)
    monkeypatch.undo()
    assert Server().client().predict(frame).to_dict() == {7: "{'x': 1}"}


@pytest.mark.parametrize("outputs", [{"same": [1.0], "less": [-1.0]}, {"label": [1], "embedding": [0.5]}, [0.5, 1.0]])
def test_outputs_of_other_names_are_what_the_server_answers(outputs: Any) -> None:
    server = Server(said={"predictions": [outputs, outputs]})
    assert server.client().predict([[1], [2]]) == [outputs, outputs]
    frame = pandas.DataFrame({"a": [1, 2]}, index=["x", "y"])
    assert server.client().predict(frame).to_dict() == {"x": outputs, "y": outputs}
    with pytest.raises(ValueError, match="does not answer with probabilities; call predict"):
        server.client().predict_proba([[1], [2]])
