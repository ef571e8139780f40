"""``spec.training.augmentation``: how rows are changed before a step learns from them."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from modelservice.contract.base import Contract, Rule

_AUGMENTATIONS = ("flip", "rotate", "crop", "colour", "word_dropout", "mixup", "noise")
_AUGMENTED = Rule(
    " || ".join(f"has(self.{to_camel(name)})" for name in _AUGMENTATIONS),
    "augmentation needs flip, rotate, crop, colour, wordDropout, mixup or noise: set one, or leave it out",
)


class Noise(Contract):
    """Gaussian noise on numbers, drawn anew for each row of each step."""

    standard_deviation: float = Field(
        default=0.1,
        gt=0,
        le=10,
        description="Of the noise, in standard deviations of each column of numbers (of each channel of images); other"
        " columns stay as they are. Default 0.1. A change trains again.",
    )


class Mixup(Contract):
    """Rows between two rows (Zhang et al., 2018)."""

    alpha: float = Field(
        default=0.2,
        gt=0,
        le=100,
        description="A row becomes t x itself + (1 - t) x another row of the batch, and its class or number likewise; t"
        " is drawn from Beta(alpha, alpha). Default 0.2. A change trains again.",
    )


class Mirror(StrEnum):
    """What changes sides in a mirrored image."""

    HORIZONTAL = "Horizontal"
    VERTICAL = "Vertical"
    BOTH = "Both"


class Rotate(Contract):
    """Images turned around their middle; what comes in from outside is the mean of its channel."""

    degrees: float = Field(
        default=10,
        gt=0,
        le=180,
        description="The angle is drawn from minus this to this. Default 10. A change trains again.",
    )


class Crop(Contract):
    """Images moved to a side, as if they were cut out of larger ones; what comes in is the mean of its channel."""

    pixels: int = Field(
        default=2,
        ge=1,
        le=512,
        description="At most so many, up or down and left or right. Default 2. A change trains again.",
    )


class Colour(Contract):
    """Images that are lighter or darker, with more or less contrast, drawn anew for each image of each step."""

    brightness: float = Field(
        default=0.2,
        ge=0,
        le=2,
        description="Each image is lighter or darker by up to so many standard deviations of its channels. Default 0.2."
        " A change trains again.",
    )
    contrast: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Its differences from its own mean grow or shrink by up to this share. Default 0.2. A change trains"
        " again.",
    )


class WordDropout(Contract):
    """Texts of which some tokens are left out, drawn anew for each text of each step."""

    share: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Probability with which a token is left out; the rest moves together, and one stays at least."
        " Default 0.1. A change trains again.",
    )


class Augmentation(Contract):
    """How rows are changed before a step learns from them.

    Images are mirrored, turned, moved and coloured; of texts words are left out; then come mixup and noise.
    """

    RULES = (_AUGMENTED,)

    flip: Mirror | None = Field(
        default=None,
        description="Horizontal (left and right), Vertical or Both: every other image is mirrored, drawn anew for each"
        " step. For images. Default: none. A change trains again.",
    )
    rotate: Rotate | None = Field(default=None, description="For images. Default: none. A change trains again.")
    crop: Crop | None = Field(default=None, description="For images. Default: none. A change trains again.")
    colour: Colour | None = Field(default=None, description="For images. Default: none. A change trains again.")
    word_dropout: WordDropout | None = Field(
        default=None, description="For texts. Default: none. A change trains again."
    )
    noise: Noise | None = Field(default=None, description="Default: none. A change trains again.")
    mixup: Mixup | None = Field(default=None, description="Default: none. A change trains again.")

    @model_validator(mode="after")
    def _changes_rows(self) -> Self:
        if all(getattr(self, name) is None for name in _AUGMENTATIONS):
            raise ValueError(_AUGMENTED.message)
        return self
