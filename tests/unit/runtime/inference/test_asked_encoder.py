"""What asks an encoder: one connection, what fits into a request, and what an answer must hold to be one."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from modelservice.contract.manifest import SharedEncoder
from modelservice.inference import asked_encoder, encoder_wire
from modelservice.inference.asked_encoder import AskedEncoder, look_at
from modelservice.inference.encoder_wire import NotAnsweredError, Trouble
from modelservice.modalities.shared import EncoderInput, SentRows
from modelservice.modalities.tensors import BYTES, UINT8, from_binary, to_binary
from modelservice.serving.chain import MAX_BODY

DIGEST = f"sha256:{'ab' * 32}"
ENCODER = SharedEncoder(name="minilm", digest=DIGEST, width=2)
LENGTH = "Inference-Header-Content-Length"


def texts(*said: str) -> SentRows:
    """Texts as a head sends them."""
    return SentRows(name="text", datatype=BYTES, rows=[to_binary(BYTES, [one]) for one in said])


class Scripted:
    """A server that answers each text with its length and 1, unless something else is next; it counts connections."""

    def __init__(self) -> None:
        self.next: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[list[str], dict[str, Any]]] = []
        self.connections = 0
        self.closes = False
        self.told: dict[str, Any] = {}

    def answer(self, body: bytes, length: int) -> tuple[int, dict[str, str], bytes]:
        document = json.loads(body[:length])
        texts = [
            bytes(one).decode() for one in from_binary("BYTES", tuple(document["inputs"][0]["shape"]), body[length:])
        ]
        self.asked.append((texts, document["parameters"]))
        if self.next:
            return self.next.pop(0)
        numbers = np.array([[len(text), 1] for text in texts], "<f4")
        told = {"shape": list(numbers.shape), "digest": DIGEST, **self.told}
        head = json.dumps(
            {"outputs": [{"name": "embedding", "shape": told["shape"]}], "parameters": {"digest": told["digest"]}}
        ).encode()
        return 200, {LENGTH: str(len(head))}, head + numbers.tobytes()


@contextmanager
def listening(script: Scripted) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            script.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v2/models/minilm/infer"
            self.send(*script.answer(body, int(self.headers[LENGTH])))

        def do_GET(self) -> None:
            outputs = [{"name": "embedding", "shape": [-1, 2]}]
            inputs = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
            document = {"inputs": inputs, "outputs": outputs, "parameters": {"digest": DIGEST}} | script.told
            self.send(200, {}, json.dumps(document).encode())

        def send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.close_connection = script.closes  # before the answer: the test goes on then
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Who gave up is told nothing."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def script() -> Scripted:
    return Scripted()


def refusal(status: int, sentence: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, headers, json.dumps({"error": sentence}).encode()


def test_texts_go_over_one_connection_in_requests_that_fit(script: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_encoder, "MAX_ROWS", 2)
    monkeypatch.setattr(asked_encoder, "MAX_BYTES", 18)
    with listening(script) as address:
        ask = AskedEncoder(address, ENCODER, clock=lambda: 0.0)
        found = ask(texts("a", "", "ccc", "d" * 9, "ß"), 2.0)
        assert ask(texts(), None).shape == (0, 2)
        ask(texts("a"))
    assert found.tolist() == [[1, 1], [0, 1], [3, 1], [9, 1], [1, 1]]
    # Two texts, two that are too long together, and the rest.
    assert [said for said, _ in script.asked] == [["a", ""], ["ccc"], ["d" * 9], ["ß"], ["a"]]
    assert script.asked[0][1] == {"binary_data_output": True, "digest": DIGEST, "timeout": 2_000_000}
    assert "timeout" not in script.asked[-1][1]
    assert script.connections == 1
    del ask  # and its connection


def test_a_connection_that_was_closed_meanwhile_is_made_again(script: Scripted) -> None:
    now = [0.0]
    with listening(script) as address:
        ask = AskedEncoder(address, ENCODER, clock=lambda: now[0])
        script.closes = True  # without a word, as an idle one ends
        assert ask(texts("a")).tolist() == ask(texts("b")).tolist() == [[1, 1]]
        assert script.connections == 2
        script.closes = False
        ask(texts("a"))
        ask(texts("a"))
        assert script.connections == 3
        now[0] += 31  # to another pod, perhaps
        ask(texts("a"))
        assert script.connections == 4


@pytest.mark.parametrize(
    ("answer", "trouble", "after", "sentence"),
    [
        (
            refusal(503, "the server is about to exit", **{"Retry-After": "7"}),
            Trouble.AWAY,
            7,
            "with 503: the server is",
        ),
        (refusal(429, "the queue is full", **{"Retry-After": "2"}), Trouble.BUSY, 2, "answers with 429: the queue"),
        (refusal(504, "not answered within"), Trouble.LATE, 1, "answers with 504: not answered within"),
        (refusal(412, "is served as sha256:cd"), Trouble.CHANGED, 1, "answers with 412: is served as"),
        (refusal(401, "a key is needed"), Trouble.REFUSED, 1, "answers with 401: a key is needed"),
        ((502, {}, b"<html>\n a  proxy"), Trouble.REFUSED, 1, "answers with 502: <html> a proxy"),
        ((200, {}, b"{}"), Trouble.CHANGED, 1, "does not answer as an encoder does: name a ModelService with"),
    ],
    ids=lambda value: value.name if isinstance(value, Trouble) else "",
)
def test_a_refusal_is_told_by_what_may_help(
    script: Scripted, answer: Any, trouble: Trouble, after: float, sentence: str
) -> None:
    script.next += [answer, answer]
    with listening(script) as address, pytest.raises(NotAnsweredError, match=sentence) as caught:
        AskedEncoder(address, ENCODER)(texts("a"))
    assert (caught.value.trouble, caught.value.retry_after) == (trouble, after)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"digest": f"sha256:{'cd' * 32}"}, f"answers as sha256:{'cd' * 32}, and {DIGEST} is asked for"),
        ({"digest": None}, f"answers as None, and {DIGEST} is asked for"),
        ({"shape": [1, 3]}, r"answers with \[1, 3\], and \[1, 2\] is expected"),
        ({"shape": [2, 2]}, r"answers with \[2, 2\], and \[1, 2\] is expected"),
    ],
    ids=["another", "nobody", "width", "rows"],
)
def test_numbers_of_something_else_are_none(script: Scripted, told: dict[str, Any], sentence: str) -> None:
    script.told = told
    with listening(script) as address, pytest.raises(NotAnsweredError, match=sentence) as caught:
        AskedEncoder(address, ENCODER)(texts("a"))
    assert caught.value.trouble is Trouble.CHANGED


def test_what_is_no_number_is_none(script: Scripted) -> None:
    head = json.dumps({"outputs": [{"shape": [1, 2]}], "parameters": {"digest": DIGEST}}).encode()
    script.next.append((200, {LENGTH: str(len(head))}, head + np.array([1, np.nan], "<f4").tobytes()))
    with listening(script) as address, pytest.raises(NotAnsweredError, match="answers with what is no number"):
        AskedEncoder(address, ENCODER)(texts("a"))


def test_a_pod_that_leaves_is_left_for_another_at_once(script: Scripted) -> None:
    with listening(script) as address:
        ask = AskedEncoder(address, ENCODER)
        ask(texts("a"))
        script.next.append(refusal(503, "the server is about to exit"))
        assert ask(texts("a")).tolist() == [[1, 1]]
        assert (script.connections, len(script.asked)) == (2, 3)


def test_who_was_found_away_is_left_alone_for_a_moment(script: Scripted) -> None:
    now = [0.0]
    with listening(script) as address:
        ask = AskedEncoder(address, ENCODER, clock=lambda: now[0])
        script.next += [refusal(503, "is about to exit")] * 2
        for sentence in ("answers with 503", "was not reached a moment ago: try again soon"):
            with pytest.raises(NotAnsweredError, match=sentence):
                ask(texts("a"))
        assert len(script.asked) == 2
        now[0] += 1.5
        assert ask(texts("a")).tolist() == [[1, 1]]
    ask = AskedEncoder(address, ENCODER, clock=lambda: now[0])
    with pytest.raises(
        NotAnsweredError, match=r"minilm at http://127\.0\.0\.1:\d+ does not answer \(Connection refused\)"
    ):
        ask(texts("a"))


def test_an_answer_that_takes_too_long_is_not_waited_for(script: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    answer = script.answer

    def slow(body: bytes, length: int) -> tuple[int, dict[str, str], bytes]:
        release.wait(10)
        return answer(body, length)

    monkeypatch.setattr(script, "answer", slow)
    with listening(script) as address:
        ask = AskedEncoder(address, ENCODER)
        with pytest.raises(NotAnsweredError, match="minilm did not answer within ") as caught:
            ask(texts("a"), 0.02)
        assert caught.value.trouble is Trouble.LATE
        monkeypatch.setattr(encoder_wire, "ANSWER_SECONDS", 0.02)
        with pytest.raises(NotAnsweredError, match="minilm did not answer within ") as caught:
            ask(texts("a"))
        release.set()


def test_who_has_no_time_for_a_connection_is_late_and_keeps_nobody_else_from_asking(
    script: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = socket.create_connection

    def far(address: tuple[str, int], timeout: float) -> socket.socket:
        if timeout < 0.5:
            raise TimeoutError("timed out")
        return connect(address, timeout=timeout)

    monkeypatch.setattr(socket, "create_connection", far)
    with listening(script) as address:
        ask = AskedEncoder(address, ENCODER, clock=lambda: 0.0)
        with pytest.raises(NotAnsweredError, match="minilm did not answer within 20 ms") as caught:
            ask(texts("a"), 0.02)
        assert caught.value.trouble is Trouble.LATE
        assert ask(texts("a")).tolist() == [[1, 1]]


def test_an_encoder_that_nothing_reaches_rests_though_who_asks_has_no_time_for_a_second_try(
    script: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def lost(_address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append(timeout)
        now[0] += timeout
        raise TimeoutError("timed out")

    now = [0.0]
    monkeypatch.setattr(socket, "create_connection", lost)
    with listening(script) as address:
        ask = AskedEncoder(address, ENCODER, clock=lambda: now[0])
        for said in ("does not answer", "was not reached a moment ago"):
            with pytest.raises(NotAnsweredError, match=said) as caught:
                ask(texts("a"), 1.5)
            assert caught.value.trouble is Trouble.AWAY
    assert tried == [1.0, 0.5]


def test_who_waits_behind_another_answer_waits_for_the_own_one(
    script: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looked, begun, release = [0.0], threading.Event(), threading.Event(), threading.Event()
    answer = script.answer

    def clock() -> float:
        value = now[0]
        looked.set()
        return value

    def slow(body: bytes, length: int) -> tuple[int, dict[str, str], bytes]:
        begun.set()
        assert release.wait(10)
        return answer(body, length)

    monkeypatch.setattr(script, "answer", slow)
    with listening(script) as address, ThreadPoolExecutor(2) as threads:
        ask = AskedEncoder(address, ENCODER, clock=clock)
        first = threads.submit(ask, texts("a"))
        assert begun.wait(10)
        looked.clear()
        second = threads.submit(ask, texts("b"), 1.0)
        assert looked.wait(10)
        now[0] = 2.0
        release.set()
        assert first.result(10).tolist() == [[1, 1]]
        with pytest.raises(NotAnsweredError, match="minilm was not asked: there is no time left") as caught:
            second.result(10)
    assert caught.value.trouble is Trouble.LATE
    assert len(script.asked) == 1


def test_pixels_go_as_they_are(script: Scripted) -> None:
    images = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
    sent = SentRows(name="image", datatype=UINT8, shape=(2, 3, 3), rows=[image.tobytes() for image in images])
    bodies: list[tuple[dict[str, Any], bytes]] = []

    def answer(body: bytes, length: int) -> tuple[int, dict[str, str], bytes]:
        bodies.append((json.loads(body[:length]), body[length:]))
        head = json.dumps({"outputs": [{"shape": [2, 2]}], "parameters": {"digest": DIGEST}}).encode()
        return 200, {LENGTH: str(len(head))}, head + np.ones((2, 2), "<f4").tobytes()

    script.answer = answer  # type: ignore[method-assign]
    with listening(script) as address:
        assert AskedEncoder(address, ENCODER)(sent).tolist() == [[1, 1], [1, 1]]
    ((document, data),) = bodies
    (tensor,) = document["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("image", "UINT8", [2, 2, 3, 3])
    assert data == images.tobytes()


def test_an_encoder_says_what_it_is(script: Scripted) -> None:
    with listening(script) as address:
        assert look_at(address, "minilm") == (ENCODER, EncoderInput(BYTES, ()))
        script.told = {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 8, 9, 3]}]}
        assert look_at(address, "minilm") == (ENCODER, EncoderInput(UINT8, (8, 9, 3)))


IMAGE = {"name": "image", "datatype": "UINT8", "shape": [-1, 8, 8, 3]}


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"outputs": [{"name": "label", "shape": [-1]}]}, "is no encoder, since it has no output embedding: name one"),
        ({"inputs": [IMAGE, IMAGE]}, "is no encoder, since"),
        ({"inputs": [{**IMAGE, "shape": [-1, "8", 8, 3]}]}, "is no encoder, since"),
        ({"inputs": [{**IMAGE, "datatype": ["UINT8"]}]}, "is no encoder, since"),
        ({"inputs": [{**IMAGE, "datatype": "FP32"}]}, r"takes FP32 \[8, 8, 3\], neither texts nor images: name a"),
        ({"inputs": [{**IMAGE, "shape": [-1, 8, 8]}]}, r"takes UINT8 \[8, 8\], neither texts nor images: name a"),
        (
            {"inputs": [{**IMAGE, "shape": [-1, 4096, 4096, 3]}]},
            "takes images of 50331648 bytes, and a request has 16773120 at most: name its folder with",
        ),
    ],
    ids=["output", "inputs", "side", "datatype", "fractions", "axes", "large"],
)
def test_what_heads_cannot_ask_is_said(script: Scripted, told: dict[str, Any], sentence: str) -> None:
    script.told = told
    with listening(script) as address, pytest.raises(NotAnsweredError, match=sentence) as caught:
        look_at(address, "minilm")
    assert caught.value.trouble is Trouble.REFUSED


def test_a_row_alone_fits_into_a_request() -> None:
    assert 1024 <= MAX_BODY - asked_encoder.MAX_ROW_BYTES <= 4096


@pytest.mark.parametrize(
    "address",
    [
        "",
        "minilm",
        "ftp://minilm",
        "http://",
        "http://minilm/v2",
        "http://minilm?a",
        "http://minilm#.team.svc",
        "http://a:b@minilm",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is no address of an encoder: expected http://HOST:PORT"):
        AskedEncoder(address, ENCODER)
