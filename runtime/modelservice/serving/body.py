"""Request bodies: read whole, decoded, and bounded on the way."""

import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from modelservice.serving.errors import RequestError, TooLargeError, UnsupportedEncodingError

MAX_BODY: Final = 16 * 2**20
"""Bytes of a body, as sent and after decoding."""

Receive = Callable[[], Awaitable[Any]]

_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS  # zlib: detect either header


class ClientDisconnectedError(Exception):
    """The client went away before its request was whole; nobody is left to answer."""


async def read_body(receive: Receive, *, limit: int = MAX_BODY) -> bytes:
    """Read an ASGI request body.

    Raises:
        TooLargeError: more than ``limit`` bytes.
        ClientDisconnectedError: the client left.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnectedError
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    chunks = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _too_large(limit)
    return b"".join(chunks)


def decode_body(body: bytes, encoding: bytes, *, limit: int = MAX_BODY) -> bytes:
    """Undo a Content-Encoding, never making more than ``limit`` bytes of it.

    Raises:
        UnsupportedEncodingError: neither gzip nor deflate.
        TooLargeError: the decoded body is beyond the limit.
        RequestError: the body is not what its encoding says.
    """
    name = encoding.strip().lower()
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
        raise _too_large(limit)
    if not decoder.eof or decoder.unused_data:
        raise RequestError(f"the body is not one whole {name.decode()} stream")
    return decoded


def check_length(declared: bytes, *, limit: int = MAX_BODY) -> None:
    """Refuse a body by its Content-Length, before it is read."""
    if declared.isdigit() and (len(declared) > len(str(limit)) or int(declared) > limit):
        raise _too_large(limit)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit} bytes; send the rows in several requests")
