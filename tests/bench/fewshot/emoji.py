"""Pictures of things, each in one of the groups of Unicode: the colour font of the distribution, drawn by Pillow.

Only signs of one character: skin colours and couples, which differ in little, would stand on both sides of a draw.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tests.bench.debian import unpack_packages

SIDE: Final = 48
_PACKAGES: Final = ("unicode-data", "fonts-noto-color-emoji")
_LIST: Final = "usr/share/unicode/emoji/emoji-test.txt"
_FONT: Final = "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
_SIZE: Final = 109
"""The one size that the font has, of pixels."""
_CANVAS: Final = 136
_GROUP: Final = "# group: "
_SIGN: Final = re.compile(r"([0-9A-F]+)(?: FE0F)? +; fully-qualified")


def emoji(folder: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Group and picture of each sign, uint8 [3, 48, 48]; the packages are fetched into the folder once.

    Raises:
        CalledProcessError: the packages are not to be had.
    """
    if not (folder / _FONT).exists():
        unpack_packages(_PACKAGES, folder)
    font = ImageFont.truetype(str(folder / _FONT), _SIZE)
    group = ""
    for line in (folder / _LIST).read_text(encoding="utf-8").splitlines():
        if line.startswith(_GROUP):
            group = line.removeprefix(_GROUP)
        elif (sign := _SIGN.match(line)) is not None:
            yield group, drawn(chr(int(sign[1], 16)), font)


def drawn(character: str, font: Any) -> NDArray[np.uint8]:
    """A character on white."""
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), "white")
    ImageDraw.Draw(canvas).text((0, 0), character, font=font, embedded_color=True)
    return np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
