"""What an object store answered: the errors of obstore, told apart by what has to change.

Stores say the same with several statuses and codes, so that status, code and words of the answer are looked at.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum, auto
from typing import NamedTuple

_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_OBJECT = frozenset({"NoSuchKey", "BlobNotFound"})
_NO_KEY = re.compile(r"InvalidAccessKeyId|AuthenticationFailed|UserNotFound|\(code: (?:AccessDenied|40[13])\)")
"""Some servers say so with another status than 403; of objects that may not be deleted S3 does with 200,
Azure with 202."""
_STATUS = re.compile(r"status code: ([1-5]\d\d)")
_PASSING_STATUS = frozenset({408, 409, 412, 425, 429})
_FIRST_OF_SERVER = 500
_PLAIN_HTTP = "BadScheme"
_PREFIXES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""Of the standard variables of each kind of store."""
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""Of these variables, those that a laptop needs."""
_NEVER = re.compile("redirect without LOCATION|Content-Length Header missing")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
_NO_TOKEN = re.compile(r"token file(?: '|$)")
_OF_IDENTITY = re.compile(
    rf"{_NO_TOKEN.pattern}|Error performing token request|AssumeRoleWithWebIdentity|POST REDACTED|://169\.254\."
    r"|://[^/\s]+/(?:v1/credentials|latest/(?:api/token|meta-data/iam/\S*)|metadata/identity/\S*) in "
)
"""Requests for the credentials of a pod or a machine, which clients of stores make where nobody gives them keys."""
_PANIC = "PanicException"
"""What obstore raises where its Rust code gave up, on an endpoint that is no URL for one; no ``Exception``."""


class Wrong(StrEnum):
    """What has to change: the rights, the bucket, the object, how the store is reached; or nothing, but time passes.

    ``PLAIN_HTTP`` is a way to reach it that has to be allowed. Where no keys are given, ``IDENTITY`` says that the
    cloud gives the pod no credentials, ``NO_IDENTITY`` that nobody answered who might.
    """

    RIGHTS = auto()
    IDENTITY = auto()
    NO_IDENTITY = auto()
    BUCKET = auto()
    OBJECT = auto()
    SETTINGS = auto()
    PLAIN_HTTP = auto()
    PASSING = auto()


class Answer(NamedTuple):
    """What is wrong, and what the store said in one line."""

    wrong: Wrong
    said: str


def answer_of(error: Exception) -> Answer:
    """What an error of obstore means."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError  # noqa: PLC0415

    text, said = str(error), sentence(error)
    status = int(match.group(1)) if (match := _STATUS.search(text)) else None
    may_pass = status is None or status >= _FIRST_OF_SERVER or status in _PASSING_STATUS
    if _OF_IDENTITY.search(said):
        return Answer(Wrong.NO_IDENTITY if may_pass and _NO_TOKEN.search(said) is None else Wrong.IDENTITY, said)
    refused = isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in {401, 403}
    if refused or _NO_KEY.search(text):
        return Answer(Wrong.RIGHTS, said)
    if _NO_BUCKET.search(text):
        return Answer(Wrong.BUCKET, said)
    if (unreached := _unreached(text, said)) is not None:
        return unreached
    if isinstance(error, FileNotFoundError) and is_missing_object(error):
        return Answer(Wrong.OBJECT, said)
    return Answer(Wrong.PASSING if may_pass and _NEVER.search(text) is None else Wrong.SETTINGS, said)


def _unreached(text: str, said: str) -> Answer | None:
    """What is wrong with the way to a store, None if it was reached."""
    if _PLAIN_HTTP in text:
        return Answer(Wrong.PLAIN_HTTP, said)
    if (untrusted := _CERTIFICATE.search(text)) is not None:
        return Answer(Wrong.SETTINGS, f"its certificate is not trusted: {untrusted.group(1)}")
    return None


def is_missing_object(error: FileNotFoundError) -> bool:
    """Whether it is the object that is not there, and not its bucket, for one."""
    code = _CODE.search(str(error))
    return code is None or code.group(1) in _NO_OBJECT


@contextmanager
def told_apart(as_error: Callable[[Answer], Exception]) -> Iterator[None]:
    """Errors of obstore, and what its Rust code panics with, in the words of who asks.

    Args:
        as_error: what is raised for an answer. An object that is there already is no answer, but raised as it is.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError  # noqa: PLC0415

    try:
        yield
    except AlreadyExistsError:
        raise
    except (BaseError, FileNotFoundError) as error:
        raise as_error(answer_of(error)) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise as_error(Answer(Wrong.SETTINGS, str(error))) from None


def identity(address: str, answer: Answer, *, secret: str) -> str:
    """What is wrong with the identity of a pod, and what to do about it.

    Args:
        address: that it was to open.
        answer: of which the identity is wrong.
        secret: the field of the Secret that would make it needless.
    """
    laptop = f"on a laptop set {_KEYS[address.partition(':')[0]]}"
    if answer.wrong is Wrong.NO_IDENTITY:
        nobody = "nobody gives this machine an identity of its own"
        return f"{address}: no keys are given with {secret}, and {nobody}; {laptop}: {answer.said}"
    remedy = "name a ServiceAccount in serviceAccountName that the cloud gives a role, or correct its role"
    given = f"no keys are given with {secret}, and the cloud gives the pod none"
    return f"{address}: {given}: {remedy}; {laptop}: {answer.said}"


def plain_http(address: str) -> str:
    """What allows plain HTTP, which a store's endpoint speaks, among the standard variables of its kind."""
    return f"its endpoint is plain HTTP, which needs {_PREFIXES[address.partition(':')[0]]}_ALLOW_HTTP set to true"


def sentence(error: Exception) -> str:
    """What an error of obstore says, in one line, without the dump of its internals."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())
