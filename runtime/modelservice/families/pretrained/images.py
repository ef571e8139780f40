"""Pretrained models of images: a network as ONNX, beside what its image processor does first.

What is read of a folder is ``preprocessor_config.json`` and ``model.onnx``, as ``optimum`` writes them. All that is
done to an image is part of the graph, so it is the same in training and in serving.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from modelservice.artifact.files import MAX_MODEL_BYTES
from modelservice.contract.base import first_problem
from modelservice.contract.documents import Document
from modelservice.contract.encoders import PretrainedModel as Served
from modelservice.contract.failure import StageError
from modelservice.families.pretrained.base import Kind
from modelservice.families.pretrained.folder import Folder
from modelservice.families.pretrained.image_steps import LARGEST, Frame, ImageSteps, sized
from modelservice.modalities.base import Features
from modelservice.modalities.image.embedded import INPUT
from modelservice.modalities.image.encoder import NAME as IMAGE
from modelservice.modalities.image.pixels import SIZE_FIELD, check_pixels
from modelservice.modalities.image.preprocessing import ImagePreprocessing
from modelservice.modalities.known import Known

PREPROCESSOR: Final = "preprocessor_config.json"
WEIGHTS: Final = ("model.onnx", "onnx/model.onnx")
"""Where the network may lie; the second is where folders that hold other formats, too, have it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageModel:
    """A pretrained model of images that was read; see ``PretrainedEncoder``.

    Attributes:
        steps: what is done to an image before its network.
        network: an ``onnx_network.Network``.
        digest: of the file of the network, ``sha256:...``.
        origin: where it was read from, for people.
        width: numbers of an image.
        size: height and width that a picture should be brought to.
    """

    steps: ImageSteps
    network: Any
    digest: str
    origin: str
    width: int
    size: tuple[int, int]
    modality = IMAGE
    _known: dict[tuple[int, ...], Known] = field(default_factory=dict)
    _sessions: dict[tuple[int, ...], Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Number of weights that are used."""
        return int(self.network.parameters)

    @property
    def channels(self) -> int:
        """Of an image as the network sees it."""
        return int(self.network.channels)

    def alone(self, settings: Served, *, section: str | None) -> ImagePreprocessing:
        """See ``PretrainedEncoder``: pictures of any size are brought to its own."""
        if settings.max_length != Served.model_fields["max_length"].default:
            field = f"{section}.maxLength" if section else "maxLength"
            message = f"{field} counts tokens of a text, and {self.origin} reads images: leave it out"
            raise StageError("ModelUnsuited", message, field=field)
        return ImagePreprocessing(
            name=INPUT,
            height=self.size[0],
            width=self.size[1],
            channels=self.channels,
            channel_axis=True,
            datatype="UINT8",
            mean=(0.0,) * self.channels,
            std=(1.0,) * self.channels,
            scaled=True,
        )

    def reading(self, preprocessing: Document) -> "ImageReading":
        """See ``PretrainedEncoder``."""
        assert isinstance(preprocessing, ImagePreprocessing)  # noqa: S101 - that of its modality
        check_pixels(preprocessing, channels=self.channels, encoder=self.origin)
        return ImageReading(model=self, preprocessing=preprocessing, frame=self._frame(preprocessing))

    def _frame(self, preprocessing: ImagePreprocessing) -> Frame:
        try:
            frame = self.steps.frame(preprocessing.height, preprocessing.width)
            self._check_sees(frame.seen)
        except ValueError as error:
            height, width = self.size
            given = f"images of {preprocessing.height} x {preprocessing.width} pixels"
            message = (
                f"the encoder {self.origin} does not read {given}: {error}: set {SIZE_FIELD} to {height} x {width}"
            )
            raise StageError("ModelUnsuited", message, field=SIZE_FIELD) from None
        return frame

    def _check_sees(self, seen: tuple[int, int]) -> None:
        """Whether the network answers images of a size, with as many numbers as those of its own.

        Raises:
            ValueError: it does not.
        """
        if seen == self.steps.frame(*self.size).seen:
            return
        if not self.network.takes(seen):
            raise ValueError(f"its network takes {sized(self.network.size)} pixels, and would see {sized(seen)}")
        from modelservice.families.pretrained.image_graph import tried  # noqa: PLC0415 - onnx takes long to import

        try:
            width = tried(self.network, self.steps, seen)
        except ValueError as error:
            raise ValueError(f"its network {error}") from None
        if width != self.width:
            raise ValueError(f"its network makes {width} numbers of {sized(seen)} pixels, and {self.width} of its own")

    def add_to(self, graph: Any, frame: Frame, channels: int) -> str:
        """Nodes from pixels, float32 [rows, channels, height, width] of 0 to 255, to the numbers of images."""
        from modelservice.families.pretrained.image_graph import add_network, add_seen  # noqa: PLC0415 - as above

        add_seen(graph, frame, repeats=self.channels if channels < self.channels else 1)
        return add_network(graph, self.network, self.steps)

    def numbers(self, pixels: NDArray[np.uint8], frame: Frame) -> Features:
        """The numbers of images of one size, uint8 [rows, channels, height, width]; each is read once in a process."""
        known = self._known.setdefault(pixels.shape[1:], Known())
        rows = (row.tobytes() for row in pixels)
        return known.numbers(rows, lambda some: self.compute(pixels[some].astype(np.float32), frame), width=self.width)

    def compute(self, pixels: Features, frame: Frame) -> Features:
        """The same, of float32, all at once and nothing kept."""
        from modelservice.families.base import INPUT_NAME, OUTPUT_NAME  # noqa: PLC0415

        shape = pixels.shape[1:]
        if shape not in self._sessions:
            self._sessions[shape] = self._opened(frame, shape[0])
        return np.asarray(self._sessions[shape].run([OUTPUT_NAME], {INPUT_NAME: pixels})[0], np.float32)

    def _opened(self, frame: Frame, channels: int) -> Any:
        from modelservice.families.onnx_graph import Graph  # noqa: PLC0415 - as above
        from modelservice.families.pretrained.image_graph import open_session  # noqa: PLC0415

        graph = Graph()
        self.add_to(graph, frame, channels)
        return open_session(graph.model(shape=(channels, *frame.given), width=self.width))


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageReading:
    """See ``Reading``; rows are standardised images, of which the pixels are known again by rounding."""

    model: ImageModel
    preprocessing: ImagePreprocessing
    frame: Frame

    @property
    def notes(self) -> tuple[str, ...]:
        """That images are made larger or smaller, where they are."""
        given, seen = sized(self.frame.given), sized(self.frame.seen)
        return () if given == seen else (f"images of {given} pixels are seen by the encoder as {seen}",)

    def embed(self, rows: Features) -> Features:
        """See ``Reading``."""
        return self.model.numbers(self._pixels(rows).astype(np.uint8), self.frame)

    def compute(self, rows: Features) -> Features:
        """See ``Reading``."""
        return self.model.compute(self._pixels(rows), self.frame)

    def append_to(self, graph: Any) -> str:
        """See ``Reading``."""
        from modelservice.families.pretrained.image_graph import add_pixels  # noqa: PLC0415 - as above

        if not self._plain:
            add_pixels(graph, *self._moments)
        return self.model.add_to(graph, self.frame, self.preprocessing.channels)

    def _pixels(self, rows: Features) -> Features:
        """Float32 of 0 to 255, by the operations of the graph."""
        mean, std = self._moments
        return rows if self._plain else np.clip(np.rint(rows * std + mean), np.float32(0), np.float32(LARGEST))

    @property
    def _moments(self) -> tuple[Features, Features]:
        """Mean and deviation of each channel, float32 [1, channels, 1, 1]."""
        mean, std = (
            np.array(one, np.float32).reshape(1, -1, 1, 1) for one in (self.preprocessing.mean, self.preprocessing.std)
        )
        return mean, std

    @property
    def _plain(self) -> bool:
        """Whether rows are pixels already."""
        return not any(self.preprocessing.mean) and set(self.preprocessing.std) == {1.0}


class _Images:
    """See ``Kind``."""

    def claims(self, folder: Folder) -> bool:
        """By the file that says what is done to images."""
        return folder.optional(PREPROCESSOR) is not None

    def read(self, folder: Folder, digest: str | None) -> ImageModel:
        """See ``Kind``."""
        from modelservice.families.pretrained.image_graph import tried  # noqa: PLC0415 - as above
        from modelservice.families.pretrained.onnx_network import NetworkError, read_network  # noqa: PLC0415

        steps = _steps(folder)
        name, content = _weights(folder)
        found = folder.check_digest(name, content, digest)
        try:
            network = read_network(content)
            size = steps.covered(network.size)
            if size is None:
                raise folder.invalid(f"{PREPROCESSOR} says no size, and its network takes images of any")
            width = tried(network, steps, steps.frame(*size).seen)
        except NetworkError as error:
            raise folder.invalid(f"{name} {error}") from None
        except ValueError as error:
            raise folder.invalid(f"{PREPROCESSOR}: {error}") from None
        return ImageModel(steps=steps, network=network, digest=found, origin=folder.origin, width=width, size=size)


IMAGES: Final[Kind] = _Images()


def _steps(folder: Folder) -> ImageSteps:
    try:
        return ImageSteps.model_validate_json(folder.read(PREPROCESSOR))
    except ValidationError as error:
        problem = first_problem(error).removeprefix("document: ")  # what several fields have to do with each other
        raise folder.invalid(f"{PREPROCESSOR}: {problem}") from None


def _weights(folder: Folder) -> tuple[str, bytes]:
    """Name and content of the network; the first place is named where there is none."""
    missing: StageError | None = None
    for name in WEIGHTS:
        try:
            return name, folder.load(name, limit=MAX_MODEL_BYTES)
        except StageError as error:
            if error.reason != "EncoderNotFound":
                raise
            missing = missing or error
    assert missing is not None  # noqa: S101 - there is a place
    raise missing
