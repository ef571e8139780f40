"""What is alike in parsed documents, kept once: each of them brings its own copies of all keys and texts.

Names, labels, UIDs, owners and images come again and again: in an object, among the children of one, or in all.
"""

import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from modelservice_operator.machinery.codec import dump_json

_SHORT = 128
"""Characters of a text that may come again."""

_REMEMBERED = 4096
"""Small maps that may come again; of each the last use counts."""

_PLAIN = frozenset({bool, type(None)})
"""Types of the values besides texts in a map that is shared; numbers are left out, since 1 is equal to true."""

_PARTS = frozenset({dict, list})


class Interner:
    """Copies documents so that equal parts of them are one object; nobody may change them afterwards."""

    def __init__(self) -> None:
        self._maps: OrderedDict[tuple[tuple[str, Any], ...], dict[str, Any]] = OrderedDict()

    def intern(self, value: Any) -> Any:
        """An equal value. What was parsed or built has no subclasses of Python's own types."""
        kind = type(value)
        if kind is dict:
            return self._map(value)
        if kind is list:
            return [self.intern(item) for item in value]
        return sys.intern(value) if kind is str and len(value) <= _SHORT else value

    def renew(self, value: Mapping[str, Any], before: Mapping[str, Any], *, deep: bool = True) -> dict[str, Any]:
        """An equal object that has what is the same in an earlier version of it from there.

        Args:
            value: what was parsed or built.
            before: what ``intern`` or this gave for the earlier version.
            deep: whether the fields of its fields are looked at, too.
        """
        return {sys.intern(name): self._renewed(item, before.get(name), deep=deep) for name, item in value.items()}

    def _renewed(self, value: Any, before: Any, *, deep: bool) -> Any:
        kind = type(value)
        if kind not in _PARTS or kind is not type(before):
            return self.intern(value)
        if value == before and dump_json(value) == dump_json(before):  # 1 is equal to true, but no text of it
            return before
        if deep and kind is dict:
            return self.renew(value, before, deep=False)
        return self.intern(value)

    def _map(self, value: dict[str, Any]) -> dict[str, Any]:
        kept, plain = {}, True
        for name, item in value.items():
            kind = type(item)
            if kind is str:  # most are, and need no call of their own
                kept[sys.intern(name)] = sys.intern(item) if len(item) <= _SHORT else item
            else:
                kept[sys.intern(name)] = self.intern(item)
                plain = plain and kind in _PLAIN
        if not plain:
            return kept
        items = tuple(kept.items())
        if (known := self._maps.get(items)) is not None:
            self._maps.move_to_end(items)
            return known
        self._maps[items] = kept
        if len(self._maps) > _REMEMBERED:
            self._maps.popitem(last=False)
        return kept
