"""What short texts say, remembered: the cells of a column come again and again."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Generic, TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

SHORT: Final = 64
"""Characters of a text that is remembered: thousands of them are, and a client may send one of megabytes."""


class Remembered(Generic[*Ts, R]):
    """A pure function of a text, of which the results for short ones are kept that were asked for last."""

    def __init__(self, read: Callable[[str, *Ts], R], *, most: int) -> None:
        self._read = read
        self._known = lru_cache(maxsize=most)(read)

    def __call__(self, text: str, *more: *Ts) -> R:
        """What the function says."""
        return self._known(text, *more) if len(text) <= SHORT else self._read(text, *more)

    def __len__(self) -> int:
        """Results that are kept."""
        return self._known.cache_info().currsize
