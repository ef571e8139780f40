"""JSON Web Tokens of one issuer (RFC 7519), verified once and remembered until they expire."""

import time
from collections.abc import Callable
from hmac import compare_digest
from typing import Any, Final, NamedTuple

import jwt

from modelservice.contract.access import Jwt
from modelservice.serving.access.attempts import FORGERIES
from modelservice.serving.access.key_sets import KeySet
from modelservice.serving.callers import Caller, Credential
from modelservice.serving.errors import KeysMissingError, UnauthenticatedError

LEEWAY_SECONDS: Final = 30
"""By which clocks may differ."""
MAX_REMEMBERED: Final = 4096
"""Tokens; the one that was verified the longest ago gives way."""
MAX_TOKEN: Final = 8 * 1024
"""Bytes: of one of 64 KiB it takes milliseconds to find what is wrong, and anybody may send it again and again."""
MAX_SUBJECT: Final = 1024
"""Characters of a name: it is kept for as long as its token is, and stands in each line of the audit."""
_FAR: Final = 2**53
"""Seconds: a token may say any number."""


class _Verified(NamedTuple):
    digest: bytes
    caller: Caller
    until: float


class Tokens:
    """Who sends a token; verifying costs 50 to 100 us, remembering 1."""

    allowance: Final = FORGERIES

    def __init__(self, said: Jwt, keys: KeySet, *, clock: Callable[[], float] = time.time) -> None:
        self._said = said
        self._keys = keys
        self._clock = clock
        self._algorithms = [algorithm.value for algorithm in said.algorithms]
        self._verified: dict[bytes, _Verified] = {}

    def caller_of(self, credential: Credential) -> Caller:
        """Whose token it is, and whether the server is for them.

        Raises:
            UnauthenticatedError: it is not the issuer's for this audience and this time.
            KeysMissingError: there is no key of the issuer, or not yet.
        """
        token, digest = credential
        known = self._verified.get(digest)
        if known is not None and known.until > self._clock() and compare_digest(known.digest, digest):
            return known.caller
        if len(token) > MAX_TOKEN:
            said = f"the token is longer than {MAX_TOKEN} bytes; ask its issuer for one with fewer claims"
            raise UnauthenticatedError(said, tried=True, counts=False)
        caller, until = self._verify(token)
        self._verified.pop(digest, None)
        if len(self._verified) >= MAX_REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = _Verified(digest, caller, until)
        return caller

    @property
    def ready(self) -> bool:
        """Whether there were keys at least once: until then every token would get 503."""
        return self._keys.arrived

    async def refresh(self) -> None:
        """Read the keys again if it is time to; tokens that others signed are forgotten with them."""
        if await self._keys.refresh():
            self._verified.clear()

    def _verify(self, token: bytes) -> tuple[Caller, float]:
        if not self._keys.keys:
            raise KeysMissingError("there is no key of the issuer that can be used, or not yet; try again")
        claims = self._claims(token)
        return self._caller(claims), min(int(claims["exp"]), _FAR) + LEEWAY_SECONDS

    def _claims(self, token: bytes) -> dict[str, Any]:
        """What it says, if one of these keys signed it: sets may give several the same name."""
        for key in self._keys_of(token):
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=self._algorithms,
                    audience=self._said.audience,
                    issuer=self._said.issuer,
                    leeway=LEEWAY_SECONDS,
                    options={"require": ["exp", "iss", "aud"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.PyJWTError as error:
                raise UnauthenticatedError(f"the token is not taken: {error}", tried=True) from None
        raise UnauthenticatedError("the token is not taken: Signature verification failed", tried=True)

    def _keys_of(self, token: bytes) -> tuple[jwt.PyJWK, ...]:
        """The keys of the name that it says; that it says none of the issuer's is found without work."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(f"the token is not taken: {error}", tried=True, counts=False) from None
        algorithm = str(header.get("alg"))
        if algorithm not in self._algorithms:
            said = f"the token is signed with {algorithm[:16]!r}; expected {' or '.join(self._algorithms)}"
            raise UnauthenticatedError(said, tried=True, counts=False)
        keys = self._keys.find(header.get("kid"), algorithm)
        if not keys:
            said = "the token is signed with a key that the issuer does not list"
            raise UnauthenticatedError(said, tried=True, counts=False)
        return keys

    def _caller(self, claims: dict[str, Any]) -> Caller:
        said = self._said
        subject, listed = claims.get(said.subject_claim), claims.get(said.groups_claim)
        if not isinstance(subject, str) or not subject or not _is_unicode(subject):
            raise UnauthenticatedError(f"the token has no text in the claim {said.subject_claim}", tried=True)
        if len(subject) > MAX_SUBJECT:
            raise UnauthenticatedError(f"{said.subject_claim} of the token is longer than {MAX_SUBJECT}", tried=True)
        groups = {one for one in listed if isinstance(one, str)} if isinstance(listed, list) else set()
        anybody = not said.subjects and not said.groups
        return Caller(subject, anybody or subject in said.subjects or not groups.isdisjoint(said.groups))


def _is_unicode(text: str) -> bool:
    """Whether it holds no half of a character, which JSON can write and no log."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
