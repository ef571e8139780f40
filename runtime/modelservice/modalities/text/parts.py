"""A text in its words: one that is hidden is left out, with the space behind it."""

import re
from itertools import compress
from typing import Any, Final

from modelservice.modalities.parts import Contributions, Masks

_WORD: Final = re.compile(r"\S+\s*")
_CHARACTER: Final = 4
"""Bytes at most."""


class TextParts:
    """One text; see ``Parts``."""

    noun = "words"
    remedy = "shorter ones"
    additive = False

    def __init__(self, text: str) -> None:
        self._words = _WORD.findall(text) or [text]
        self.count = len(self._words)
        self.size = _CHARACTER * len(text)

    def shown(self, masks: Masks) -> list[Any]:
        """The words of each coalition, in their order."""
        return ["".join(compress(self._words, mask.tolist())) for mask in masks]

    def told(self, contributions: Contributions) -> dict[str, Any]:
        """Each word and what it adds, in their order: a word may come twice."""
        words = zip(self._words, contributions.tolist(), strict=True)
        return {"contributions": [{"word": word.rstrip(), "contribution": value} for word, value in words]}
