"""Results of pure functions, remembered by the very objects that they were made of.

An object of the cache and a spec that was read are never changed: each stays the same one until a newer version takes
its place, and comes again in every pass. To compare them by value would cost more than most of what is made of them.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

_ALL: Final[list[OrderedDict[Any, Any]]] = []
"""What is kept of each function."""


def remembered(most: int) -> Callable[[Callable[[*Ts], R]], Callable[[*Ts], R]]:
    """Decorate a pure function, whose results nobody changes; what it raises is not remembered.

    Args:
        most: results that are kept: those that were asked for last. One of a spec goes with the spec, so that old ones
            of somebody who edits on and on are nowhere.
    """

    def decorate(make: Callable[[*Ts], R]) -> Callable[[*Ts], R]:
        # An entry goes with its first argument that does, or keeps it: no other object can have the identity of one.
        kept: OrderedDict[tuple[int, ...], tuple[tuple[object, ...], R]] = OrderedDict()
        _ALL.append(kept)

        @wraps(make)
        def look(*args: *Ts) -> R:
            identity = tuple(map(id, args))
            if (found := kept.get(identity)) is not None:
                kept.move_to_end(identity)
                return found[1]
            result = make(*args)
            kept[identity] = tuple(_held(arg, lambda _: kept.pop(identity, None)) for arg in args), result
            if len(kept) > most:
                kept.popitem(last=False)
            return result

        return look

    return decorate


def _held(arg: object, gone: Callable[[object], object]) -> object:
    """A reference to an argument that tells when it is gone, or the argument itself: dicts have no such references."""
    try:
        return weakref.ref(arg, gone)
    except TypeError:
        return arg


def forget() -> None:
    """All results of all functions, so that what is measured is what a process does that began just now."""
    for kept in _ALL:
        kept.clear()
