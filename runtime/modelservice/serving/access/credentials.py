"""What a caller sends to be known by."""

from typing import Final

from modelservice.serving.chain import Headers
from modelservice.serving.errors import UnauthenticatedError

_NAMES: Final = frozenset({b"authorization", b"x-api-key"})
_SCHEME: Final = b"bearer "


def credential_of(headers: Headers) -> bytes:
    """The one key or token of these headers, whose names are in lower case.

    Raises:
        UnauthenticatedError: there is none, more than one, or one of another scheme.
    """
    found = [(name, value) for name, value in headers if name in _NAMES]
    if len(found) != 1:
        wrong = "is missing" if not found else "is there more than once"
        raise UnauthenticatedError(f"the credential {wrong}; send Authorization: Bearer ...", tried=bool(found))
    ((name, value),) = found
    if name == b"x-api-key":
        return value.strip()
    if value[: len(_SCHEME)].lower() != _SCHEME:
        raise UnauthenticatedError("the credential is of another scheme; send Authorization: Bearer ...", tried=True)
    return value[len(_SCHEME) :].strip()
