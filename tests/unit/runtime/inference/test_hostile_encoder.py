"""What asks an encoder against one that lies, drips, or says more than anybody wants to hear."""

import gc
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count

import pytest
from tests.unit.runtime.inference.test_asked_encoder import DIGEST, ENCODER, LENGTH, texts

from modelservice.inference import encoder_wire
from modelservice.inference.asked_encoder import AskedEncoder, look_at
from modelservice.inference.encoder_wire import NotAnsweredError, Trouble

DEEP = b"[" * 100_000


@contextmanager
def answering(*answer: bytes, endless: bytes = b"", ticks: Callable[[], None] = lambda: None) -> Iterator[str]:
    """A server that sends these bytes to whoever connects, and then the last ones until its client is gone."""

    def speak(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(2**16)
            connection.sendall(b"".join(answer))
            while endless:
                ticks()
                connection.sendall(endless)

    def listen(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=speak, args=(listener.accept()[0],), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def said(content: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    lines = {"Content-Length": str(len(content)), **{name.replace("_", "-"): it for name, it in headers.items()}}
    return (
        "\r\n".join([f"HTTP/1.1 {status}", *(f"{name}: {it}" for name, it in lines.items()), "", ""]).encode() + content
    )


def refused(address: str, within: float | None = None) -> NotAnsweredError:
    with pytest.raises(NotAnsweredError) as caught:
        AskedEncoder(address, ENCODER, clock=time_that_passes())(texts("a"), within)
    return caught.value


def time_that_passes() -> Callable[[], float]:
    """A second each time that somebody looks."""
    times = count()
    return lambda: float(next(times))


def test_a_length_of_less_than_nothing() -> None:
    wide = ENCODER.model_copy(update={"width": 100})
    document = json.dumps({"parameters": {"digest": DIGEST}, "outputs": [{"shape": [1, 100]}]}).encode()
    document += b" " * (len(document) % 2)
    missing = (400 - len(document)) // 2  # so that what is there is as long as it should be, by that length
    with answering(said(document + b" " * missing, **{LENGTH.replace("-", "_"): str(-missing)})) as address:
        with pytest.raises(NotAnsweredError) as caught:
            AskedEncoder(address, wide)(texts("a"))
        assert caught.value.trouble is Trouble.CHANGED


def test_documents_that_are_deeper_than_anybody_reads() -> None:
    with answering(said(DEEP, Inference_Header_Content_Length=str(len(DEEP)))) as address:
        assert refused(address).trouble is Trouble.CHANGED
        with pytest.raises(NotAnsweredError, match="is no encoder"):
            look_at(address, "minilm")
    with answering(said(DEEP, status="400 Bad Request")) as address:
        assert refused(address).trouble is Trouble.REFUSED


@pytest.mark.parametrize("seconds", ["31536000", "9" * 400])
def test_nobody_rests_for_a_year(seconds: str) -> None:
    with answering(said(b"", status="429 Too Many Requests", Retry_After=seconds)) as address:
        error = refused(address)
    assert (error.trouble, error.retry_after) == (Trouble.BUSY, encoder_wire.LONGEST_REST_SECONDS)


@pytest.mark.parametrize(
    ("begins", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "header", "continue"],
)
def test_an_answer_that_drips_is_late_as_a_whole(begins: bytes, endless: bytes) -> None:
    never = threading.Event()

    def pause() -> None:
        never.wait(0.005)

    with answering(begins, endless=endless, ticks=pause) as address:
        assert refused(address, 30.0).trouble is Trouble.LATE


@pytest.mark.parametrize("size", ["-1", "-5", "zz"])
def test_parts_of_no_length_are_not_read_to_their_end(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_wire, "_MAX_BESIDE", 2**20)
    begins = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n".encode()
    with answering(begins, endless=bytes(2**16)) as address:
        assert refused(address, 1e9).trouble is Trouble.AWAY


def test_headers_and_trailers_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_wire, "_MAX_BESIDE", 2**16)
    for begins in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"):
        with answering(begins, endless=b"a: b\r\n" * 2**10) as address:
            assert refused(address, 1e9).trouble is Trouble.AWAY


def test_more_than_was_asked_for_is_nobodys_answer() -> None:
    """The bytes after an answer are not those of the next: the connection ends with it."""
    head = json.dumps({"parameters": {"digest": DIGEST}, "outputs": [{"shape": [1, 2]}]}).encode()
    first, second = (
        said(head + bytes([0, 0, one, 64] * 2), Inference_Header_Content_Length=str(len(head))) for one in (0, 64)
    )
    with answering(first + second) as address:
        ask = AskedEncoder(address, ENCODER)
        assert ask(texts("a")).tolist() == ask(texts("b")).tolist() == [[2, 2]]
        assert ask._wire._connection is None


def test_what_it_says_stays_in_one_line() -> None:
    content = json.dumps({"error": "no\nERROR somebody else said this"}).encode()
    with answering(said(content, status="400 Bad Request")) as address:
        assert "\n" not in str(refused(address))


def test_a_document_is_not_parsed_that_is_longer_than_any_of_ours() -> None:
    """32 MiB of empty objects are a gigabyte of Python's: a head has a tenth of it."""
    document = {"parameters": {"digest": DIGEST}, "outputs": [{"name": "embedding", "shape": [1, 2]}]}
    head = json.dumps(document).encode() + b" " * 2**16
    with answering(said(head + bytes(8), **{LENGTH.replace("-", "_"): str(len(head))})) as address:
        assert refused(address).trouble is Trouble.CHANGED
    document["inputs"] = [{"datatype": "BYTES", "shape": [-1]}]
    padded = json.dumps(document).encode().replace(b"{", b"{" + b" " * 2**20, 1)
    with answering(said(padded)) as address, pytest.raises(NotAnsweredError, match="is no encoder"):
        look_at(address, "minilm")
    with answering(said(b'{"error": "long"' + b" " * 2**16 + b"}", status="400 Bad Request")) as address:
        assert str(refused(address)).endswith('400: {"error": "long"')


def test_an_answer_is_freed_with_its_last_user_and_not_when_garbage_is_collected() -> None:
    def alive() -> int:
        return sum(type(one) is encoder_wire._Answer for one in gc.get_objects())

    gc.disable()
    before = alive()  # of other tests, perhaps
    try:
        with answering(said(b"x" * 1000)) as address:
            assert encoder_wire.Wire(address, "minilm").send("") == (None, b"x" * 1000)
        assert alive() == before
    finally:
        gc.enable()


def test_a_host_that_cannot_be_one() -> None:
    error = refused("http://a..b")
    assert error.trouble is Trouble.AWAY
    assert "a..b" in str(error)


def test_what_nobody_asked_for_is_no_answer_to_the_next_request() -> None:
    asked: list[bytes] = []

    def speak(listener: socket.socket) -> None:
        with suppress(OSError):
            for number in range(2):
                with listener.accept()[0] as connection:
                    asked.append(connection.recv(2**16))
                    connection.sendall(said(b"%d" % number))
                    sent.wait()
                    connection.sendall(said(b"stolen"))
                    goes_on.wait()

    sent, goes_on = threading.Event(), threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=speak, args=(listener,), daemon=True).start()
        wire = encoder_wire.Wire(f"http://127.0.0.1:{listener.getsockname()[1]}", "minilm")
        assert wire.send("")[1] == b"0"
        sent.set()
        assert wire._connection is not None
        select.select([wire._connection], [], [])
        goes_on.set()
        assert wire.send("")[1] == b"1"
    assert len(asked) == 2


def test_an_encoder_that_wants_another_protocol_does_not_answer() -> None:
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    with answering(upgrade) as address:
        assert refused(address).trouble is Trouble.AWAY
