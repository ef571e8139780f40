"""The modalities for serving, and how an artifact's preprocessing becomes an encoder: numpy only."""

from typing import Final

from modelservice.contract.documents import Document, DocumentError, read_document
from modelservice.contract.manifest import PREPROCESSING_FILE
from modelservice.modalities.base import Encoder, Opener
from modelservice.modalities.image.embedded import EMBEDDED as EMBEDDED_IMAGE
from modelservice.modalities.image.encoder import IMAGE
from modelservice.modalities.table.encoder import TABLE
from modelservice.modalities.tensor.encoder import TENSOR
from modelservice.modalities.text.embedded import EMBEDDED as EMBEDDED_TEXT
from modelservice.modalities.text.encoder import TEXT

OPENERS: Final[tuple[Opener, ...]] = (TABLE, IMAGE, TEXT, EMBEDDED_TEXT, EMBEDDED_IMAGE, TENSOR)


def open_encoder(modality: str, preprocessing: bytes) -> Encoder:
    """The encoder that an artifact describes.

    Args:
        modality: as signature and manifest name it.
        preprocessing: content of ``preprocessing.json``.

    Raises:
        DocumentError: this release does not know the modality, or the document is none of its kind or not valid.
    """
    return build_encoder(modality, read_preprocessing(modality, preprocessing))


def read_preprocessing(modality: str, preprocessing: bytes) -> Document:
    """What an artifact says of how rows are encoded; for arguments and errors see ``open_encoder``."""
    return read_document(PREPROCESSING_FILE, preprocessing, _opener(modality).document)


def build_encoder(modality: str, preprocessing: Document) -> Encoder:
    """The encoder of a preprocessing that was measured, or read, already.

    Raises:
        DocumentError: this release does not know the modality.
    """
    return _opener(modality).build(preprocessing)


def _opener(modality: str) -> Opener:
    for opener in OPENERS:
        if opener.name == modality:
            return opener
    known = ", ".join(opener.name for opener in OPENERS)
    raise DocumentError(f"modality {modality[:64]!r} is not known here, but {known}: use a newer release")
