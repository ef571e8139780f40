"""Stored documents: each says what it is and in which version of its schema, so that it can outlive its release."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, ValidationError

from modelservice.contract.base import Tolerant, first_problem

SCHEMA_VERSION = "1.0"
"""Minor: optional fields were added, which older readers ignore. Major: an older reader must not guess."""

_MAJOR = SCHEMA_VERSION.partition(".")[0]


class DocumentError(ValueError):
    """Not the document that was expected; the message is a sentence that says why."""


class Document(Tolerant):
    """A stored document. Subclasses say their ``kind`` as a ``Literal`` with a default."""

    kind: str
    schema_version: str = SCHEMA_VERSION


class ExactDocument(Document):
    """One that a computation goes by: a field that is not known here would change what comes out, so it is refused.

    Parts of it derive from ``Contract``, which refuses such fields, too.
    """

    model_config = ConfigDict(extra="forbid")


Stored = TypeVar("Stored", bound=Document)


def _is_unicode(said: Any) -> bool:
    try:
        json.dumps(said, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_document(name: str, content: bytes | str | Mapping[str, Any], model: type[Stored]) -> Stored:
    """Parse a stored document, after a look at its kind and its schema version.

    Args:
        name: what messages call it, such as ``manifest.json``.
        content: JSON, or what it says.
        model: the kind of document that is expected.

    Raises:
        DocumentError: it is another kind of document, was written by a newer major version, or is not valid.
    """
    try:
        said = content if isinstance(content, Mapping) else json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{name} is not JSON: {error}") from None
    if not isinstance(content, Mapping) and not _is_unicode(said):
        raise DocumentError(
            f"{name} holds a text with half a character (a lone surrogate), which cannot be written down"
        )
    if not isinstance(said, Mapping):
        raise DocumentError(f"{name} is not an object")
    expected = model.model_fields["kind"].default
    if said.get("kind") != expected:
        raise DocumentError(f"{name} is of kind {str(said.get('kind'))[:64]!r}, expected {expected}")
    version = str(said.get("schemaVersion", ""))
    if version.partition(".")[0] != _MAJOR:
        raise DocumentError(
            f"{name} has schema version {version[:64]!r}, this release reads {_MAJOR}.x: use a newer release"
        )
    try:
        return model.model_validate(said)
    except ValidationError as error:
        raise DocumentError(f"{name} is not valid: {first_problem(error)}") from None
