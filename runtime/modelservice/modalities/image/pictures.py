"""PNG and JPEG to numbers. Pillow is imported when the first one comes."""

import binascii
import io
import struct
import zlib
from base64 import b64decode
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMATS = ("PNG", "JPEG")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name of the pixels with so many channels of 8 bits."""
_READABLE = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
"""What converts to ``_MODES`` without a loss of its own; deeper pixels, and inks, do not."""
_OPAQUE = 255


class PictureError(ValueError):
    """The bytes are no picture that this model can take; the message says why."""


def decode_base64(text: object) -> bytes:
    """Bytes of a base64 text.

    Raises:
        PictureError: it is none.
    """
    if not isinstance(text, str):
        raise PictureError("must be a base64 text of a PNG or JPEG")
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError(f"is not base64: {error}") from None


def decode_picture(content: bytes, *, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """A PNG or JPEG as uint8 [height, width, channels].

    Colour becomes grey, and grey colour, as the model needs it (ITU-R 601 luma). A picture is turned as its EXIF
    orientation says.

    Raises:
        PictureError: it is none, damaged, of another size, or its pixels cannot be had without guessing.
    """
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - most servers never see a picture

    if channels not in _MODES:
        raise PictureError(f"a picture has 1, 3 or 4 channels, and this model takes {channels}: send numbers")
    damage = (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error, Image.DecompressionBombError)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            return _pixels(opened, (width, height), channels)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("is neither a PNG nor a JPEG") from None
    except damage as error:
        raise PictureError(f"is a damaged picture: {str(error)[:200]}") from None


def _pixels(opened: Any, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """uint8 [height, width, channels] of an opened picture, whose pixels are not inflated yet."""
    from PIL import ImageOps  # noqa: PLC0415 - as above

    if sorted(opened.size) != sorted(size):
        raise PictureError(_size(opened.size, size))
    picture = ImageOps.exif_transpose(opened)
    if picture.size != size:
        raise PictureError(_size(picture.size, size))
    if picture.mode not in _READABLE:
        raise PictureError(f"has pixels of kind {picture.mode}: save it with 8 bits a channel, as RGB or grey")
    if picture.has_transparency_data and _MODES[channels] != "RGBA":
        alpha = np.asarray(picture.convert("RGBA"))[:, :, 3]
        if alpha.min() < _OPAQUE:
            raise PictureError("is transparent in places, and this model takes no such: put it on a background")
    pixels = np.asarray(picture.convert(_MODES[channels]), dtype=np.uint8)
    return pixels.reshape(*pixels.shape[:2], channels)


def _size(found: tuple[int, int], expected: tuple[int, int]) -> str:
    listed = f"is {found[0]} x {found[1]} pixels (width x height)"
    return f"{listed}; expected {expected[0]} x {expected[1]}: scale it first"
