"""What can go wrong at the start, and with a request, with its status in each transport.

The protocols and the core raise these, whatever carried the request; a transport only reads the codes here.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self, TypeVar

MAX_MESSAGE = 500
"""Characters of a message: a wrong value of a megabyte is not sent back."""
INTERNAL = "internal error; the server's log has the details"

_LOG = logging.getLogger(__name__)


class NotServedError(Exception):
    """Why there is no server, as a sentence for its user; ``exit_code`` tells whether another try may go better."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class RequestError(Exception):
    """A request that is refused; the message says what is wrong and where.

    ``status`` is its code in HTTP and ``code`` the name of its code in gRPC; ``retry_after`` is the estimate in
    seconds after which another try may go better, or None where none would. ``model`` is the name of the model that the
    message asks, where that alone says it and it was read.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "INVALID_ARGUMENT"
    retry_after: float | None = None
    model: str = ""


class TooLargeError(RequestError):
    """The body or the number of rows is beyond a limit, which the message gives."""

    status = 413


class HeadersTooLargeError(RequestError):
    """The headers are beyond a limit, which the message gives."""

    status = 431


class UnsupportedEncodingError(RequestError):
    """A Content-Encoding that is not decoded here."""

    status = 415


_Model = TypeVar("_Model")


class UnknownModelError(RequestError):
    """Another model, or another version of this one, was asked for."""

    status = 404
    code = "NOT_FOUND"

    @classmethod
    def of_name(cls, asked: str, *, names: Iterable[str]) -> Self:
        """``asked`` is no name of a model that is served."""
        return cls(f"no model named {asked[:64]!r} here; this server serves {', '.join(map(repr, names))}")

    @classmethod
    def of_version(cls, asked: str, *, name: str, version: str) -> Self:
        """``asked`` is no version of it that is served."""
        return cls(f"no version {asked[:64]!r} of {name}; this server serves {version!r}")

    @classmethod
    def of_label(cls, asked: str, *, name: str, version: str) -> Self:
        """No version has ``asked`` as a label: a server has one version, and versions are numbers."""
        return cls(f"no version of {name} is labelled {asked[:64]!r}; this server serves version {version!r}")


def named(models: Mapping[str, _Model], name: str) -> _Model:
    """What there is of a model that is asked for by its name.

    Raises:
        UnknownModelError: there is none of this name.
    """
    if name not in models:
        raise UnknownModelError.of_name(name, names=models)
    return models[name]


class QueueFullError(RequestError):
    """The request would wait longer than is allowed."""

    status = 429
    code = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnauthenticatedError(RequestError):
    """Nobody knows who calls.

    ``tried``: there was a credential, which is not taken; ``counts``: as a wrong one of its address, of which there may
    be only so many.
    """

    status = 401
    code = "UNAUTHENTICATED"

    def __init__(self, message: str, *, tried: bool, counts: bool = True) -> None:
        super().__init__(message)
        self.tried = tried
        self.counts = counts


class ForbiddenError(RequestError):
    """Who calls is known, and may not."""

    status = 403
    code = "PERMISSION_DENIED"


class TooManyRequestsError(RequestError):
    """A caller asks more often than it may."""

    status = 429
    code = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KeysMissingError(RequestError):
    """There is no public key of an issuer, or not yet, so no token can be told from a forged one."""

    status = 503
    code = "UNAVAILABLE"
    retry_after = 10.0


class UnknownMethodError(RequestError):
    """No such remote call."""

    status = 404
    code = "UNIMPLEMENTED"


class BusyError(RequestError):
    """All requests together hold as much as the server may hold; the message gives the limit."""

    status = 503
    code = "RESOURCE_EXHAUSTED"
    retry_after = 1.0


class TooSlowError(RequestError):
    """The client took too long to send what it began; the message gives the limit."""

    status = 408
    code = "DEADLINE_EXCEEDED"


class EncoderError(RequestError):
    """The encoder that a head asks gave no numbers: of all rows that were asked together alike."""

    status = 503
    code = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EncoderBusyError(EncoderError):
    """It has too much to do."""

    status = 429
    code = "RESOURCE_EXHAUSTED"


class EncoderLateError(EncoderError):
    """It would have come too late."""

    status = 504
    code = "DEADLINE_EXCEEDED"


class OtherArtifactError(RequestError):
    """Answers of another artifact than the one that is served were asked for."""

    status = 412
    code = "FAILED_PRECONDITION"


class TooLateError(RequestError):
    """The request waited for longer than the seconds that it said; its rows are not computed any more."""

    status = 504
    code = "DEADLINE_EXCEEDED"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it was not answered within its timeout of {seconds * 1000:g} ms")


class ClientLeftError(RequestError):
    """The client went away before it had its answer: nobody is told, but metrics; 499 is nginx's code for it."""

    def __init__(self, message: str = "the client left before it was answered") -> None:
        super().__init__(message)

    status = 499
    code = "CANCELLED"


class NotRenewedError(RequestError):
    """The artifact that was to be loaded cannot be served; the one before is.

    ``may_pass``: it may be able to later without a change.
    """

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class ShuttingDownError(RequestError):
    """The server is about to exit and takes nothing new."""

    status = 503
    code = "UNAVAILABLE"
    retry_after = 1.0


class NotFiniteError(RequestError):
    """The model's answer to these inputs is no finite number."""


class InternalError(RequestError):
    """A fault of ours, of which the client is told nothing more."""

    status = 500
    code = "INTERNAL"


def as_request_error(error: BaseException) -> RequestError:
    """The error as a client is told it: one that nobody expected goes to the log."""
    if isinstance(error, RequestError):
        return error
    _LOG.error("unexpected error while answering a request", exc_info=error)
    return InternalError(INTERNAL)


def message_of(error: RequestError) -> str:
    """A message that can always be sent: lone surrogates are replaced, long ones cut."""
    text = str(error).encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."
