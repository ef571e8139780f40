"""Public keys of an issuer of tokens: a JSON Web Key Set, mounted, or from where the issuer publishes it."""

import asyncio
import json
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from http.client import HTTPException
from typing import Any, Final, Protocol

import jwt

from modelservice.contract.access import Algorithm
from modelservice.serving.access.certificates import AUTHORITY
from modelservice.serving.access.folder import Folder

PERIOD_SECONDS: Final = 300.0
"""Between two readings of what an issuer publishes."""
SOON_SECONDS: Final = 10.0
"""After one that failed, or where a token names a key that is not known: keys may have been exchanged."""
FETCH_SECONDS: Final = 10.0
MAX_SET: Final = 2**20
"""Bytes of a set; it has a few keys."""
MIN_RSA_BITS: Final = 2048

_RSA = ("RSA", None)
_FITS: Final[dict[Algorithm, tuple[str, str | None]]] = {
    Algorithm.RS256: _RSA,
    Algorithm.RS384: _RSA,
    Algorithm.RS512: _RSA,
    Algorithm.PS256: _RSA,
    Algorithm.ES256: ("EC", "P-256"),
    Algorithm.ES384: ("EC", "P-384"),
    Algorithm.EDDSA: ("OKP", "Ed25519"),
}
"""Type and curve of the keys that an algorithm is for. A key is used with no other, whatever a token says."""

_LOG = logging.getLogger(__name__)

Keys = dict[tuple[str | None, str], jwt.PyJWK]
"""By name and algorithm; by None where a set has one key for an algorithm, and a token may leave its name out."""


class Source(Protocol):
    """Where sets come from."""

    async def read(self, *, soon: bool) -> list[bytes] | None:
        """The sets, or None where it is not time to read them again; ``soon``: a key was missed.

        Raises:
            OSError: they cannot be read.
            ValueError: they are not what they should be.
        """


class FolderSource:
    """The entries of a Secret or ConfigMap, each a set."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    async def read(self, *, soon: bool) -> list[bytes] | None:  # noqa: ARG002 - kubelet brings it when it does
        """See ``Source``."""
        with self._folder.changed() as changed:
            return list(self._folder.read().values()) if changed else None


class WebSource:
    """What an issuer publishes, read in a thread.

    A name server or an issuer that sends its headers byte by byte can hold the thread for as long as it likes: it is
    waited for no longer than ``FETCH_SECONDS``, and there is never a second one.
    """

    def __init__(self, fetch: Callable[[], bytes], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._under_way: asyncio.Task[bytes] | None = None
        self._read = self._tried = float("-inf")

    async def read(self, *, soon: bool) -> list[bytes] | None:
        """See ``Source``."""
        now = self._clock()
        stale = now - self._read >= PERIOD_SECONDS
        if not (soon or stale) or now - self._tried < SOON_SECONDS:
            return None
        self._tried = now
        fetching = self._under_way = self._under_way or asyncio.create_task(asyncio.to_thread(self._fetch))
        await asyncio.wait((fetching,), timeout=FETCH_SECONDS)
        if not fetching.done():
            raise TimeoutError(f"the key set did not come within {FETCH_SECONDS:.0f} seconds")
        self._under_way = None
        found = fetching.result()
        self._read = now
        return [found]


class KeySet:
    """The keys of the moment; ``arrived``: whether there ever was one that can be used."""

    def __init__(self, source: Source, algorithms: Iterable[Algorithm]) -> None:
        self._source = source
        self._algorithms = tuple(algorithms)
        self._missed = False
        self.arrived = False
        self.keys: Keys = {}

    def find(self, name: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of that name for that algorithm; None where there is none, and the set is read again soon."""
        key = self.keys.get((name, algorithm))
        if key is None:
            self._missed = True
        return key

    async def refresh(self) -> bool:
        """Read the set if it is time to; tells whether there are other keys now.

        A set without a key that can be used is taken over too: an issuer takes keys back so.

        Raises:
            OSError: it cannot be read; the keys stay.
            ValueError: it is no set; the keys stay.
        """
        missed, self._missed = self._missed, False
        documents = await self._source.read(soon=missed or not self.keys)
        if documents is None:
            return False
        keys = parse_sets(documents, self._algorithms)
        if not keys:
            _LOG.warning("the key set has no key for %s: no token is taken", ", ".join(self._algorithms))
        changed = {name: key.key for name, key in keys.items()} != {name: key.key for name, key in self.keys.items()}
        self.arrived = self.arrived or bool(keys)
        if changed:
            self.keys = keys
            _LOG.info(
                "keys of tokens were read: %s", ", ".join(sorted({name for name, _ in keys if name})) or len(keys)
            )
        return changed


def parse_sets(documents: Iterable[bytes], algorithms: Iterable[Algorithm]) -> Keys:
    """The public keys of sets that can be used; others are left out, since a set may hold what is for somebody else.

    Raises:
        ValueError: a document is no set.
    """
    keys: Keys = {}
    lone: dict[str, list[jwt.PyJWK]] = {}
    for document in documents:
        try:
            said = json.loads(document)
        except RecursionError:
            raise ValueError("a key set is nested too deeply") from None
        listed = said.get("keys") if isinstance(said, dict) else None
        if not isinstance(listed, list):
            raise ValueError("a key set must be an object with a list of keys")  # noqa: TRY004 - of a document
        for one in listed:
            for algorithm, key in _usable(one, algorithms):
                keys[one.get("kid"), algorithm] = key
                lone.setdefault(algorithm, []).append(key)
    return keys | {(None, algorithm): found[0] for algorithm, found in lone.items() if len(found) == 1}


def _usable(said: Any, algorithms: Iterable[Algorithm]) -> Iterable[tuple[str, jwt.PyJWK]]:
    if not isinstance(said, dict) or said.get("use", "sig") != "sig" or not isinstance(said.get("kid", ""), str):
        return
    for algorithm in algorithms:
        kind, curve = _FITS[algorithm]
        if said.get("kty") != kind or (curve and said.get("crv") != curve) or said.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(said, algorithm=algorithm)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            _LOG.warning("key %r of a set was left out: %s", said.get("kid"), error)
            continue
        if kind == "RSA" and key.key.key_size < MIN_RSA_BITS:
            _LOG.warning("key %r of a set was left out: fewer than %d bits", said.get("kid"), MIN_RSA_BITS)
            continue
        yield algorithm, key


def fetcher(uri: str, authorities: Folder | None) -> Callable[[], bytes]:
    """Fetches a set by HTTPS, within a time and a size, following no redirect.

    Args:
        uri: where it is.
        authorities: folder with ``ca.crt``, which signed the certificate of the issuer's server; None: public ones.

    Returns:
        A function that raises OSError where it fails.
    """

    def fetch() -> bytes:
        cafile = None if authorities is None else authorities.path / AUTHORITY
        https = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=cafile))
        opener = urllib.request.build_opener(https, _NoRedirect)
        deadline = time.monotonic() + FETCH_SECONDS
        try:
            with opener.open(uri, timeout=FETCH_SECONDS) as response:
                return _read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(f"{uri} answers {error.code}") from None
        except HTTPException as error:
            raise OSError(f"{uri} does not speak HTTP: {error}") from None

    return fetch


def _read(response: Any, deadline: float) -> bytes:
    found = b""
    while chunk := response.read1():
        found += chunk
        if len(found) > MAX_SET:
            raise OSError(f"the key set is larger than {MAX_SET} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the key set did not come whole within {FETCH_SECONDS:.0f} seconds")
    return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An issuer's keys are where the spec says, and nowhere else."""

    def redirect_request(self, *_arguments: Any) -> None:
        """Follow none: the answer is an error of its code."""
