"""What commands print, as a document shows it: put there by the test that ran them, and held to it ever after.

``UPDATE_TRANSCRIPTS=1`` writes; else the words must be those of the document. Numbers, and names that are made up each
time, may differ.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.bench.record import block_of, replace_block

UPDATES = "UPDATE_TRANSCRIPTS"
_VARIES = re.compile(r"\d|^pod/|^\W*[a-z]{8}\W*$", re.IGNORECASE)
"""A word with a digit, a pod, or eight letters, which a key may be."""


def hold(document: Path, block: str, said: Iterable[tuple[str, str]], *, names: Mapping[str, str]) -> None:
    """Compare commands and what they printed with a block of a document, or put them there.

    Args:
        document: with the marks of the block.
        block: its name.
        said: each command, and what it printed.
        names: what is made up each time, such as a namespace, and what the document has in its place.
    """
    lines = ["```console", *(f"$ {command}\n{printed.rstrip()}" for command, printed in said), "```"]
    text, shown = "\n".join(lines), document.read_text(encoding="utf-8")
    for made_up, name in names.items():
        text = text.replace(made_up, name)
    if os.environ.get(UPDATES):
        document.write_text(replace_block(shown, block, text), encoding="utf-8")
    else:
        assert words(text) == words(block_of(shown, block)), f"{document.name}: write {block} anew with {UPDATES}=1"


def words(text: str) -> list[str]:
    """What is said, without what differs: numbers, digests, keys, names of pods, and how columns are aligned."""
    return [word for word in text.split() if _VARIES.search(word) is None]
