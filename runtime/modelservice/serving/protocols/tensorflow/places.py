"""Rows of a request, by ``instances`` or ``inputs``, and errors of them in the words of the protocol."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from modelservice.contract.signature import Signature
from modelservice.modalities.base import Encoder, Rows, Tolerance
from modelservice.modalities.errors import InputError
from modelservice.modalities.tensors import describe
from modelservice.serving.calls import Place, check_rows
from modelservice.serving.errors import RequestError
from modelservice.serving.members import check_rows_members
from modelservice.serving.parsing import parse_object
from modelservice.serving.uploads import INSTANCES, parse_object_or_upload, takes_pictures

INPUTS: Final = "inputs"
_EXPECTED: Final = 'expected {"instances": [row, ...]} or {"inputs": {name: [value, ...]}}'


def body_reader(signature: Signature, known: frozenset[str]) -> Callable[[bytes], dict[str, Any]]:
    """What makes an object of a body, of known members: of a model of images also of pictures as they are."""
    parse = partial(parse_object_or_upload, known=known) if takes_pictures(signature) else parse_object

    def read(body: bytes) -> dict[str, Any]:
        document = parse(body)
        if len(document) > 1:
            check_rows_members(document, known)
        return document

    return read


def read_rows(document: dict[str, Any], encoder: Encoder, tolerance: Tolerance) -> tuple[Rows, Place]:
    """The rows of a request, and how an error of one of them is said.

    Raises:
        RequestError: there are none, or one is no row.
        TooLargeError: they are too many.
    """
    if (INSTANCES in document) == (INPUTS in document):
        wrong = "both instances and inputs are" if INSTANCES in document else "neither instances nor inputs is"
        raise RequestError(f"{wrong} set; {_EXPECTED}")
    if INSTANCES in document:
        return _read_instances(document[INSTANCES], encoder, tolerance), _place_row
    try:
        rows = encoder.from_inputs(document[INPUTS], tolerance)
    except InputError as error:
        raise _place_column(error) from None
    check_rows(len(rows), INPUTS)
    return rows, _place_column


def _read_instances(instances: Any, encoder: Encoder, tolerance: Tolerance) -> Rows:
    if not isinstance(instances, list):
        raise RequestError(f"instances: must be an array of rows, not {describe(instances)}")
    check_rows(len(instances), INSTANCES)
    try:
        return encoder.from_instances(instances, tolerance)
    except InputError as error:
        raise _place_row(error) from None


def _place_row(error: InputError) -> RequestError:
    """An error of ``instances``."""
    row = "" if error.row is None else f"[{error.row}]"
    column = "" if error.column is None else f".{error.column}"
    return RequestError(f"instances{row}{column}: {error.message}")


def _place_column(error: InputError) -> RequestError:
    """An error of ``inputs`` by column."""
    column = "" if error.column is None else f".{error.column}"
    row = "" if error.row is None else f"[{error.row}]"
    return RequestError(f"inputs{column}{row}: {error.message}")
