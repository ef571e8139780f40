"""Asks the service of a shared encoder for the numbers of rows, by the Open Inference Protocol with binary tensors.

Each answer says which artifact it came from, and one of another artifact than was asked for is none: a head would make
something of any numbers.
"""

import json
import operator
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, Final

import numpy as np

from modelservice.contract.manifest import SharedEncoder
from modelservice.inference.encoder_wire import NO_DOCUMENT, NotAnsweredError, Trouble, Wire
from modelservice.modalities.base import Features
from modelservice.modalities.shared import READ, Embed, EncoderInput, SentRows

OUTPUT: Final = "embedding"
"""Of a pretrained model that is served as it is."""
DIGEST: Final = "digest"
"""The parameter of a request, and of its answer, that names the artifact."""
MAX_ROWS: Final = 64
"""Of one request."""
MAX_BYTES: Final = 2**20
"""Of the rows of one request, but for a larger one alone: so a head holds little, and an encoder's queue has gaps."""
MAX_ROW_BYTES: Final = 2**24 - 2**12
"""What a request may have, less what stands before the row."""
_MAX_HEADER: Final = 2**16
"""Bytes of what stands before the numbers of an answer: JSON takes up to 25 times its bytes."""
_MAX_METADATA: Final = 2**20
"""Of what an encoder says of itself."""


class AskedEncoder:
    """Asks one encoder, for one thread at a time."""

    def __init__(self, address: str, encoder: SharedEncoder, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: where its service answers, such as http://minilm, and which encoder it has to be.

        Raises:
            ValueError: the address is none.
        """
        self._wire = Wire(address, encoder.name, clock=clock)
        self._encoder = encoder
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, sent: SentRows, within: float | None = None) -> Features:
        """The numbers of rows, float32 [rows, width].

        Args:
            sent: any number of them.
            within: seconds in which they are wanted; the encoder computes nothing that comes too late.

        Raises:
            NotAnsweredError: it gave none, or those of another encoder.
        """
        found = np.zeros((len(sent.rows), self._encoder.width), np.float32)
        end = None if within is None else self._clock() + within  # who waits for the lock waits for the answer, too
        with self._lock:
            for places in together(sent.rows):
                found[places] = self._ask(sent.some(places), None if end is None else end - self._clock())
        return found

    def _ask(self, sent: SentRows, within: float | None) -> Features:
        if within is not None and within <= 0:
            message = f"the encoder {self._encoder.name} was not asked: there is no time left"
            raise NotAnsweredError(Trouble.LATE, message)
        parameters: dict[str, Any] = {"binary_data_output": True, DIGEST: self._encoder.digest}
        if within is not None:
            parameters["timeout"] = max(1, round(within * 1e6))
        tensor = {"name": sent.name, "datatype": sent.datatype, "shape": [len(sent.rows), *sent.shape]}
        document = {
            "inputs": [{**tensor, "parameters": {"binary_data_size": sum(map(len, sent.rows))}}],
            "outputs": [{"name": OUTPUT}],
            "parameters": parameters,
        }
        head = json.dumps(document).encode()
        answer, content = self._wire.send("/infer", (head, *sent.rows), header=len(head), within=within)
        return self._numbers(answer, content, len(sent.rows))

    def _numbers(self, length: str | None, content: bytes, rows: int) -> Features:
        """What an answer holds, if it is one of this encoder."""
        try:
            if not 0 <= (at := int(length or "")) <= _MAX_HEADER:
                raise ValueError(at)
            document = json.loads(content[:at])
            digest = document.get("parameters", {}).get(DIGEST)
            (output,) = document["outputs"]
            shape = tuple(output["shape"])
        except NO_DOCUMENT:
            raise self._changed(
                "does not answer as an encoder does: name a ModelService with model.pretrained"
            ) from None
        if digest != self._encoder.digest:
            said = " ".join(str(digest)[:80].split())
            raise self._changed(f"answers as {said}, and {self._encoder.digest} is asked for")
        size = 4 * rows * self._encoder.width
        if shape != (rows, self._encoder.width) or len(content) - at != size:
            raise self._changed(f"answers with {list(shape)}, and [{rows}, {self._encoder.width}] is expected")
        numbers = np.frombuffer(content, dtype="<f4", offset=at).reshape(shape)
        if not np.isfinite(numbers).all():
            raise NotAnsweredError(Trouble.REFUSED, f"the encoder {self._encoder.name} answers with what is no number")
        return numbers

    def _changed(self, said: str) -> NotAnsweredError:
        return NotAnsweredError(Trouble.CHANGED, f"the encoder {self._encoder.name} {said}")


def unnamed(encoder: SharedEncoder) -> str:
    """What to say where nobody said where an encoder answers."""
    asks = f"this head asks the encoder {encoder.name} ({encoder.digest}) for the numbers of rows"
    return f"{asks}: say where that answers with --encoder (encoder in Python), such as http://localhost:8080"


def asks_nobody(encoder: SharedEncoder) -> Embed:
    """In place of what asks, where nobody said where the encoder answers."""

    def refuse(_sent: SentRows, _within: float | None) -> Features:
        raise NotAnsweredError(Trouble.REFUSED, unnamed(encoder))

    return refuse


def look_at(address: str, name: str) -> tuple[SharedEncoder, EncoderInput]:
    """What the service of an encoder says of itself, and of what it takes.

    Raises:
        ValueError: the address is none.
        NotAnsweredError: nobody answers there, or no encoder of this name does, or one of neither texts nor images.
    """
    _, content = Wire(address, name).send("")
    try:
        document = json.loads(content[:_MAX_METADATA])
        (width,) = (one["shape"][1] for one in document["outputs"] if one["name"] == OUTPUT)
        ((datatype, sides),) = ((one["datatype"], tuple(one["shape"][1:])) for one in document["inputs"])
        encoder = SharedEncoder(name=name, digest=document["parameters"][DIGEST], width=width)
        size, read = prod(max(1, operator.index(side)) for side in sides), READ.get(datatype)
    except NO_DOCUMENT:
        message = f"{name} at {address} is no encoder, since it has no output {OUTPUT}: name one with model.pretrained"
        raise NotAnsweredError(Trouble.REFUSED, message) from None
    if read is None or read.axes != len(sides):
        message = f"{name} at {address} takes {str(datatype)[:64]} {list(sides)[:8]}, neither texts nor images"
        raise NotAnsweredError(Trouble.REFUSED, f"{message}: name a ModelService with model.pretrained")
    if size > MAX_ROW_BYTES:
        message = f"{name} at {address} takes {read.noun} of {size} bytes, and a request has {MAX_ROW_BYTES} at most"
        raise NotAnsweredError(Trouble.REFUSED, f"{message}: name its folder with model.encoder.uri")
    return encoder, EncoderInput(datatype, sides)


def together(rows: Sequence[bytes | memoryview]) -> Iterator[range]:
    """Places of the rows of each request."""
    start = size = 0
    for place, row in enumerate(rows):
        if place > start and (place - start == MAX_ROWS or size + len(row) > MAX_BYTES):
            yield range(start, place)
            start, size = place, 0
        size += len(row)
    if start < len(rows):
        yield range(start, len(rows))
