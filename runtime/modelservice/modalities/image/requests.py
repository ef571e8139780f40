"""Images as protocols and callers give them, with a sentence for each way they can be wrong."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.base import Rows
from modelservice.modalities.errors import InputError
from modelservice.modalities.image.pictures import CHANNELS, MAX_PIXELS, PictureError, decode_base64, decode_picture
from modelservice.modalities.image.preprocessing import ImagePreprocessing
from modelservice.modalities.tensors import BOOL, BYTES, Tensor, describe

Images = NDArray[Any]
"""uint8 or float32 [rows, h, w, c], as the model was trained."""

BASE64 = "b64"
"""TensorFlow Serving's key of binary values in JSON."""
MAX_DECODED = 2**28
"""Pixels of all pictures of one request, before they are scaled: a few bytes of PNG hold many equal ones."""
_LARGEST = 255
_SMALLEST, _LARGEST_WHOLE = -(2**63), 2**64 - 1


class RequestReader:
    """Reads images for a model; immutable. Messages give the expected shape as clients see it."""

    def __init__(self, preprocessing: ImagePreprocessing) -> None:
        self._name = preprocessing.name
        self._shape = preprocessing.row_shape
        self._full = (preprocessing.height, preprocessing.width, preprocessing.channels)
        self._bytes = preprocessing.datatype == "UINT8"
        self._scaled = preprocessing.scaled

    @property
    def takes_pictures(self) -> bool:
        """Whether an image may come as a PNG or JPEG."""
        return self._bytes and self._full[-1] in CHANNELS

    def from_instances(self, instances: list[Any]) -> Rows:
        """Images as nested arrays, as a PNG or JPEG or ``{"b64": ...}`` of one, or any in an object under its name.

        Where there are pictures they stay what they are, ``bytes`` of a list.
        """
        values = [self._unwrapped(instance) for instance in instances]
        if not any(isinstance(value, dict | bytes) for value in values):
            return self._nested(values)
        return [self._one(row, value) for row, value in enumerate(values)]

    def from_inputs(self, inputs: Any) -> Rows:
        """Images as one tensor, or as an object that holds it under its name."""
        named = isinstance(inputs, dict)
        if named and set(inputs) != {self._name}:
            raise InputError(f"must be one array of images, or an object of {self._name}, not {describe(inputs)}")
        images = inputs[self._name] if named else inputs
        if not isinstance(images, list):
            column = self._name if named else None
            raise InputError(f"must be an array of images, not {describe(images)}", column=column)
        return self.from_instances(images)

    def from_tensors(self, tensors: Sequence[Tensor]) -> Rows:
        """One tensor of numbers [rows, h, w] or [rows, h, w, c], or of PNG and JPEG (BYTES [rows])."""
        if len(tensors) > 1:
            raise InputError(f"is one too many; expected one tensor, {self._name}", tensor=1)
        tensor = tensors[0]
        if tensor.datatype == BYTES:
            return self._pictures(tensor)
        if tensor.datatype == BOOL:
            message = "BOOL; images are numbers such as UINT8 or FP32, or BYTES of a PNG or JPEG"
            raise InputError(message, tensor=0, part="datatype")
        if not self._is_shape(tensor.shape[1:]):
            raise InputError(f"{list(tensor.shape)}; expected {self._expected('rows')}", tensor=0, part="shape")
        return self._checked(self._numbers(tensor.values).reshape(tensor.shape[0], *self._full))

    def from_frame(self, frame: Any) -> Images:
        """An array [rows, h, w] or [rows, h, w, c], a list of images (arrays, pictures), or either under its name."""
        if isinstance(frame, Mapping):
            if self._name not in frame:
                raise InputError("is missing", column=self._name)
            frame = frame[self._name]
        if isinstance(frame, np.ndarray):
            if np.ma.is_masked(frame):
                raise InputError("hides pixels behind a mask, and an image has all of its pixels: fill them")
            return self._array(frame)
        if not isinstance(frame, list | tuple):
            raise InputError(f"a {type(frame).__name__} is neither an array nor a list of images")
        pictures = count_pictures(frame)
        images = [
            self._decoded(row, self._picture(row, image), of=pictures) if isinstance(image, bytes) else image
            for row, image in enumerate(frame)
        ]
        return self._nested([image if isinstance(image, list) else np.asarray(image) for image in images])

    def _unwrapped(self, instance: Any) -> Any:
        named = type(instance) is dict and instance.keys() == {self._name}
        return instance[self._name] if named else instance

    def _nested(self, values: list[Any]) -> Images:
        """All at once; what does not fit is looked at one by one."""
        if not values:
            return np.zeros((0, *self._full), dtype=np.uint8 if self._bytes else np.float32)
        if self._bytes and (images := self._whole(values)) is not None:
            return images
        try:
            array = np.asarray(values)
        except ValueError:
            array = np.empty(0, dtype=object)
        if array.dtype.kind in "iuf" and self._is_shape(array.shape[1:]):
            return self._checked(array.reshape(len(values), *self._full))
        return np.stack([self._one(row, value) for row, value in enumerate(values)])

    def _whole(self, values: list[Any]) -> Images | None:
        """Nested arrays of whole numbers from 0 to 255, by ``bytes``: a third of numpy's time.

        None where they are anything else, or nothing above 1: to ``bytes`` truth values are numbers.
        """
        arrays = [values]
        for size in self._shape:
            arrays = list(chain.from_iterable(arrays))
            if set(map(type, arrays)) != {list} or set(map(len, arrays)) != {size}:
                return None
        try:
            images = np.frombuffer(b"".join(map(bytes, arrays)), dtype=np.uint8)
        except (TypeError, ValueError):  # a part of a number, a text, a number beyond 255
            return None
        return images.reshape(len(values), *self._full) if images.max() > 1 else None

    def _one(self, row: int, value: Any) -> Images | bytes:
        """One image, float32 or uint8 [h, w, c], or a picture."""
        if isinstance(value, bytes):
            return self._picture(row, value)
        if isinstance(value, dict):
            if value.keys() != {BASE64}:
                raise InputError(f"is an object, of which only {{{BASE64!r}: ...}} is an image", row=row)
            return self._picture(row, value[BASE64])
        if not isinstance(value, list | np.ndarray):
            expected = f"nested arrays of shape {list(self._shape)}, or {{{BASE64!r}: ...}} of a PNG or JPEG"
            raise InputError(f"{describe(value)} is not an image; expected {expected}", row=row)
        try:
            array = np.asarray(value)
        except ValueError:
            raise InputError(f"its arrays differ in length; expected shape {list(self._shape)}", row=row) from None
        if array.dtype.kind not in "iuf":
            raise InputError("holds a value that is not a number", row=row)
        if not self._is_shape(array.shape):
            raise InputError(f"has shape {list(array.shape)}; expected {list(self._shape)}", row=row)
        return np.asarray(self._checked(array.reshape(1, *self._full), first=row)[0])

    def _array(self, images: NDArray[Any]) -> Images:
        if images.dtype.kind not in "iuf":
            raise InputError(f"an array of {images.dtype} holds no images; expected numbers")
        if images.ndim == 0 or not self._is_shape(images.shape[1:]):
            raise InputError(f"the array has shape {list(images.shape)}; expected {self._expected('rows')}")
        return self._checked(images.reshape(len(images), *self._full))

    def _pictures(self, tensor: Tensor) -> Rows:
        if len(tensor.shape) != 1 and tensor.shape[1:] != (1,):
            raise InputError(f"{list(tensor.shape)}; expected [rows] or [rows, 1]", tensor=0, part="shape")
        return [self._picture(row, value, tensor=0) for row, value in enumerate(tensor.values)]

    def _picture(self, row: int, value: Any, *, tensor: int | None = None) -> bytes:
        """The content of a picture, which came as it is or in base64."""
        if not self._bytes:
            message = (
                "is a picture, and this model was trained on FP32 values, whose scale no picture has: send numbers"
            )
            raise InputError(message, row=row, tensor=tensor)
        try:
            return value if isinstance(value, bytes) else decode_base64(value)
        except PictureError as error:
            raise InputError(str(error), row=row, tensor=tensor) from None

    def _numbers(self, values: Any) -> NDArray[Any]:
        """Flat values of a tensor; what is missing, or no number of 64 bits, is named."""
        array = np.asarray(values)
        if array.dtype.kind != "O":
            return array
        for index, value in enumerate(values):
            if value is None or not _SMALLEST <= value <= _LARGEST_WHOLE:
                row = index // math.prod(self._full)
                raise InputError(f"{describe(value)} is not a value of an image", row=row, tensor=0)
        return np.asarray(values, dtype=np.float64)

    def _decoded(self, row: int, content: bytes, *, of: int) -> Images:
        """A picture, of so many in the request: together they have no more pixels than fit into memory."""
        height, width, channels = self._full
        most = min(MAX_PIXELS, MAX_DECODED // of) if self._scaled else None
        try:
            return decode_picture(content, height=height, width=width, channels=channels, scalable=most)
        except PictureError as error:
            raise InputError(str(error), row=row) from None

    def _checked(self, images: NDArray[Any], *, first: int = 0) -> Images:
        """Images in the type of the model; ``first`` is the number of the first, for messages."""
        if self._bytes:
            return self._as_bytes(images, first)
        with np.errstate(over="ignore"):
            converted = images.astype(np.float32, copy=False)
        if not np.isfinite(converted).all():
            row = first + _first_row(~np.isfinite(converted))
            raise InputError("holds a value that is not a finite number", row=row)
        return converted

    def _as_bytes(self, images: NDArray[Any], first: int) -> Images:
        if images.dtype == np.uint8:
            return images
        # A NaN fails the comparison too.
        beyond = ~((images >= 0) & (images <= _LARGEST))
        if beyond.any():
            row = first + _first_row(beyond)
            raise InputError(f"holds values beyond 0 to {_LARGEST}, in which this model was trained", row=row)
        if images.dtype.kind == "f":
            broken = images != np.floor(images)
            if broken.any():
                message = (
                    f"holds parts of numbers, but this model was trained on whole ones, 0 to {_LARGEST}: do not scale"
                )
                raise InputError(message, row=first + _first_row(broken))
        return images.astype(np.uint8)

    def _is_shape(self, shape: tuple[int, ...]) -> bool:
        return shape in (self._shape, self._full)

    def _expected(self, rows: str) -> str:
        return f"[{', '.join([rows, *map(str, self._shape)])}]"


def count_pictures(rows: Sequence[Any]) -> int:
    """How many of the rows are pictures, not decoded yet."""
    return sum(isinstance(row, bytes) for row in rows)


def _first_row(wrong: NDArray[np.bool_]) -> int:
    return int(wrong.reshape(len(wrong), -1).any(axis=1).argmax())
