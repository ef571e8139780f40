"""What a Dockerfile's stages say, as far as names of images are made from it."""

import re
from collections.abc import Mapping
from pathlib import Path

_STAGE = re.compile(r"^FROM .* AS (?P<name>\S+)$", re.MULTILINE)
_COMMENT = re.compile(r"^#.*\n", re.MULTILINE)
_COPY = re.compile(r"^COPY (?P<sources>.+) \S+$", re.MULTILINE)


def stages(text: str) -> Mapping[str, str]:
    """The text of each stage by its name, without comments; what stands before the first one, under an empty name."""
    text = _COMMENT.sub("", text)
    starts = list(_STAGE.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    head = text[: starts[0].start()] if starts else text
    return {"": head, **{start["name"]: text[start.start() : end] for start, end in zip(starts, ends, strict=True)}}


def copied(stage: str, root: Path) -> list[Path]:
    """The files that a stage copies from the folder it is built in, in the order of their names."""
    sources = [source for match in _COPY.finditer(stage) for source in match["sources"].split()]
    found = {path for source in sources for top in root.glob(source) for path in (top, *top.rglob("*"))}
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)
