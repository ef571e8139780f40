"""The serving side of images."""

import math
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.signature import Input
from modelservice.modalities.base import STRICT, Features, Measure, Opener, Rows, Tolerance
from modelservice.modalities.compressed import DecodingEncoder
from modelservice.modalities.errors import InputError
from modelservice.modalities.image.parts import ImageParts
from modelservice.modalities.image.pictures import write_picture
from modelservice.modalities.image.preprocessing import ImagePreprocessing
from modelservice.modalities.image.requests import BASE64, RequestReader, count_pictures
from modelservice.modalities.parts import WHOLE_PARTS, PartOptions
from modelservice.modalities.tensors import Tensor

NAME: Final = "Image"
MOST_NUMBERS: Final = 2**12
"""Of an example that is no picture."""


class ImageRequests(DecodingEncoder):
    """Reads requests for images; immutable and safe to share between threads."""

    compressed_noun = "pictures"

    def __init__(self, preprocessing: ImagePreprocessing) -> None:
        self.inputs: tuple[Input, ...] = (preprocessing.input,)
        self._preprocessing = preprocessing
        self._requests = RequestReader(preprocessing)

    def images(self, rows: Rows) -> NDArray[Any]:
        """Images as ``from_*`` give them, those of several requests too: [rows, h, w, c], uint8 or float32."""
        return rows if isinstance(rows, np.ndarray) else self._requests.from_frame(rows)

    @property
    def row_bytes(self) -> int:
        """See ``DecodingEncoder``."""
        return math.prod(self._preprocessing.row_shape)

    def compressed(self, rows: Rows) -> int:
        """See ``DecodingEncoder``."""
        return 0 if isinstance(rows, np.ndarray) else count_pictures(rows)

    def decoded(self, rows: Rows) -> Rows:
        """See ``DecodingEncoder``."""
        return self.images(rows)

    def example(self) -> Any:
        """A plain image of the channels' means; never a real one. A large one is a picture, if a picture can hold it.

        Documents hold several, and as numbers each takes many times the memory of its pixels.
        """
        means = np.array(self._preprocessing.mean)
        values = np.rint(means).astype(np.int64) if self._preprocessing.datatype == "UINT8" else means
        pixels = values if self._preprocessing.channel_axis else values[0]
        plain = np.broadcast_to(pixels, self._preprocessing.row_shape)
        if plain.size > MOST_NUMBERS and self._requests.takes_pictures:
            return {BASE64: b64encode(write_picture(plain.astype(np.uint8))).decode()}
        return plain.tolist()

    def from_instances(self, instances: list[Any], tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """Images as nested arrays, or as ``{"b64": ...}`` of a PNG or JPEG; they have no columns to tolerate."""
        return self._requests.from_instances(instances)

    def from_inputs(self, inputs: Any, tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """Images as one tensor, or as an object that holds it under its name."""
        return self._requests.from_inputs(inputs)

    def from_tensors(self, tensors: Sequence[Tensor], tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """One tensor of numbers [rows, h, w] or [rows, h, w, c], or of PNG and JPEG (BYTES [rows])."""
        return self._requests.from_tensors(tensors)

    @property
    def measures(self) -> dict[str, Measure]:
        """None: there are no columns."""
        return {}

    def cells(self, rows: Rows) -> list[list[Any]]:  # noqa: ARG002 - the seam's signature
        """Refused: an image has no columns."""
        raise InputError("an image has no columns")

    def parts(self, rows: Rows, options: PartOptions = WHOLE_PARTS) -> list[ImageParts]:
        """Images in square patches."""
        images = self.images(rows)
        plain = np.array(self._preprocessing.mean)
        hidden = np.rint(plain) if images.dtype == np.uint8 else plain
        return [ImageParts(image, hidden.astype(images.dtype), options) for image in images]

    def tensors(self) -> list[dict[str, Any]]:
        """The tensor of numbers."""
        image = self._preprocessing.input
        return [{"name": image.name, "datatype": image.datatype, "shape": [-1, *image.shape]}]

    def from_frame(self, frame: Any) -> Rows:
        """An array [rows, h, w] or [rows, h, w, c], a list of images, or an object that holds either."""
        return self._requests.from_frame(frame)


class ImageEncoder(ImageRequests):
    """Standardises images; immutable and safe to share between threads."""

    def __init__(self, preprocessing: ImagePreprocessing) -> None:
        super().__init__(preprocessing)
        self.shape = (preprocessing.channels, preprocessing.height, preprocessing.width)
        self._mean = np.array(preprocessing.mean, dtype=np.float32)
        self._scale = np.array([1.0 / std for std in preprocessing.std], dtype=np.float32)

    def encode(self, rows: Rows) -> Features:
        """Images as ``from_*`` give them, [rows, h, w, c], to float32 [rows, c, h, w].

        Raises:
            InputError: names the first image that is none when standardised.
        """
        images = self.images(rows)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.subtract(images, self._mean, dtype=np.float32)
            scaled *= self._scale
        if images.dtype != np.uint8 and not np.isfinite(scaled).all():
            row = int((~np.isfinite(scaled)).reshape(len(scaled), -1).any(axis=1).argmax())
            raise InputError("holds a value that is too far from the training data", row=row)
        if self.shape[0] == 1:
            return np.asarray(scaled.reshape(len(scaled), *self.shape))
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        """The same; nothing counts as unseen, since every image is new."""
        return self.encode(rows), {}


IMAGE: Final = Opener(name=NAME, document=ImagePreprocessing, build=ImageEncoder)
