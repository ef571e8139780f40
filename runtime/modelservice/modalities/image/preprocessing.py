"""``preprocessing.json`` of images: their size, and mean and deviation of each channel, as data.

A value becomes z = (x - mean) / std of its channel; both were measured on training rows only.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from modelservice.contract.documents import ExactDocument
from modelservice.contract.signature import InputTensor

MAX_SIDE = 4096
MAX_CHANNELS = 256

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Deviation = Annotated[FiniteFloat, Field(gt=0)]


class ImagePreprocessing(ExactDocument):
    """What the images of a model are.

    Attributes:
        name: of the array in the file, and of the input.
        height: in pixels.
        width: in pixels.
        channels: values of a pixel.
        channel_axis: whether images have an axis of channels, [h, w, c]; without it they are [h, w].
        datatype: UINT8 (0 to 255, which a PNG or JPEG can hold) or FP32, as they were in training.
        mean: of each channel.
        std: standard deviation (population, never 0) of each channel.
        scaled: whether pictures of other sizes were brought to this one in training, and are in requests.
    """

    kind: Literal["ImagePreprocessing"] = "ImagePreprocessing"
    name: str
    height: Side
    width: Side
    channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)]
    channel_axis: bool
    datatype: Literal["UINT8", "FP32"]
    mean: tuple[FiniteFloat, ...]
    std: tuple[Deviation, ...]
    scaled: bool = Field(default=False, exclude_if=lambda scaled: not scaled)

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"{self.channels} channels need as many means and deviations")
        if not self.channel_axis and self.channels != 1:
            raise ValueError("images without an axis of channels have one channel")
        return self

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Of one image as clients send it."""
        return (self.height, self.width, *((self.channels,) if self.channel_axis else ()))

    @property
    def input(self) -> InputTensor:
        """The images as the signature has them."""
        return InputTensor(name=self.name, datatype=self.datatype, shape=self.row_shape)
