"""Bodies that are pictures, or forms with pictures, as curl and browsers send files: without base64, and without JSON.

What a body is shows in its first bytes, so that nobody has to say it in a Content-Type. Source of forms: RFC 7578.
"""

import re
from typing import Any, Final

import orjson

from modelservice.contract.signature import Signature
from modelservice.modalities.image.embedded import NAME as EMBEDDED_IMAGE
from modelservice.modalities.image.encoder import NAME as IMAGE
from modelservice.serving.errors import RequestError
from modelservice.serving.members import meant
from modelservice.serving.parsing import parse_object

INSTANCES: Final = "instances"
MEDIA_TYPES: Final = ("image/png", "image/jpeg")
FORM: Final = "multipart/form-data"
_SIGNATURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_DELIMITER: Final = re.compile(rb"--[^\r\n]{1,70}(?=\r\n)")
_NAME: Final = re.compile(rb'(?<![a-z])name=(?:"([^"\r\n]*)"|([^\s";]+))', re.IGNORECASE)
"""A parameter of MIME (RFC 2045): quoted, or a token."""
_FILE: Final = re.compile(rb"filename\*?=", re.IGNORECASE)
_LABEL: Final = "label"
_END: Final = b"\r\n\r\n"
_NEITHER: Final = (
    "the body is neither JSON, nor a PNG or JPEG, nor a form of them; curl sends a picture as it is with"
    " --data-binary @picture.png, with -d it does not"
)


def takes_pictures(signature: Signature) -> bool:
    """Whether rows of a model are images, so that a body may be one."""
    return signature.modality in {IMAGE, EMBEDDED_IMAGE}


def parse_object_or_upload(body: bytes, known: frozenset[str]) -> dict[str, Any]:
    """Parse a body that is a JSON object, a picture, or a form with pictures, whose other fields are ``known``.

    Returns:
        The object, or that for which an upload stands: its pictures as ``instances``, as bytes, and the other fields
        of a form as members.

    Raises:
        RequestError: it is none of them, or a form that is not whole.
    """
    try:
        return parse_object(body)
    except RequestError:
        if is_picture(body):
            return {INSTANCES: [body]}
        if (delimiter := _DELIMITER.match(body)) is None:
            if body.lstrip()[:1] in {b"{", b"["}:
                raise
            raise RequestError(_NEITHER) from None
    return _read_form(body, delimiter[0], known)


def is_picture(content: bytes) -> bool:
    """Whether it begins as a PNG or JPEG does."""
    return content.startswith(_SIGNATURES)


def _read_form(body: bytes, delimiter: bytes, known: frozenset[str]) -> dict[str, Any]:
    *parts, end = body[len(delimiter) :].split(b"\r\n" + delimiter)
    if not end.startswith(b"--"):
        raise RequestError("the form is not whole: it does not end with its delimiter")
    pictures: list[bytes] = []
    fields: dict[str, Any] = {}
    for part in parts:
        head, _, content = part.partition(_END)
        named = _NAME.search(head)
        if named is None:
            raise RequestError("a part of the form has no name")
        name = (named[1] or named[2] or b"").decode("utf-8", "replace")
        if is_picture(content):
            pictures.append(content)
        elif _FILE.search(head):
            raise RequestError(f"the file {name[:64]!r} of the form is neither a PNG nor a JPEG")
        else:
            fields[name] = _value(name, content)
    if not pictures or INSTANCES in fields:
        wrong = "no picture" if not pictures else f"pictures and a field {INSTANCES}"
        raise RequestError(f"the form has {wrong}; expected PNG or JPEG files, and other members of the request")
    unknown = next((name for name in fields if name not in known), None)
    if unknown is not None:
        close = meant(unknown, known)
        remedy = "leave it out" if close is None else f"did you mean {close}?"
        raise RequestError(f"the field {unknown[:64]!r} of the form is not known here; {remedy}")
    return {INSTANCES: pictures, **fields}


def _value(name: str, content: bytes) -> Any:
    """JSON where it is any, else the text; a label is a text, also where it looks like a number."""
    try:
        if name != _LABEL:
            return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    return content.decode("utf-8", "replace")
