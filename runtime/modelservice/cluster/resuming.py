"""An archive that comes in several connections, or in several runs of a command: what came is not asked for again.

What came lies in a file beside the folder, named after the digest. The tar of an artifact is the same byte by byte
whichever pod sends it; that the parts fit together is known once all files have their digests.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx

Told = Callable[[int, int], None]
"""Is told how many bytes have come, and of how many."""
_PIECE: Final = 2**20
_DIGITS: Final = 16


class Archive:
    """The bytes of an archive, in their order.

    Attributes:
        come: how many have come, those of an earlier run included.
    """

    def __init__(self, http: "httpx.Client", path: str, folder: Path, *, digest: str, told: Told) -> None:
        """Args: a client and the path there, the folder that it is for, the artifact's digest, who is told of bytes."""
        self.come = 0
        self._http, self._path, self._digest, self._told = http, path, digest, told
        self._folder = folder
        self._part = folder.with_name(f"{_name(folder)}{digest.removeprefix('sha256:')[:_DIGITS]}")

    def pieces(self) -> Iterator[bytes]:
        """What came before, and then the rest; a connection that brought anything is followed by another one.

        Raises:
            httpx.HTTPStatusError: the server refuses; its answer was read.
            httpx.TransportError: a connection ended, and the next one brought nothing.
        """
        try:
            with self._part.open("a+b") as part:
                part.seek(0)
                while piece := part.read(_PIECE):
                    self.come += len(piece)
                    yield piece
                yield from self._all_of_rest(part)
        finally:
            if not self.come:
                self._part.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove what came, of this artifact and of others for the same folder."""
        for part in self._folder.parent.iterdir():
            if part.name.startswith(_name(self._folder)):
                part.unlink(missing_ok=True)

    def _all_of_rest(self, part: IO[bytes]) -> Iterator[bytes]:
        import httpx  # noqa: PLC0415 - nothing else here needs it

        while True:
            begun = self.come
            try:
                yield from self._rest(part)
            except httpx.TransportError:
                if self.come == begun:
                    raise
            else:
                return

    def _rest(self, part: IO[bytes]) -> Iterator[bytes]:
        known = self.come
        headers = {"Range": f"bytes={known}-", "If-Range": f'"{self._digest}"'} if known else {}
        with self._http.stream("GET", self._path, headers=headers) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return
            if response.is_error:
                response.read()
                response.raise_for_status()
            # A server of an earlier release knows no ranges, and begins anew.
            skipped = 0 if response.status_code == HTTPStatus.PARTIAL_CONTENT else known
            total = int(response.headers.get("content-length", 0)) + known - skipped
            for piece in response.iter_raw():
                new, skipped = piece[skipped:], max(0, skipped - len(piece))
                if new:
                    part.write(new)
                    self.come += len(new)
                    self._told(self.come, total)
                    yield new


def _name(folder: Path) -> str:
    return f".{folder.name}.part-"
