"""Pretrained models: folders in the layout of Hugging Face, read as data, and what they make of texts and images."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from modelservice.contract.data import ColumnEncoder, Data
from modelservice.contract.failure import StageError
from modelservice.contract.model import Model
from modelservice.families.pretrained.base import COLUMNS_SECTION, MODEL_SECTION, Kind, PretrainedEncoder
from modelservice.families.pretrained.folder import Folder
from modelservice.families.pretrained.images import IMAGES
from modelservice.families.pretrained.texts import TEXTS, TextModel
from modelservice.modalities.base import Dataset, Features, Side

KINDS: Final[tuple[Kind, ...]] = (TEXTS, IMAGES)
"""In the order in which they are asked whether a folder is theirs; the first one says what is wrong with all others."""


@lru_cache(maxsize=1)
def read_pretrained(uri: str, digest: str | None, *, section: str = MODEL_SECTION) -> PretrainedEncoder:
    """Read a model once in a process: all its files are of one moment.

    Args:
        uri: of its folder.
        digest: that its weights must have, None for any.
        section: of the spec, which names the folder, for errors.

    Raises:
        StageError: it cannot be read, is of another kind, or other than was said.
        DataUnavailableError: its store fails, as it may for a while.
        OSError: the file system fails.
    """
    folder = Folder.of(uri, section=section)
    return next((kind for kind in KINDS if kind.claims(folder)), KINDS[0]).read(folder, digest)


def pretrained_of(model: Model, data: Data) -> PretrainedEncoder | None:
    """What is read here to read rows with, None where nothing is; for errors see ``read_pretrained``."""
    if data.encoder is not None:
        return encoder_of_columns(data.encoder)
    encoder = model.encoder
    return None if encoder is None or encoder.uri is None else read_pretrained(encoder.uri, encoder.digest)


def tokenizer_of(model: Model, data: Data) -> str | None:
    """The tokenizer that an encoder brings, None where there is none or it stays there; see ``read_pretrained``."""
    found = pretrained_of(model, data)
    return found.tokenizer if isinstance(found, TextModel) else None


def encoder_of_columns(settings: ColumnEncoder) -> TextModel:
    """What ``spec.data.encoder`` names.

    Raises:
        StageError: it reads no texts; for others see ``read_pretrained``.
    """
    found = read_pretrained(settings.uri, settings.digest, section=COLUMNS_SECTION)
    return texts_alone(found, what=f"{COLUMNS_SECTION} reads columns of texts", field=f"{COLUMNS_SECTION}.uri")


def texts_alone(model: PretrainedEncoder, *, what: str, field: str) -> TextModel:
    """A model for something that only those of texts can do; ``what`` says so, as the begin of a sentence.

    Raises:
        StageError: it is of another kind; names ``field``.
    """
    if isinstance(model, TextModel):
        return model
    message = f"{what}, and {model.origin} reads {model.modality.lower()}s: leave it out, or name an encoder of texts"
    raise StageError("ModelUnsuited", message, field=field)


def seen_by(dataset: Dataset, seen: Callable[[Features], Features]) -> Dataset:
    """A dataset whose features are what an encoder makes of them; test rows, which no family looks at, are none."""

    def side(given: Side, rows: slice) -> Side:
        some = given.take(rows)
        return replace(some, features=seen(some.features))

    every, none = slice(None), slice(0)
    return replace(
        dataset,
        train=side(dataset.train, every),
        validation=side(dataset.validation, every),
        test=side(dataset.test, none),
    )
