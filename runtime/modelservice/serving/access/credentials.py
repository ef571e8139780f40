"""What a caller sends to be known by."""

from base64 import b64decode
from hashlib import sha256
from typing import Final

from modelservice.serving.callers import Credential
from modelservice.serving.chain import Headers
from modelservice.serving.errors import UnauthenticatedError

_NAMES: Final = frozenset({b"authorization", b"x-api-key"})
_SCHEME: Final = b"bearer "
_SEND: Final = "send Authorization: Bearer ..., or X-API-Key: ..., or Basic with it as the password"
_OF_BROWSERS: Final = b"basic "
_FROM: Final = b"sec-fetch-site"
_OWN: Final = frozenset({b"same-origin", b"none"})
_ORIGIN: Final = b"origin"
_HOST: Final = b"host"


def credential_of(headers: Headers) -> Credential:
    """The one key or token of these headers, whose names are in lower case.

    A browser has no other way to send one than as the password of a user, of any name (RFC 7617). It then sends it with
    each request for this server, also where the page of somebody else makes it ask: such a request has none.

    Raises:
        UnauthenticatedError: there is none, more than one, or one of another scheme.
    """
    found = [(name, value) for name, value in headers if name in _NAMES]
    if len(found) != 1:
        wrong = "is missing" if not found else "is there more than once"
        raise UnauthenticatedError(f"the credential {wrong}; {_SEND}", tried=bool(found))
    ((name, value),) = found
    if name == b"authorization":
        if value[: len(_SCHEME)].lower() == _SCHEME:
            value = value[len(_SCHEME) :]
        elif value[: len(_OF_BROWSERS)].lower() == _OF_BROWSERS:
            value = _password(value[len(_OF_BROWSERS) :], headers)
        else:
            raise UnauthenticatedError(f"the credential is of another scheme; {_SEND}", tried=True)
    text = value.strip()
    return Credential(text, sha256(text).digest())


def _password(encoded: bytes, headers: Headers) -> bytes:
    if _is_of_another_site(headers):
        said = "a page of another site asks with what the browser knows; send Authorization: Bearer ..."
        raise UnauthenticatedError(said, tried=False)
    try:
        _, _, password = b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        raise UnauthenticatedError("the credential is no name and password in base64", tried=True) from None
    return password


def _is_of_another_site(headers: Headers) -> bool:
    """Whether the page of another site makes a browser ask.

    Without TLS browsers do not say so in ``Sec-Fetch-Site``, but of what may change something they say the origin.
    """
    if sites := [value for name, value in headers if name == _FROM]:
        return not _OWN.issuperset(sites)
    said = dict(headers)
    return _ORIGIN in said and said[_ORIGIN].partition(b"://")[2] != said.get(_HOST)
