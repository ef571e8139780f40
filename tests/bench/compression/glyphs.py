"""Letters and digits of many fonts, rendered with shifts, rotation, scale and noise: 28 x 28 grey levels."""

import string
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CHARACTERS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
SIDE: Final = 28
DRAWS: Final = 8
"""Pictures of a character in a font."""
_FINER: Final = 3
"""Drawn so many times larger, so that edges are grey and not jagged."""
_SIZES: Final = (48, 66)
"""Of the font, in the finer pixels; letters stand on one line, so a c is smaller than a C."""
_BASELINE: Final = 60
_ANGLE: Final = 12.0
_SHIFT: Final = 6.0
_NOISE: Final = 0.1
"""At most: degrees, finer pixels; standard deviation of the noise, of grey levels from 0 to 1."""


@lru_cache(maxsize=1)
def rendered(places: tuple[Path, ...], seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """All pictures.

    Args:
        places: of the fonts.
        seed: of shifts, angles, sizes and noise.

    Returns:
        Grey levels from 0 to 1, float32 [pictures, 1, 28, 28]; the character and the font of each, int64 [pictures].
    """
    random = np.random.default_rng(seed)
    pictures = [
        _picture(place, character, random) for place in places for character in CHARACTERS for _ in range(DRAWS)
    ]
    grey = np.stack(pictures)[:, None].astype(np.float32) / 255
    noise = random.normal(scale=_NOISE, size=grey.shape).astype(np.float32)
    noisy = np.clip(grey + noise, 0, 1).astype(np.float32)
    of_font = len(CHARACTERS) * DRAWS
    characters = np.tile(np.repeat(np.arange(len(CHARACTERS)), DRAWS), len(places)).astype(np.int64)
    return noisy, characters, np.repeat(np.arange(len(places)), of_font).astype(np.int64)


def _picture(place: Path, character: str, random: np.random.Generator) -> NDArray[np.uint8]:
    wide = SIDE * _FINER
    image = Image.new("L", (wide, wide))
    font = _font(place, int(random.integers(*_SIZES, endpoint=True)))
    ImageDraw.Draw(image).text((wide / 2, _BASELINE), character, fill=255, font=font, anchor="ms")
    shift = tuple(random.uniform(-_SHIFT, _SHIFT, size=2).tolist())
    turned = image.rotate(
        random.uniform(-_ANGLE, _ANGLE), resample=Image.Resampling.BILINEAR, translate=(shift[0], shift[1])
    )
    return np.asarray(turned.resize((SIDE, SIDE), Image.Resampling.BOX))


@lru_cache(maxsize=1024)
def _font(place: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(place, size)
