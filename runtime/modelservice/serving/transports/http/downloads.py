"""Downloads over HTTP: sent piece by piece as their client takes them, and not sent again to who has them.

Who has the beginning gets the rest (``Range: bytes=N-``, RFC 9110); another range is answered with all of it.
"""

import asyncio
import re
from typing import Any

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from modelservice.serving.protocols.base import Download
from modelservice.serving.transports.http.front import IS_HEAD

_REST = re.compile(r"bytes=([0-9]{1,18})-")


class DownloadResponse(Response):
    """A whole download, or its rest, or 304 where the request says by ``If-None-Match`` that its client has it."""

    def __init__(self, download: Download, request: Request) -> None:
        etag = f'"{download.etag}"'
        # By a key in X-API-Key no cache in between knows that an answer is for its caller alone.
        headers = {"etag": etag, "cache-control": "private, no-cache", "accept-ranges": "bytes"}
        self._pieces: Any = iter(())
        if _has(request.headers.getlist("if-none-match"), etag):
            super().__init__(status_code=304, headers=headers)
            return
        start, size = _start(request, etag), download.size
        if start >= size:
            super().__init__(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
            return
        headers["content-disposition"] = 'attachment; filename="artifact.tar"'
        headers["content-length"] = str(size - start)
        if start:
            headers["content-range"] = f"bytes {start}-{size - 1}/{size}"
        super().__init__(status_code=206 if start else 200, media_type=download.media_type, headers=headers)
        if not request.scope.get(IS_HEAD, False):
            self._pieces = download.pieces(start)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - of ASGI
        """Send it; where the client does not read, ``send`` waits."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # to a client that left, or reads fast, ``send`` never waits
        await send({"type": "http.response.body", "body": b""})


def _start(request: Request, etag: str) -> int:
    """The byte from which on the client wants it: 0, unless it has the beginning of this very content."""
    asked = _REST.fullmatch(request.headers.get("range", ""))
    if asked is None or request.scope.get(IS_HEAD, False) or request.headers.get("if-range", etag) != etag:
        return 0
    return int(asked[1])


def _has(said: list[str], etag: str) -> bool:
    """Whether one of these is the tag, weak or not, as RFC 9110 compares them here."""
    tags = {tag.strip().removeprefix("W/") for value in said for tag in value.split(",")}
    return not tags.isdisjoint({etag, "*"})
