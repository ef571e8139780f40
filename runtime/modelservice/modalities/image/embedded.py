"""Images as the numbers that a shared encoder makes of them: pictures are decoded here, and pixels are sent."""

from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from modelservice.contract.failure import StageError
from modelservice.modalities.base import Opener, Rows
from modelservice.modalities.image.encoder import ImageRequests
from modelservice.modalities.image.pixels import SIZE_FIELD, check_pixels
from modelservice.modalities.image.preprocessing import MAX_CHANNELS, ImagePreprocessing
from modelservice.modalities.shared import AskingEncoder, Embed, SentRows, SharedPreprocessing, SharedRows
from modelservice.modalities.tensors import UINT8

NAME: Final = "EmbeddedImage"
INPUT: Final = "image"
"""Of an encoder that is served as it is."""


class EmbeddedImagePreprocessing(SharedPreprocessing):
    """Which encoder makes numbers of an image.

    Attributes:
        images: what they are; whole pixels, of the size that the encoder takes.
        channels: that the encoder takes; grey images are sent in so many equal ones.
    """

    kind: Literal["EmbeddedImagePreprocessing"] = "EmbeddedImagePreprocessing"
    images: ImagePreprocessing
    channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)]


class EmbeddedImageEncoder(AskingEncoder, ImageRequests):
    """Asks for the numbers of images."""

    def __init__(self, preprocessing: EmbeddedImagePreprocessing, embed: Embed | None = None) -> None:
        AskingEncoder.__init__(self, preprocessing, embed)
        ImageRequests.__init__(self, preprocessing.images)
        self._embedded = preprocessing

    def asking(self, embed: Embed) -> "EmbeddedImageEncoder":
        """See ``AskingEncoder``."""
        return EmbeddedImageEncoder(self._embedded, embed)

    @property
    def row_bytes(self) -> int:
        """See ``DecodingEncoder``: grey images are sent in equal channels."""
        images = self._embedded.images
        return images.height * images.width * self._embedded.channels

    def sent(self, rows: Rows) -> SentRows:
        """See ``AskingEncoder``."""
        images = self.images(rows)
        if (repeats := self._embedded.channels // images.shape[-1]) > 1:
            images = np.repeat(images, repeats, axis=-1)
        pixels = np.ascontiguousarray(images, np.uint8)
        return SentRows(
            name=INPUT, datatype=UINT8, shape=pixels.shape[1:], rows=[image.reshape(-1).data for image in pixels]
        )


EMBEDDED: Final = Opener(name=NAME, document=EmbeddedImagePreprocessing, build=EmbeddedImageEncoder)


def channels_seen(asked: SharedRows, images: ImagePreprocessing) -> int:
    """How many channels a shared encoder takes, if it can be asked for such images.

    Raises:
        StageError: it takes others; names the field.
    """
    height, width, channels = asked.reads.shape
    name = asked.encoder.name
    check_pixels(images, channels=channels, encoder=name)
    if (images.height, images.width) != (height, width):
        message = (
            f"the encoder {name} takes images of {height} x {width} pixels (height x width), and those of the data have"
            f" {images.height} x {images.width}: set {SIZE_FIELD} to {{height: {height}, width: {width}}}, or store the"
            " array so"
        )
        raise StageError("EncoderUnsuited", message, field=SIZE_FIELD)
    return channels
