"""``manifest.json``: the artifact's own description.

Nothing in an artifact depends on the time or the machine's name, so the same training gives the same digest.
"""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, StringConstraints

from modelservice.contract.base import ServiceName, Sha256, Tolerant
from modelservice.contract.division import Division
from modelservice.contract.documents import Document
from modelservice.contract.evaluation import MetricName
from modelservice.contract.signature import SIGNATURE_FILE
from modelservice.contract.sizes import Tried

MANIFEST_FILE = "manifest.json"
PREPROCESSING_FILE = "preprocessing.json"
MODEL_FILE = "model.onnx"
INPUT_NAME = "features"
"""The one input of ``model.onnx``: float32 [rows, *shape]."""
OUTPUT_NAME = "raw"
"""Its one output: float32 [rows, width], probabilities of all classes, or the value of a regression [rows, 1]."""
METRICS_FILE = "metrics.json"
ARCHITECTURE_FILE = "architecture.json"
"""Of gradient families only, beside ``WEIGHTS_FILE``: what a later stage or torch starts from."""
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "MODEL_CARD.md"
"""The model card: Markdown for people, after a block of YAML for those who collect them."""
DATA_REPORT_FILE = "data-report.json"
BASELINE_FILE = "baseline.json"
IMPORTANCE_FILE = "importance.json"
"""Of tables only, as its picture is."""
SEARCH_FILE = "search.json"
"""Where settings were searched, as its picture is."""
CURVES_PICTURE = "learning-curves.svg"
CONFUSION_PICTURE = "confusion-matrix.svg"
VALUES_PICTURE = "predicted-values.svg"
CALIBRATION_PICTURE = "calibration.svg"
IMPORTANCE_PICTURE = "importance.svg"
SEARCH_PICTURE = "search.svg"
SIZES_FILE = "compression.json"
"""Of what was compressed, as its picture is: size and metric of each model on the way."""
SIZES_PICTURE = "compression.svg"
REPORT_FILES = (
    CARD_FILE,
    DATA_REPORT_FILE,
    BASELINE_FILE,
    IMPORTANCE_FILE,
    SEARCH_FILE,
    CURVES_PICTURE,
    CONFUSION_PICTURE,
    VALUES_PICTURE,
    CALIBRATION_PICTURE,
    IMPORTANCE_PICTURE,
    SEARCH_PICTURE,
    SIZES_FILE,
    SIZES_PICTURE,
)
"""What is written for people, as far as a model has it; nothing that answers requests reads them."""

ARTIFACT_FORMAT = "modelservice/1"
"""What a record says of an artifact of this kind."""

REQUIRED_FILES = (SIGNATURE_FILE, PREPROCESSING_FILE, MODEL_FILE)
"""What every artifact has, whatever produced it; one that was trained has its metrics too."""

KNOWN_FILES = frozenset({MANIFEST_FILE, *REQUIRED_FILES, METRICS_FILE, ARCHITECTURE_FILE, WEIGHTS_FILE, *REPORT_FILES})
"""All files that this release writes: what else lies in a folder is not its to remove."""

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]{0,127}$")]


class FileEntry(Tolerant):
    """Digest and size in bytes of one file; a reader hashes before it parses."""

    sha256: Sha256
    size: int = Field(ge=0, le=2**40)


class Producer(Tolerant):
    """Versions of what wrote the artifact; ``libraries`` are those that decided the result, by name."""

    modelservice: str
    python: str
    libraries: dict[str, str] = Field(default={})


class DataSummary(Tolerant):
    """The data that was read: its digest, its size, and what was noticed on the way.

    ``rows`` were used, ``dropped`` were read and not used; ``classes`` is None for a regression. ``features`` counts
    columns, or the values of an image, whose ``shape`` is height and width, and channels where there are several.
    """

    sha256: Sha256
    rows: int
    dropped: int = 0
    features: int
    shape: tuple[int, ...] | None = Field(default=None, exclude_if=lambda shape: shape is None)
    classes: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> str:
        """For people, such as 150 rows, 4 features, 3 classes, or 120 images of 8 x 8, 10 classes."""
        pixels = None if self.shape is None else " x ".join(map(str, self.shape))
        what = f"{self.rows} rows, {self.features} features" if pixels is None else f"{self.rows} images of {pixels}"
        return what if self.classes is None else f"{what}, {self.classes} classes"


class Parent(Tolerant):
    """The artifact that a later stage started from."""

    key: str
    digest: Sha256


class SharedEncoder(Tolerant):
    """The encoder that a head asks for the numbers of texts or images: a ModelService of its own.

    ``digest`` is that of its artifact: numbers of another one mean nothing to the head. ``width`` is how many numbers a
    row has.
    """

    name: ServiceName
    digest: Sha256
    width: Annotated[int, Field(ge=1, le=65_536)]


class OnnxSummary(Tolerant):
    """``model.onnx``: its opset, and its largest difference to the trained model on real rows, where that is known."""

    opset: int
    max_difference: FiniteFloat | None = None


class CompressionSummary(Tolerant):
    """What a compression came to.

    ``drop`` is how much worse ``metric`` became on the test rows (None stands for the primary one), with the bounds of
    its paired 95 % interval.
    ``applied`` is False where the budget was missed: then the artifact holds the uncompressed model. ``before`` and
    ``after`` are the trained model and what the steps made of it, on the validation rows; ``controls`` what that is
    compared with.
    """

    applied: bool
    message: str
    metric: MetricName | None = None
    budget: FiniteFloat
    drop: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    bytes_before: int
    bytes_after: int
    before: Tried | None = None
    after: Tried | None = None
    controls: tuple[Tried, ...] = ()


class Manifest(Document):
    """Everything an artifact consists of; the artifact's digest is the sha256 of this file's bytes.

    A reader refuses another major ``schema_version`` and any file, link or folder that is not listed. ``stage`` made
    it; ``family``, ``modality`` and ``task`` name members of the seams of the same name. What only a training knows is
    optional: an artifact may be packed from elsewhere. ``weights`` is the digest of the file of weights of a pretrained
    model that is served as it is. ``division`` tells which rows were tested, where their content alone decided;
    ``sides`` is the digest of the sides and weights that the rows of the training had (see ``modalities.division``),
    which tells of the same data whether they are the same. ``encoder`` is what a head asks, which the artifact does not
    hold.
    """

    kind: Literal["Manifest"] = "Manifest"
    name: str
    stage: str
    key: str
    parent: Parent | None = None
    family: str
    modality: str
    task: str
    producer: Producer
    data: DataSummary | None = None
    parameters: int | None = Field(default=None, ge=0, description="Number of trained parameters.")
    model: OnnxSummary
    compression: CompressionSummary | None = None
    weights: Sha256 | None = Field(default=None, exclude_if=lambda weights: weights is None)
    division: Division | None = Field(default=None, exclude_if=lambda division: division is None)
    sides: Sha256 | None = Field(default=None, exclude_if=lambda sides: sides is None)
    encoder: SharedEncoder | None = Field(default=None, exclude_if=lambda encoder: encoder is None)
    files: Annotated[dict[FileName, FileEntry], Field(min_length=1, max_length=64)]

    @property
    def reports(self) -> tuple[str, ...]:
        """The files that are for people, the model card first."""
        return tuple(name for name in REPORT_FILES if name in self.files)
