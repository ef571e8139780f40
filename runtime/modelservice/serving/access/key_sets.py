"""Public keys of an issuer of tokens: a JSON Web Key Set, mounted, or from where the issuer publishes it."""

import asyncio
import errno
import json
import logging
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import Future
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

_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y")
"""Members of a key that verify; the others sign, or describe it."""

_LOG = logging.getLogger(__name__)

Keys = dict[tuple[str | None, str], tuple[jwt.PyJWK, ...]]
"""By name and algorithm, all that sets give that name; by None also where an algorithm has one key alone, whose name a
token may leave out."""


class Source(Protocol):
    """Where sets come from."""

    async def read(self, *, soon: bool) -> list[bytes] | None:
        """The sets, or None where it is not time to read them again; ``soon``: a key was missed, or the last were none.

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
    waited for no longer than ``FETCH_SECONDS``, there is never a second one, and the process ends without it.
    """

    def __init__(self, fetch: Callable[[], bytes], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._under_way: asyncio.Future[bytes] | None = None
        self._read = self._tried = float("-inf")

    async def read(self, *, soon: bool) -> list[bytes] | None:
        """See ``Source``."""
        now = self._clock()
        stale = now - self._read >= PERIOD_SECONDS
        if not (soon or stale) or now - self._tried < SOON_SECONDS:
            return None
        self._tried = now
        fetching = self._under_way = self._under_way or _aside(self._fetch)
        await asyncio.wait((fetching,), timeout=FETCH_SECONDS)
        if not fetching.done():
            raise TimeoutError(f"the key set did not come within {FETCH_SECONDS:.0f} seconds")
        self._under_way = None
        found = fetching.result()
        self._read = now
        return [found]


def _aside(fetch: Callable[[], bytes]) -> asyncio.Future[bytes]:
    fetched: Future[bytes] = Future()

    def run() -> None:
        try:
            fetched.set_result(fetch())
        except BaseException as error:  # who waits gets it
            fetched.set_exception(error)

    threading.Thread(target=run, name="key set", daemon=True).start()  # an executor's would be waited for at the end
    return asyncio.wrap_future(fetched)


class KeySet:
    """The keys of the moment; ``arrived``: whether there ever was one that can be used."""

    def __init__(self, source: Source, algorithms: Iterable[Algorithm]) -> None:
        self._source = source
        self._algorithms = tuple(algorithms)
        self._missed = False
        self._failure: OSError | ValueError | None = None
        self.arrived = False
        self.keys: Keys = {}

    def find(self, name: str | None, algorithm: str) -> tuple[jwt.PyJWK, ...]:
        """The keys of that name for that algorithm; where there is none, the set is read again soon."""
        found = self.keys.get((name, algorithm), ())
        if not found:
            self._missed = True
        return found

    async def refresh(self) -> bool:
        """Read the set if it is time to; tells whether there are other keys now.

        A set without a key that can be used is taken over too: an issuer takes keys back so.

        Raises:
            OSError: it cannot be read, or could not the last time; the keys stay.
            ValueError: it is no set, or was none the last time; the keys stay.
        """
        try:
            documents = await self._source.read(soon=self._missed or self._failure is not None or not self.keys)
            if documents is None:
                if self._failure is None:
                    return False
                raise self._failure.with_traceback(None)  # it is no less wrong while it is not tried again
            self._missed = False
            keys = parse_sets(documents, self._algorithms)
        except (OSError, ValueError) as error:
            self._failure = error
            raise
        self._failure = None
        if not keys:
            _LOG.warning("the key set has no key for %s: no token is taken", ", ".join(self._algorithms))
        changed = _plain(keys) != _plain(self.keys)
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
    keys: dict[tuple[str | None, str], list[jwt.PyJWK]] = {}
    by_algorithm: dict[str, list[jwt.PyJWK]] = {}
    for document in documents:
        try:
            said = json.loads(document)
        except RecursionError:
            raise ValueError("a key set is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"a key set is no JSON: {error}") from None
        listed = said.get("keys") if isinstance(said, dict) else None
        if not isinstance(listed, list):
            raise ValueError("a key set must be an object with a list of keys")  # noqa: TRY004 - of a document
        for one in listed:
            for algorithm, key in _usable(one, algorithms):
                keys.setdefault((one.get("kid"), algorithm), []).append(key)
                by_algorithm.setdefault(algorithm, []).append(key)
    lone = {(None, algorithm): found for algorithm, found in by_algorithm.items() if len(found) == 1}
    return {name: tuple(found) for name, found in (lone | keys).items()}


def _plain(keys: Keys) -> dict[tuple[str | None, str], list[Any]]:
    """Keys as they can be compared."""
    return {name: [one.key for one in found] for name, found in keys.items()}


def _usable(said: Any, algorithms: Iterable[Algorithm]) -> Iterable[tuple[str, jwt.PyJWK]]:
    if not isinstance(said, dict) or said.get("use", "sig") != "sig" or not isinstance(said.get("kid", ""), str):
        return
    public = {name: said[name] for name in _PUBLIC if name in said}
    if "d" in said:
        _LOG.warning("key %r of a set has its private half beside it: who reads the set can sign", said.get("kid"))
    for algorithm in algorithms:
        kind, curve = _FITS[algorithm]
        if said.get("kty") != kind or (curve and said.get("crv") != curve) or said.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(public, algorithm=algorithm)
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

    Raises:
        OSError: there are no authorities.
        ValueError: they are none.
    """
    _trusting(authorities)  # what is wrong with them is said at the start, and not by a pod that is never ready

    def fetch() -> bytes:
        https = urllib.request.HTTPSHandler(context=_trusting(authorities))
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


def _trusting(authorities: Folder | None) -> ssl.SSLContext:
    if authorities is None:
        return ssl.create_default_context()
    file = authorities.path / AUTHORITY
    if not file.is_file():
        raise FileNotFoundError(errno.ENOENT, "is not there", str(file))
    try:
        context = ssl.create_default_context(cafile=file)
    except ssl.SSLError as error:
        raise ValueError(f"{file} is no certificate: {error}") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


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
