"""How a network learns on after a step, or from initial weights; nothing of torch."""

from dataclasses import dataclass
from typing import Final

from modelservice.contract.augmentation import Augmentation, Crop, Rotate
from modelservice.modalities.base import Dataset


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """How a network learns on.

    Attributes:
        epochs: passes over the training rows; the one of the lowest loss on validation rows is kept.
        temperature: what logits are divided by before they are compared; without meaning for numbers.
        weight: share of the teacher in the loss; the labels have the rest.
        augmentation: what is done to the rows of each step before; the teacher is asked of what becomes of them.
    """

    epochs: int
    temperature: float = 2.0
    weight: float = 0.7
    augmentation: Augmentation | None = None


def lesson_of_auto(dataset: Dataset, epochs: int) -> Lesson:
    """How networks of ``auto`` and its controls learn.

    Images are turned and moved a little, otherwise in each epoch: a small network that sees the same images again
    learns them by heart after some epochs, as the large one did. What that says of images that it was never shown is
    worth less than what it says of those that it knows, so the labels count for more.
    """
    if dataset.modality != "Image":
        return Lesson(epochs=epochs)
    side = min(dataset.shape[1:])
    # Of a side of one pixel nothing is left where it is moved.
    crop = Crop(pixels=max(1, side // _PIXELS_OF_A_SIDE)) if side > 1 else None
    augmentation = Augmentation(rotate=Rotate(degrees=_DEGREES), crop=crop)
    return Lesson(epochs=epochs, weight=_WEIGHT_OF_IMAGES, augmentation=augmentation)


_DEGREES: Final = 10
_PIXELS_OF_A_SIDE: Final = 14
"""One of so many pixels of a side is how far an image is moved at most."""
_WEIGHT_OF_IMAGES: Final = 0.3
