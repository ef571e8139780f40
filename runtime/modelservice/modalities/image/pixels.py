"""What encoders need images to be: whole numbers of 0 to 255, in as many channels as they see, or grey."""

from typing import Final

from modelservice.contract.failure import StageError
from modelservice.modalities.image.preprocessing import ImagePreprocessing

SIZE_FIELD: Final = "spec.data.image"


def check_pixels(images: ImagePreprocessing, *, channels: int, encoder: str) -> None:
    """Refuse images that an encoder cannot see.

    Args:
        images: what is known of them.
        channels: that it sees; grey images are seen in so many equal ones.
        encoder: which one, for people.

    Raises:
        StageError: names the field.
    """
    if images.datatype != "UINT8":
        message = (
            f"the encoder {encoder} reads pixels from 0 to 255, and the array {images.name} holds fractions, whose"
            " scale nothing says: store it as uint8"
        )
        raise StageError("ModelUnsuited", message, field="spec.data")
    if images.channels not in {1, channels}:
        message = (
            f"the encoder {encoder} sees {channels} channels, and images have {images.channels}: set"
            f" {SIZE_FIELD}.channels to {channels}, or store the array so"
        )
        raise StageError("ModelUnsuited", message, field=f"{SIZE_FIELD}.channels")
