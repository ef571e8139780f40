"""Measuring images on training rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.failure import DataError
from modelservice.modalities.image.preprocessing import ImagePreprocessing

_RANK_WITH_CHANNELS = 4
_CHUNK = 2**24
"""Values that are converted to float64 at once."""
_NOISE = 1e-6


def fit(name: str, images: NDArray[Any], train: NDArray[np.int64], *, scaled: bool = False) -> ImagePreprocessing:
    """Measure the channels of the images given, which are those of training and no others.

    Args:
        name: of the array.
        images: uint8 or float32 [rows, h, w] or [rows, h, w, c].
        train: indices of the training rows.
        scaled: whether they were brought to one size.

    Raises:
        DataError: no channel varies.
    """
    channel_axis = images.ndim == _RANK_WITH_CHANNELS
    height, width = images.shape[1:3]
    channels = images.shape[3] if channel_axis else 1
    mean, std = _moments(images, train, channels)
    varies = std > _NOISE * np.abs(mean)
    if not varies.any():
        message = f"every value of array {name} is the same in the training rows: add images that differ"
        raise DataError("NoFeatures", message, field="spec.data.features")
    return ImagePreprocessing(
        name=name,
        height=height,
        width=width,
        channels=channels,
        channel_axis=channel_axis,
        datatype="UINT8" if images.dtype == np.uint8 else "FP32",
        mean=tuple(mean.tolist()),
        std=tuple(np.where(varies, std, 1.0).tolist()),
        scaled=scaled,
    )


def _moments(
    images: NDArray[Any], train: NDArray[np.int64], channels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and population deviation of each channel, in two passes over chunks of rows."""
    step = max(1, _CHUNK // int(np.prod(images.shape[1:])))

    def chunks() -> Any:
        for start in range(0, len(train), step):
            yield images[train[start : start + step]].reshape(-1, channels).astype(np.float64)

    count = len(train) * images.shape[1] * images.shape[2]
    mean = np.sum([chunk.sum(axis=0) for chunk in chunks()], axis=0) / count
    variance = np.sum([np.square(chunk - mean).sum(axis=0) for chunk in chunks()], axis=0) / count
    return mean, np.sqrt(variance)
