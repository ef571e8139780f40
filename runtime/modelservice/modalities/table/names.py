"""Names of columns as clients give them: one that Unicode composes otherwise is the same name."""

from collections.abc import Iterable, Mapping
from typing import Any

from modelservice.cells import column_name
from modelservice.modalities.errors import InputError


class Names:
    """The names of a model's columns, in order; immutable."""

    def __init__(self, names: Iterable[str]) -> None:
        self.ordered = tuple(names)
        self.known = frozenset(self.ordered)  # a table may have thousands of columns
        self._spellings = {column_name(name): name for name in self.ordered}

    def known_as(self, given: str) -> str:
        """The model's own spelling of a name; a name that is none of its columns' stays what it is."""
        return given if given in self.known else self._spellings.get(column_name(given), given)

    def keyed(self, given: Mapping[str, Any], *, row: int | None = None) -> Mapping[str, Any]:
        """An object with its keys in the model's spelling.

        Raises:
            InputError: two of its keys are one column.
        """
        if self.known.issuperset(given):
            return given
        keyed: dict[str, Any] = {}
        for name, value in given.items():
            known = self.known_as(name)
            if known in keyed:
                raise InputError("is given twice", row=row, column=known)
            keyed[known] = value
        return keyed
