"""What a caller sends to be known by."""

from hashlib import sha256
from typing import Final

from modelservice.serving.callers import Credential
from modelservice.serving.chain import Headers
from modelservice.serving.errors import UnauthenticatedError

_NAMES: Final = frozenset({b"authorization", b"x-api-key"})
_SCHEME: Final = b"bearer "


def credential_of(headers: Headers) -> Credential:
    """The one key or token of these headers, whose names are in lower case.

    Raises:
        UnauthenticatedError: there is none, more than one, or one of another scheme.
    """
    found = [(name, value) for name, value in headers if name in _NAMES]
    if len(found) != 1:
        wrong = "is missing" if not found else "is there more than once"
        raise UnauthenticatedError(f"the credential {wrong}; send Authorization: Bearer ...", tried=bool(found))
    ((name, value),) = found
    if name == b"authorization":
        if value[: len(_SCHEME)].lower() != _SCHEME:
            said = "the credential is of another scheme; send Authorization: Bearer ..."
            raise UnauthenticatedError(said, tried=True)
        value = value[len(_SCHEME) :]
    text = value.strip()
    return Credential(text, sha256(text).digest())
