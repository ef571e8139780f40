"""Request bodies: read whole, decoded, and bounded on the way."""

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modelservice.serving.budget import Held
from modelservice.serving.chain import MAX_BODY, Headers, body_too_large
from modelservice.serving.errors import ClientLeftError, RequestError, UnsupportedEncodingError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS  # zlib: detect either header


async def read_body(receive: Receive, held: Held) -> bytes:
    """Read an ASGI request body.

    Args:
        receive: the messages, ``bounded``.
        held: is told of the bytes as they come.

    Raises:
        TooLargeError: more than the bound.
        BusyError: the bodies of all requests are too many.
        ClientLeftError: before the body was whole.
    """
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError("the client left before its request was whole")
        chunk: bytes = message.get("body", b"")
        held.add(len(chunk))
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class HeldBack:
    """The messages of a body that its client may hold back until it is asked for it (RFC 9110, ``100 Continue``).

    Attributes:
        is_unasked: whether it does, and nobody asked for it: then it may still come, or never. So nothing may be read
            after the answer: what is another request would be taken for the body, with its keys.
    """

    def __init__(self, headers: Headers, receive: Receive) -> None:
        self.is_unasked = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        self._receive = receive

    async def receive(self) -> Message:
        """Ask for it."""
        self.is_unasked = False
        return await self._receive()


def bounded(receive: Receive, *, limit: int = MAX_BODY) -> Receive:
    """The same messages, for who reads them by itself, up to a limit.

    Raises:
        TooLargeError: from the message with which the body is larger than ``limit`` bytes.
    """
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise body_too_large(limit)
        return message

    return counted


def decode_body(body: bytes, encoding: bytes | None, *, limit: int = MAX_BODY) -> bytes:
    """Undo a Content-Encoding, never making more than ``limit`` bytes of it.

    Raises:
        UnsupportedEncodingError: neither gzip nor deflate.
        TooLargeError: the decoded body is beyond the limit.
        RequestError: the body is not what its encoding says.
    """
    name = (encoding or b"").strip().lower()
    if name in {b"", b"identity"}:
        return body
    if name not in {b"gzip", b"x-gzip", b"deflate"}:
        shown = name[:32].decode("ascii", "replace")
        raise UnsupportedEncodingError(f"Content-Encoding {shown!r} is not supported; expected gzip, deflate or none")
    decoder = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        decoded = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(f"the body is not {name.decode()}: {error}") from None
    if len(decoded) > limit:
        raise body_too_large(limit)
    if not decoder.eof or decoder.unused_data:
        raise RequestError(f"the body is not one whole {name.decode()} stream")
    return decoded
