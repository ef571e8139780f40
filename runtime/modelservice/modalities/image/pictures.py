"""PNG and JPEG to numbers. Pillow is imported when the first one comes."""

import binascii
import io
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FORMATS = ("PNG", "JPEG")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name of the pixels with so many channels of 8 bits."""
CHANNELS = frozenset(_MODES)
"""Of a pixel of a picture."""
_GREY = frozenset({"1", "L", "LA"})
_ORIENTATION, _SIDEWAYS = 0x0112, range(5, 9)
"""The EXIF tag, and its values that swap height and width."""
_READABLE = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
"""What converts to ``_MODES`` without a loss of its own; deep grey, and inks, do not. Of deep colour Pillow reads the
upper eight bits."""
_DEEP_GREY = "LA;16B"
_DEEP_COLOUR = "RGB;16B"
"""How a PNG has its pixels: two of 16 bits a channel that Pillow opens as colours of 8."""
_WHITE = {"L;2": 0b11, "L;4": 0b1111}
"""Of greys of few bits, which Pillow brings to 8, but for the one that is transparent."""
_WITH_ALPHA = frozenset({"LA", "RGBA"})
_OPAQUE = 255
MAX_PIXELS = 2**26
"""Of a picture of any size: as many as a camera takes, and 256 MiB when inflated."""
MAX_SCANS = 32
"""Of a JPEG, each of which goes over all its pixels and takes some bytes: a progressive one has about 10."""
_JPEG = b"\xff\xd8"
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""Of a JPEG (ITU-T T.81, B.1.1.3), without those that stand alone; what it is followed by begins with its length."""
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA


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


class Size(NamedTuple):
    """Of a picture, turned as its EXIF orientation says, and the fewest channels that hold its pixels."""

    height: int
    width: int
    channels: int


def picture_size(content: bytes, *, most: int = MAX_PIXELS) -> Size:
    """The size of a PNG or JPEG of so many pixels at most, without inflating it.

    Raises:
        PictureError: it is none, damaged, or has too many pixels.
    """
    from PIL import Image  # noqa: PLC0415 - most servers never see a picture

    with _opened(content) as picture:
        if picture.width * picture.height > most:
            raise PictureError(
                f"has {picture.width} x {picture.height} pixels, at most {most} are read: scale it first"
            )
        # That of a PNG would inflate its pixels first, to find what may stand behind them.
        turned = Image.Image.getexif(picture).get(_ORIENTATION, 1) in _SIDEWAYS
        width, height = reversed(picture.size) if turned else picture.size
        return Size(height=height, width=width, channels=1 if picture.mode in _GREY else 3)


def decode_picture(
    content: bytes, *, height: int, width: int, channels: int, scalable: int | None = None
) -> NDArray[np.uint8]:
    """A PNG or JPEG as uint8 [height, width, channels].

    Colour becomes grey, and grey colour, as the model needs it (ITU-R 601 luma). A picture is turned as its EXIF
    orientation says.

    Args:
        content: of the file.
        height: in pixels.
        width: in pixels.
        channels: values of a pixel.
        scalable: pixels of one of another size at most, which is scaled until it covers this one, with what hangs over
            on both sides cut off; None where no other size is taken.

    Raises:
        PictureError: it is none, damaged, of another size, or its pixels cannot be had without guessing.
    """
    if channels not in _MODES:
        raise PictureError(f"a picture has 1, 3 or 4 channels, and this model takes {channels}: send numbers")
    if scalable is not None:
        picture_size(content, most=scalable)
    with _opened(content) as opened:
        return _pixels(opened, (width, height), channels, scaled=scalable is not None)


def write_picture(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of uint8 [height, width] or [height, width, channels], of which there are as many as ``CHANNELS`` says."""
    from PIL import Image  # noqa: PLC0415 - most servers never see a picture

    content = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(content, "PNG")
    return content.getvalue()


@contextmanager
def _opened(content: bytes) -> Iterator[Any]:
    """A picture of Pillow whose pixels are not inflated yet; what Pillow raises is translated."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - most servers never see a picture

    if content.startswith(_JPEG) and _scans(content) > MAX_SCANS:
        raise PictureError(f"is a JPEG of more than {MAX_SCANS} scans: save it anew")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            yield opened
    except (PictureError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise PictureError("is neither a PNG nor a JPEG") from None
    except Exception as error:  # Pillow has no list of what it raises, down to AssertionError and IndexError
        raise PictureError(f"is a damaged picture: {str(error)[:200] or type(error).__name__}") from None


def _scans(content: bytes) -> int:
    """How often a JPEG goes over its pixels, up to one time more than it may."""
    at = scans = 0
    while scans <= MAX_SCANS and (found := _MARKER.search(content, at)) is not None:
        marker, at = found[0][1], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        at += int.from_bytes(content[at : at + 2], "big")
    return scans


def _pixels(opened: Any, size: tuple[int, int], channels: int, *, scaled: bool) -> NDArray[np.uint8]:
    """uint8 [height, width, channels] of an opened picture, whose pixels are not inflated yet."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - as above

    if not scaled and sorted(opened.size) != sorted(size):
        raise PictureError(_size(opened.size, size))
    picture = opened
    _settle_transparency(picture)
    picture.getexif()
    for written in ("exif", "Raw profile type exif"):  # read by now; where it is odd, to write it anew would fail
        picture.info.pop(written, None)
    ImageOps.exif_transpose(picture, in_place=True)  # a copy would be as large again, turned or not
    if not scaled and picture.size != size:
        raise PictureError(_size(picture.size, size))
    if picture.mode not in _READABLE:
        raise PictureError(f"has pixels of kind {picture.mode}: save it with 8 bits a channel, as RGB or grey")
    if picture.has_transparency_data and _MODES[channels] != "RGBA":
        whole = picture if picture.mode in _WITH_ALPHA else picture.convert("RGBA")
        if whole.getchannel("A").getextrema()[0] < _OPAQUE:
            raise PictureError("is transparent in places, and this model takes no such: put it on a background")
    picture = picture.convert(_MODES[channels])
    if picture.size != size:
        picture = ImageOps.fit(picture, size, method=Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels.reshape(*pixels.shape[:2], channels)


def _settle_transparency(picture: Any) -> None:
    """The grey that is transparent as that of pixels of 8 bits; what Pillow would take for another is refused.

    Of an opened picture, whose pixels are not inflated yet: then nothing tells any longer how many bits they had.
    """
    kind = picture.tile[0].args if picture.tile else None
    if kind == _DEEP_GREY:
        raise PictureError("has pixels of kind LA;16: save it with 8 bits a channel, as RGB or grey")
    transparent = picture.info.get("transparency")
    if transparent is not None and kind == _DEEP_COLOUR:
        raise PictureError("has a transparent colour of 16 bits a channel: save it with 8 bits a channel")
    if transparent is not None and kind in _WHITE:
        white = _WHITE[kind]
        picture.info["transparency"] = (transparent & white) * (0xFF // white)


def _size(found: tuple[int, int], expected: tuple[int, int]) -> str:
    listed = f"is {found[0]} x {found[1]} pixels (width x height)"
    return f"{listed}; expected {expected[0]} x {expected[1]}: scale it first"
