"""Documents as somebody would type them: commands of their blocks, and what they show of the answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Typed(NamedTuple):
    """A command, of several lines where a here-document follows, and the lines that are shown of its answer."""

    command: str
    shown: tuple[str, ...]


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def typed(block: str) -> Iterator[Typed]:
    """What stands after each ``$`` of a block."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        first, *rest = part.rstrip("\n").split("\n")
        end = re.search(r"<<'(\w+)'", first)
        until = rest.index(end[1]) + 1 if end else 0
        yield Typed("\n".join([first, *rest[:until]]), tuple(rest[until:]))


def lacking(answer: str, shown: tuple[str, ...]) -> list[str]:
    """Lines that are shown and are not in an answer; one that ends with ``...`` goes on there."""
    lines = answer.splitlines()
    return [
        line
        for line in shown
        if not any(one.startswith(line[:-3]) if line.endswith("...") else one == line for one in lines)
    ]
