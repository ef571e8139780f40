"""What ``preprocessor_config.json`` does to an image before its network sees it: resize, crop, rescale, normalise.

Resizing is what Pillow does, which made the images that such networks learned from: each row and column is a weighted
sum of those around it, wider where an image becomes smaller. As its weights depend on sizes alone, it is two products
of matrices, and so part of any graph.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from modelservice.modalities.image.preprocessing import MAX_SIDE

LARGEST: Final = 255.0
"""Of the values of a pixel."""
_COLOURS: Final = 3
_WHOLE_FROM: Final = 384
"""Of ConvNeXt: an image of that size or more is not cropped, but stretched."""
_KNOWN_STEPS: Final = frozenset({"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"})
_REFUSED: Final = ("rescale_offset", "include_top", "keep_aspect_ratio", "size_divisor")
"""Steps of EfficientNet, DPT and GLPN that are called otherwise."""
_CLASS: Final = ("image_processor_type", "feature_extractor_type")
"""Where the class of the image processor is said, by newer and older releases."""

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
ChannelValues = Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=_COLOURS)]


class Sides(BaseModel):
    """Height and width, or the shorter one of them."""

    model_config = ConfigDict(extra="forbid")

    height: Side | None = None
    width: Side | None = None
    shortest_edge: Side | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = (self.height is not None, self.width is not None, self.shortest_edge is not None)
        if given not in {(True, True, False), (False, False, True)}:
            raise ValueError('say {"height": ..., "width": ...} or {"shortest_edge": ...}')
        return self

    def of(self, height: int, width: int) -> tuple[int, int]:
        """What an image of that size becomes."""
        if self.height is not None and self.width is not None:
            return self.height, self.width
        shortest = self.shortest_edge
        assert shortest is not None  # noqa: S101 - as validated
        if height <= width:
            return shortest, int(shortest * width / height)
        return int(shortest * height / width), shortest


class ImageSteps(BaseModel):
    """What is used of ``preprocessor_config.json``.

    A ``size`` of one number is refused: it is the shorter side for some classes and both sides for others.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    do_resize: bool | None = None
    size: Sides | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    resample: Annotated[int, Field(ge=0, le=5)] | None = None
    do_center_crop: bool = False
    crop_size: Sides | None = None
    do_rescale: bool = True
    rescale_factor: Annotated[FiniteFloat, Field(gt=0)] = 1 / 255
    do_normalize: bool | None = None
    image_mean: ChannelValues | None = None
    image_std: Annotated[tuple[Annotated[FiniteFloat, Field(gt=0)], ...], Field(max_length=_COLOURS)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _square_crop(cls, given: Any) -> Any:
        """A crop of one number is a square for all classes."""
        if isinstance(given, dict) and isinstance(given.get("crop_size"), int):
            return {**given, "crop_size": {"height": given["crop_size"], "width": given["crop_size"]}}
        return given

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        further = self.model_extra or {}
        for name, value in further.items():
            if value and ((name.startswith("do_") and name not in _KNOWN_STEPS) or name in _REFUSED):
                raise ValueError(f"{name}: it is no step that can be done here")
        if self.size is not None and self.size.shortest_edge and "Levit" in str([further.get(name) for name in _CLASS]):
            raise ValueError("size: Levit makes the shorter side 256/224 of shortest_edge: say that, and another class")
        if "auto_map" in further:
            raise ValueError("auto_map: it needs code of its own, and none is run")
        if self.resizes and (self.size is None or self.resample is None):
            raise ValueError("do_resize needs size, and resample (0 to 5, as Pillow numbers its filters)")
        if self.do_center_crop and (self.crop_size is None or self.crop_size.height is None):
            raise ValueError('do_center_crop needs crop_size, {"height": ..., "width": ...}')
        if self.normalizes and (
            self.image_mean is None or self.image_std is None or len(self.image_mean) != len(self.image_std)
        ):
            raise ValueError("do_normalize needs image_mean and image_std, a number for each channel")
        return self

    @property
    def resizes(self) -> bool:
        """Whether images are brought to ``size``."""
        return self.size is not None if self.do_resize is None else self.do_resize

    @property
    def normalizes(self) -> bool:
        """Whether mean and deviation are taken off."""
        return self.image_mean is not None if self.do_normalize is None else self.do_normalize

    def covered(self, network: tuple[int | None, int | None]) -> tuple[int, int] | None:
        """Height and width that a picture should have: what is resized to, or seen, or what a network takes, if known.

        One of these is brought to what the network sees without a side becoming wider than the other.
        """
        if self.resizes and self.size is not None:
            resized, _ = self._resized(self.size.shortest_edge or MAX_SIDE, self.size.shortest_edge or MAX_SIDE)
            return resized
        if self.do_center_crop and self.crop_size is not None:
            return self.crop_size.of(1, 1)
        height, width = network
        return None if height is None or width is None else (height, width)

    def frame(self, height: int, width: int) -> "Frame":
        """What becomes of an image of that size.

        Raises:
            ValueError: it would be larger than any image here, or a crop larger than what is cropped.
        """
        resized, crop = self._resized(height, width)
        if max(resized) > MAX_SIDE:
            raise ValueError(f"they would be made {resized[0]} x {resized[1]}, at most {MAX_SIDE} are possible")
        if crop[0] > resized[0] or crop[1] > resized[1]:
            said = f"crop_size is {crop[0]} x {crop[1]}, and images are {resized[0]} x {resized[1]} before it"
            raise ValueError(f"{said}: a crop is no larger than that")
        return Frame(given=(height, width), resized=resized, seen=crop, filter=FILTERS[self.resample or 0])

    def colours(self, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Factor and offset of each channel, float32 [channels], of values from 0 to 255.

        Raises:
            ValueError: mean and deviation are those of another number of channels, or no float32 holds what they make.
        """
        scale = self.rescale_factor if self.do_rescale else 1.0
        mean, std = (self.image_mean, self.image_std) if self.normalizes else (None, None)
        means, deviations = np.array(mean or (0.0,)), np.array(std or (1.0,))
        if len(means) not in {1, channels}:
            raise ValueError(f"image_mean has {len(means)} numbers, and images of {channels} channels are seen")
        with np.errstate(over="ignore"):
            made = np.stack([np.broadcast_to(one / deviations, channels) for one in (scale, -means)]).astype(np.float32)
        if not np.isfinite(made).all():
            raise ValueError("rescale_factor, image_mean and image_std make numbers beyond those of float32")
        factor, offset = made
        return factor, offset

    def _resized(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The size after resizing, and after cropping."""
        resized = (height, width)
        if self.resizes and self.size is not None:
            shortest = self.size.shortest_edge
            if self.crop_pct is not None and shortest is not None:
                if shortest >= _WHOLE_FROM:
                    return (shortest, shortest), (shortest, shortest)
                larger = Sides(shortest_edge=int(min(MAX_SIDE, shortest / self.crop_pct)))
                return larger.of(height, width), (shortest, shortest)
            resized = self.size.of(height, width)
        if self.do_center_crop and self.crop_size is not None:
            return resized, self.crop_size.of(1, 1)
        return resized, resized


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Sizes, height before width: of an image as it is given, resized, and seen, which is the middle of that."""

    given: tuple[int, int]
    resized: tuple[int, int]
    seen: tuple[int, int]
    filter: "Filter"

    def matrix(self, axis: int) -> NDArray[np.float32] | None:
        """Weights of the rows (axis 0) or columns (1) that are seen, [seen, given]; None where none is resized."""
        given, resized, seen = (sides[axis] for sides in (self.given, self.resized, self.seen))
        if given == resized:
            return None
        return weights(given, resized, self.filter)[self.start(axis) : self.start(axis) + seen]

    def start(self, axis: int) -> int:
        """The first of the resized rows or columns that is seen."""
        return (self.resized[axis] - self.seen[axis]) // 2


@dataclass(frozen=True, kw_only=True)
class Filter:
    """How what lies around a place counts: ``weight`` by the distance, up to ``support`` on each side.

    Sums of one that ``overshoots`` may leave the values that are summed.
    """

    support: float
    weight: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    overshoots: bool = False


def _box(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)  # noqa: PLR2004 - half a pixel


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(1 - np.abs(x), 0.0))


def _hamming(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))  # noqa: PLR2004 - its support


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)  # noqa: PLR2004 - its support


_NEAREST: Final = Filter(support=0, weight=_box)
FILTERS: Final = (
    _NEAREST,
    Filter(support=3, weight=_lanczos, overshoots=True),
    Filter(support=1, weight=_triangle),
    Filter(support=2, weight=_cubic, overshoots=True),
    Filter(support=0.5, weight=_box),
    Filter(support=1, weight=_hamming),
)
"""By the numbers of Pillow, which are those of ``resample``."""


def weights(given: int, resized: int, by: Filter) -> NDArray[np.float32]:
    """How each of ``resized`` places is made of ``given`` ones, float32 [resized, given], as Pillow does it."""
    found = np.zeros((resized, given))
    scale = given / resized
    wider = max(scale, 1.0)
    nearest = scale / 2
    for place in range(resized):
        if not by.support:
            found[place, min(int(nearest), given - 1)] = 1
            nearest += scale  # as Pillow adds it up: which of two neighbours is nearer depends on its last bits
            continue
        center = (place + 0.5) * scale
        first = max(int(center - by.support * wider + 0.5), 0)
        last = min(int(center + by.support * wider + 0.5), given)
        near = by.weight((np.arange(first, last, dtype=np.float64) - center + 0.5) / wider)
        found[place, first:last] = near / math.fsum(near)
    return found.astype(np.float32)


def sized(sides: tuple[int | None, ...]) -> str:
    """A size in words."""
    return " x ".join("any" if side is None else str(side) for side in sides)
