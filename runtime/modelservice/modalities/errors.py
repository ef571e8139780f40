"""What can be wrong with the rows of a request, and the words for it."""

import json
from collections.abc import Sequence
from typing import Any

_SHOWN = 32
_LARGEST_SHOWN = 10**15


class InputError(ValueError):
    """Rows given for prediction that do not fit the model's inputs.

    ``str()`` is ``[3].petal_length: 'x' is not a number``: a protocol puts the name of its own list in front.

    Attributes:
        row: index of the row, from 0, or None if no single row is wrong.
        column: name of the column, or None if no single column is wrong.
        tensor: index of the Open Inference tensor, or None where rows came another way.
        part: the member of that tensor which is wrong, such as shape or datatype, or None.
        message: what is wrong, without the place.
    """

    def __init__(
        self,
        message: str,
        *,
        row: int | None = None,
        column: str | None = None,
        tensor: int | None = None,
        part: str | None = None,
    ) -> None:
        place = ("" if row is None else f"[{row}]") + ("" if column is None else f".{column}")
        super().__init__(f"{place.lstrip('.')}: {message}" if place else message)
        self.row = row
        self.column = column
        self.tensor = tensor
        self.part = part
        self.message = message


def describe(value: Any) -> str:
    """A JSON value as a message names it: its kind, and the value itself where it is short."""
    match value:
        case None | bool():
            return json.dumps(value)
        case str():
            return f"the text {value[:_SHOWN]!r}" + ("..." if len(value) > _SHOWN else "")
        case list():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
        case int() if abs(value) > _LARGEST_SHOWN:
            return "a very large number"
        case _:
            return f"the number {value}"


def listed(names: Sequence[str], *, most: int = 16) -> str:
    """Names as a message gives them, cut where there are many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
