"""What is alike in parsed documents, kept once: each of them brings its own copies of all keys and texts.

Names, labels, UIDs, owners and images come again and again: in an object, among the children of one, or in all.
"""

import sys
from collections import OrderedDict
from typing import Any

_SHORT = 128
"""Characters of a text that may come again."""

_REMEMBERED = 4096
"""Small maps that may come again; of each the last use counts."""

_PLAIN = frozenset({str, bool, type(None)})
"""Types of the values in a map that is shared; numbers are left out, since 1 is equal to true."""


class Interner:
    """Copies documents so that equal parts of them are one object; nobody may change them afterwards."""

    def __init__(self) -> None:
        self._maps: OrderedDict[tuple[tuple[str, Any], ...], dict[str, Any]] = OrderedDict()

    def intern(self, value: Any) -> Any:
        """An equal value."""
        kind = type(value)  # parsed JSON has no subclasses
        if kind is str:
            return sys.intern(value) if len(value) <= _SHORT else value
        if kind is dict:
            return self._map({sys.intern(name): self.intern(item) for name, item in value.items()})
        if kind is list:
            return [self.intern(item) for item in value]
        return value

    def _map(self, value: dict[str, Any]) -> dict[str, Any]:
        if not _PLAIN.issuperset(map(type, value.values())):
            return value
        items = tuple(value.items())
        if (known := self._maps.get(items)) is not None:
            self._maps.move_to_end(items)
            return known
        self._maps[items] = value
        if len(self._maps) > _REMEMBERED:
            self._maps.popitem(last=False)
        return value
