"""Markdown whose texts come from data: names and labels are shown as they are, and change nothing around them."""

import re
from collections.abc import Iterable, Sequence

MAX_SHOWN = 80
"""Characters of a text from the data."""
_SPECIAL = re.compile(r"([\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w))")
"""What has an effect in the middle of a line; in the middle of a word an underscore has none."""


def plain(text: str) -> str:
    """A text from the data, in one line and without effect; CommonMark lets any punctuation be escaped."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    cut = line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 1]}\u2026"
    return _SPECIAL.sub(r"\\\1", cut)


def sentence(text: str) -> str:
    """A sentence that may quote data; not cut, but for single words."""
    return " ".join(plain(word) for word in text.split())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in the form of GitHub, its first column to the left and all others to the right."""
    aligned = [":--", *("--:" for _ in header[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (header, aligned, *rows)]


def bullets(sentences: Iterable[str]) -> list[str]:
    """A list of sentences."""
    return [f"- {sentence}" for sentence in sentences]


def figure(value: float) -> str:
    """A number to four digits."""
    return f"{value + 0.0:.4g}"
