"""Images as a source: an array of images beside an array of targets."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import Missing, number_text, quoted
from modelservice.contract.data import ColumnSettings
from modelservice.contract.documents import Document
from modelservice.contract.failure import DataError
from modelservice.contract.signature import Input
from modelservice.modalities.base import Features, Profile
from modelservice.modalities.errors import InputError
from modelservice.modalities.image.embedded import NAME as EMBEDDED_IMAGE
from modelservice.modalities.image.embedded import EmbeddedImageEncoder, EmbeddedImagePreprocessing, channels_seen
from modelservice.modalities.image.encoder import NAME, ImageEncoder
from modelservice.modalities.image.fitting import fit
from modelservice.modalities.image.npz_file import Arrays
from modelservice.modalities.image.preprocessing import MAX_CHANNELS, MAX_SIDE
from modelservice.modalities.missing import missing_notes
from modelservice.modalities.scaling import NumberRules
from modelservice.modalities.shared import SharedRows, check_reads
from modelservice.modalities.split import content_digests
from modelservice.modalities.tensors import UINT8
from modelservice.tasks.base import Target, TargetCells

TARGET_FIELD = "spec.data.target"
FEATURES_FIELD = "spec.data.features"
COLUMNS_FIELD = "spec.data.columns"
_RANK, _RANK_WITH_CHANNELS = 3, 4
_LISTED = 20
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = 0xD800, 0xDFFF


def _place(row: int) -> str:
    return f"image {row}"


class ImageSource:
    """Arrays that were opened."""

    modality = NAME
    given = None

    def __init__(self, arrays: Arrays, *, sha256: str, asked: SharedRows | None = None) -> None:
        """Make images of arrays.

        Args:
            arrays: of the images, and of what is known of each.
            sha256: of the content.
            asked: who makes numbers of images, in place of their pixels.

        Raises:
            StageError: who is asked reads no images.
        """
        if asked is not None:
            check_reads(asked, UINT8)
            self.modality = EMBEDDED_IMAGE
        self.sha256 = sha256
        self._arrays = arrays
        self._asked = asked

    def asking(self, asked: SharedRows) -> "ImageSource":
        """The same, whose images somebody makes numbers of; for errors see ``ImageSource``."""
        return ImageSource(self._arrays, sha256=self.sha256, asked=asked)

    def target(
        self, name: str, missing: Sequence[str] | None = None, *, unread: NDArray[np.bool_] | None = None
    ) -> TargetCells:
        """The target's values as texts; NaN, blank texts and those of ``missing`` are missing.

        Raises:
            DataError: there is no such array, or it is not one value for each image.
        """
        self._check_name(name, reason="TargetNotFound", field=TARGET_FIELD)
        return self._cells(name, missing, field=TARGET_FIELD, unread=unread)

    def aside(self, name: str, missing: Sequence[str] | None = None, *, field: str) -> TargetCells:
        """The values of an array that is neither target nor images; for errors see ``target``."""
        self._check_name(name, reason="ColumnNotFound", field=field)
        return self._cells(name, missing, field=field)

    def _cells(
        self,
        name: str,
        missing: Sequence[str] | None,
        *,
        field: str,
        unread: NDArray[np.bool_] | None = None,
    ) -> TargetCells:
        values = self._arrays.load(name)
        if values.ndim == 2 and values.shape[1] == 1:  # noqa: PLR2004 - a column, as Keras has it
            values = values[:, 0]
        if values.ndim != 1 or values.dtype.kind not in "iufbUS":
            found = f"{values.dtype} of shape {list(values.shape)}"
            message = f"array {name} is {found}, expected one number or text for each image: name another array"
            raise DataError("NotATarget", message, field=field)
        read = np.ones(len(values), dtype=bool)
        if unread is not None and len(unread) == len(values):  # other lengths are said where arrays are compared
            read = ~unread
        codes = np.full(len(values), -1, dtype=np.int32)
        codes[read], texts = _texts(name, values[read])
        rule = Missing.of(missing)
        gone = np.array([rule.means(text) for text in texts], dtype=bool)
        kept = np.append(np.where(gone, -1, np.cumsum(~gone) - 1), -1).astype(np.int32)
        return TargetCells(
            name=name,
            codes=kept[codes],
            texts=tuple(text for text, absent in zip(texts, gone, strict=True) if not absent),
            noun="array",
            place=_place,
            words=rule.among_numbers,
            notes=missing_notes({name: int(np.append(gone, False)[codes].sum())}),
        )

    def examples(
        self,
        features: tuple[str, ...],
        target: Target,
        missing: Sequence[str] | None = None,  # noqa: ARG002 - images have no cells
        columns: Mapping[str, ColumnSettings] | None = None,
        aside: Collection[str] = (),
    ) -> "ImageExamples":
        """The images of the rows that have a target.

        Raises:
            DataError: there is no such array, it holds no images, or not as many as there are targets; or columns are
                described, which images do not have.
        """
        if columns:
            message = f"the data holds images, which have no column {quoted(min(columns))}: leave out {COLUMNS_FIELD}"
            raise DataError("ColumnNotFound", message, field=COLUMNS_FIELD)
        name = self._chosen(features, {target.name, *aside})
        images = _images(name, self._arrays.load(name))
        if len(images) != len(target.values):
            counts = f"array {name} has {len(images)} images, and {target.name} has {len(target.values)} values"
            raise DataError("LengthsDiffer", f"{counts}: give one value for each image", field=FEATURES_FIELD)
        kept = images if target.present.all() else images[target.present]
        if self._asked is not None:
            return EmbeddedImageExamples(name=name, images=kept, scaled=self._arrays.scaled, asked=self._asked)
        return ImageExamples(name=name, images=kept, scaled=self._arrays.scaled)

    def _chosen(self, features: tuple[str, ...], others: Collection[str]) -> str:
        names = tuple(dict.fromkeys(features)) or tuple(name for name in self._arrays.names if name not in others)
        if len(names) != 1:
            found = f"the file has {_listed(self._arrays.names)}"
            message = f"{found}: name the one array of images in {FEATURES_FIELD}"
            raise DataError("FeaturesNotClear" if names else "NoFeatures", message, field=FEATURES_FIELD)
        self._check_name(names[0], reason="FeatureNotFound", field=FEATURES_FIELD)
        return names[0]

    def _check_name(self, name: str, *, reason: str, field: str) -> None:
        if name in self._arrays.names:
            return
        close = difflib.get_close_matches(name.lower(), [known.lower() for known in self._arrays.names], n=1)
        meant = [known for known in self._arrays.names if close and known.lower() == close[0]]
        hint = f"did you mean {meant[0]}?" if meant else f"name one of them in {field}"
        message = f"the file has no array {quoted(name)}; it has {_listed(self._arrays.names)}: {hint}"
        raise DataError(reason, message, field=field)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageExamples:
    """uint8 or float32 images [rows, h, w] or [rows, h, w, c] of the rows that have a target."""

    name: str
    images: NDArray[Any]
    scaled: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing is left out."""
        return ()

    @property
    def features(self) -> int:
        """Values of an image."""
        return int(np.prod(self.images.shape[1:]))

    @property
    def told_apart_by(self) -> tuple[str, ...]:
        """Their values."""
        return (f"images of {self.images.dtype}",)

    def digests(self, target: Target, *, seed: int) -> list[bytes]:
        """A hash of each image and its target."""
        floats = self.images.dtype.kind == "f"
        # Adding 0.0 makes -0.0 the same as 0.0.
        return content_digests(((image + 0.0 if floats else image).data for image in self.images), target, seed=seed)

    def by_rules(self, rules: NumberRules) -> "ImageExamples":
        """See ``Examples``: pixels are standardised.

        Raises:
            DataError: always.
        """
        raise rules.unfit("images")

    def fit(self, train: NDArray[np.int64]) -> tuple[Document, tuple[Input, ...]]:
        """Mean and deviation of each channel over the training rows."""
        preprocessing = fit(self.name, self.images, train, scaled=self.scaled)
        return preprocessing, ImageEncoder(preprocessing).inputs

    def encode(self, preprocessing: Any, rows: NDArray[np.int64]) -> Features:
        """Encode some images, by the encoder that serving uses.

        Raises:
            DataError: a value is so far from those of the training rows that it is none when standardised.
        """
        encoder = ImageEncoder(preprocessing)
        try:
            return encoder.encode(encoder.from_frame(self.images[rows]))
        except InputError as error:
            raise DataError("NotANumber", f"array {self.name}: {error.message}: correct the image") from None

    def codes(self, preprocessing: Any) -> None:
        """None: pixels are measurements."""

    def profiles(self, preprocessing: Any, rows: NDArray[np.int64]) -> tuple[Profile, ...]:  # noqa: ARG002 - as above
        """None: a pixel is no column."""
        return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedImageExamples(ImageExamples):
    """Images as the numbers of a shared encoder."""

    asked: SharedRows

    def fit(self, train: NDArray[np.int64]) -> tuple[Document, tuple[Input, ...]]:
        """The encoder, and what images are: explanations hide parts of one by the mean of the training rows.

        Raises:
            DataError: no channel varies.
            StageError: the encoder does not see such images.
        """
        images, encoder = fit(self.name, self.images, train, scaled=self.scaled), self.asked.encoder
        preprocessing = EmbeddedImagePreprocessing(
            encoder=encoder.name,
            digest=encoder.digest,
            width=encoder.width,
            images=images,
            channels=channels_seen(self.asked, images),
        )
        return preprocessing, (preprocessing.images.input,)

    def encode(self, preprocessing: Any, rows: NDArray[np.int64]) -> Features:
        """Encode some images, by the encoder that serving uses; errors are those of who is asked."""
        reader = EmbeddedImageEncoder(preprocessing, lambda images, _: self.asked.embed(images))
        return reader.encode(reader.from_frame(self.images[rows]))


def _texts(name: str, values: NDArray[Any]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes and texts of a target's values."""
    if values.dtype.kind == "U" and (wrong := _not_unicode(values)).any():
        message = f"array {name} holds no characters in row {int(wrong.argmax())}: save it again as texts (dtype U)"
        raise DataError("NotATarget", message, field=TARGET_FIELD)
    unique, codes = np.unique(values, return_inverse=True)
    try:
        texts = [_text(value) for value in unique.tolist()]
    except UnicodeDecodeError:
        message = f"array {name} holds bytes that are not UTF-8: save it as texts (dtype U) or numbers"
        raise DataError("NotATarget", message, field=TARGET_FIELD) from None
    known = {text: code for code, text in enumerate(dict.fromkeys(text for text in texts if text is not None))}
    lookup = np.array([-1 if text is None else known[text] for text in texts], dtype=np.int32)
    return lookup[codes], tuple(known)


def _not_unicode(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which texts hold anything but characters: numpy stores whatever 32 bits stand in the file."""
    points = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).view(np.uint32)
    wrong = (points > _LAST_CHARACTER) | ((points >= _SURROGATES[0]) & (points <= _SURROGATES[1]))
    return np.asarray(wrong.reshape(len(values), -1).any(axis=1), dtype=np.bool_)


def _text(value: Any) -> str | None:
    if isinstance(value, float):
        return None if np.isnan(value) else number_text(value)
    return (value.decode() if isinstance(value, bytes) else str(value)).strip() or None


def _images(name: str, images: NDArray[Any]) -> NDArray[Any]:
    """Images in one of the two types that models are trained on."""
    found = f"array {name} is {images.dtype} of shape {list(images.shape)}"
    if images.ndim not in (_RANK, _RANK_WITH_CHANNELS) or not (images.dtype == np.uint8 or images.dtype.kind == "f"):
        message = f"{found}, and images are uint8 or float, [n, h, w] or [n, h, w, c]: convert it, or name another"
        raise DataError("NotImages", message, field=FEATURES_FIELD)
    if 0 in images.shape:
        raise DataError("NotImages", f"{found}: there is nothing to learn from; add images", field=FEATURES_FIELD)
    if max(images.shape[1:3]) > MAX_SIDE or (images.ndim == _RANK_WITH_CHANNELS and images.shape[3] > MAX_CHANNELS):
        limits = f"at most {MAX_SIDE} x {MAX_SIDE} pixels of {MAX_CHANNELS} channels are possible"
        raise DataError("NotImages", f"{found}, and {limits}: make the images smaller", field=FEATURES_FIELD)
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(images, dtype=np.float32)
    finite = np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    if not finite.all():
        where = f"{_place(int(finite.argmin()))} of array {name}"
        raise DataError("NotANumber", f"{where} holds a value that is not a finite number: correct or remove the image")
    return numbers


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
