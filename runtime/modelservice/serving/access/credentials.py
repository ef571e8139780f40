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
    if any(name == _FROM and value not in _OWN for name, value in headers):
        said = "a page of another site asks with what the browser knows; send Authorization: Bearer ..."
        raise UnauthenticatedError(said, tried=False)
    try:
        _, _, password = b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        raise UnauthenticatedError("the credential is no name and password in base64", tried=True) from None
    return password
