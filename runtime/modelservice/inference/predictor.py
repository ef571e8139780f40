"""A trained model that answers: what serving and the Python API have in common."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import load_artifact
from modelservice.contract.baseline import Baseline
from modelservice.contract.documents import DocumentError
from modelservice.contract.manifest import BASELINE_FILE, MANIFEST_FILE, PREPROCESSING_FILE, Manifest
from modelservice.contract.signature import Signature
from modelservice.inference.asked_encoder import AskedEncoder, asks_nobody
from modelservice.inference.batches import BATCH_ROWS
from modelservice.inference.description import describe
from modelservice.inference.engine import Differentiable, Engine, EngineLoader
from modelservice.inference.explaining.images import STEPS, SlopesQuestion
from modelservice.inference.explaining.methods import Methods
from modelservice.inference.explaining.question import EVALUATIONS, Question, unexplainable
from modelservice.inference.explaining.slopes import METHODS
from modelservice.inference.explaining.tree_paths import TREE_PATHS, TreePaths
from modelservice.inference.onnx_engine import load_onnx_engine
from modelservice.modalities.base import Encoder, Features, Rows
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.errors import InputError
from modelservice.modalities.parts import PartOptions
from modelservice.modalities.shared import AskingEncoder, asking
from modelservice.tasks import served_task_of
from modelservice.tasks.base import Array, ServedTask
from modelservice.tasks.probabilities import improbable

if TYPE_CHECKING:
    from modelservice.artifact.cache import Cache

__all__ = ["InputError", "Predictor"]


class Predictor:
    """A verified artifact, ready to answer; immutable, and its parts are safe to share between threads.

    Attributes:
        digest: sha256 of the manifest.
        manifest: what the artifact consists of and came from.
        signature: what goes in and what comes out.
        labels: class labels in the order of the probabilities, none for a regression.
        encoder: reads rows of requests and frames.
        engine: computes the model, from one thread at a time.
        task: turns the model's numbers into outputs.
        reports: what the artifact has for people, by file name.
        baseline: how inputs and outputs were spread in training, where the artifact says it.
        description: what the artifact says of itself, see ``describe``.
        files: all files of the artifact by name, the manifest first; None where they were not kept.
    """

    def __init__(
        self,
        *,
        digest: str,
        manifest: Manifest,
        signature: Signature,
        encoder: Encoder,
        engine: Engine,
        task: ServedTask,
        reports: Mapping[str, bytes],
        description: Mapping[str, Any],
        baseline: Baseline | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.digest = digest
        self.manifest = manifest
        self.signature = signature
        self.labels = signature.labels
        self.encoder = encoder
        self.engine = engine
        self.task = task
        self.reports = reports
        self.baseline = baseline
        self.description = description
        self.files = files

    def __repr__(self) -> str:
        """What it is, for a notebook."""
        what = f"predicts {self.signature.target}, " if self.signature.target else ""
        return f"<{self.manifest.name}: {what}{self.manifest.family}, {self.task.name}, {self.digest}>"

    def _repr_html_(self) -> str:
        # As images, which run no scripts: an artifact may come from anywhere.
        pictures = (b64encode(content).decode() for name, content in self.reports.items() if name.endswith(".svg"))
        images = (f"<img src='data:image/svg+xml;base64,{picture}'>" for picture in pictures)
        return "".join((f"<p>{escape(repr(self))}</p>", *images))

    @classmethod
    def load(
        cls,
        address: str | Path,
        *,
        digest: str | None = None,
        engine: EngineLoader = load_onnx_engine,
        keep_files: bool = False,
        cache: "Cache | None" = None,
        encoder: str | None = None,
    ) -> Self:
        """Verify an artifact and load its model.

        Args:
            address: folder of the artifact, or its URI in object storage.
            digest: what the artifact's digest must be, if known.
            engine: loads what computes the model.
            keep_files: keep the bytes that were verified, see ``files``.
            cache: where what is downloaded is kept.
            encoder: address of the encoder's service, for a head that asks one, such as http://minilm. Without it such
                a head answers nothing: it raises NotAnsweredError, as it does while its encoder is away.

        Raises:
            ArtifactError: there is no artifact, a damaged one, or one with another digest.
            StorageError, OSError: the store refuses, or fails.
        """
        artifact = load_artifact(address, digest=digest, cache=cache)
        return cls.from_artifact(artifact, engine=engine, keep_files=keep_files, encoder=encoder)

    @classmethod
    def from_artifact(
        cls,
        artifact: Artifact,
        *,
        engine: EngineLoader = load_onnx_engine,
        keep_files: bool = False,
        encoder: str | None = None,
    ) -> Self:
        """Load the model of an artifact that was read already; for arguments see ``load``.

        Raises:
            ArtifactError: its parts do not belong together, or this release does not know them.
        """
        signature = artifact.signature
        try:
            opened = open_encoder(signature.modality, artifact.content(PREPROCESSING_FILE))
            task = served_task_of(signature)
        except DocumentError as error:
            raise ArtifactError(str(error)) from None
        head = asking(opened)
        if (None if head is None else head.shared) != artifact.manifest.encoder:
            raise ArtifactError("manifest and preprocessing of the artifact name different encoders")
        reads = opened if head is None else _asking(head, encoder)
        loaded = engine(artifact)
        _check_agreement(signature, encoder=reads, engine=loaded, task=task)
        return cls(
            digest=artifact.digest,
            manifest=artifact.manifest,
            signature=signature,
            encoder=reads,
            engine=loaded,
            task=task,
            baseline=artifact.document(BASELINE_FILE, Baseline) if BASELINE_FILE in artifact.contents else None,
            reports={name: artifact.contents[name] for name in artifact.manifest.reports},
            description=describe(artifact),
            files={MANIFEST_FILE: artifact.manifest_bytes, **artifact.contents} if keep_files else None,
        )

    @property
    def trained(self) -> bool:
        """Whether it was trained here, not packed."""
        return self.manifest.data is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one encoded row."""
        return self.encoder.shape

    def encode(self, rows: Rows) -> Features:
        """Encode rows of a request.

        None and NaN are missing values and treated as in training; a column that is not there is an error.

        Args:
            rows: as the encoder's ``from_...`` functions give them.

        Returns:
            float32 [rows, *shape].

        Raises:
            InputError: names the first row and column that is wrong.
        """
        return self.encoder.encode(rows)

    def run(self, features: Features) -> Array:
        """Run the model: float32 [rows, *shape] to float32 [rows, width], see ``Task.named``."""
        return self.engine.run(features)

    def outputs(self, raw: Array) -> dict[str, Any]:
        """A model's numbers [rows, width] by the names of ``signature.outputs``, in the order of the rows."""
        return self.task.named(raw, self.labels)

    def predict(self, frame: Any) -> list[Any]:
        """What the target is most likely to be in each row: the label of a class, or a number.

        Args:
            frame: a pandas DataFrame, a pyarrow Table, an object of columns, a list of rows, or an array; of images
                an array [rows, height, width] or [rows, height, width, channels]. A frame may have further columns,
                the target for one.

        Raises:
            InputError: names the first row and column that is wrong.
            ValueError: it was packed, and does not answer with probabilities of its labels.
        """
        first = self.signature.outputs[0].name
        answers = self.outputs(self._raw(frame))[first]
        return list(answers.tolist() if isinstance(answers, np.ndarray) else answers)

    def predict_proba(self, frame: Any) -> Array:
        """Class probabilities, float32 [rows, classes] in the order of ``labels``; for arguments see ``predict``.

        Raises:
            TypeError: the model predicts a number.
            InputError: names the first row and column that is wrong.
            ValueError: it was packed, and does not answer with probabilities of its labels.
        """
        if not self.labels:
            raise TypeError(f"{self.manifest.name} predicts {self.signature.target}, a number: call predict()")
        return self._raw(frame)

    def explain(
        self,
        frame: Any,
        *,
        label: str | None = None,
        method: str | None = None,
        evaluations: int | None = None,
        seed: int = 0,
    ) -> list[dict[str, Any]]:
        """What each column, patch of an image or word of a text adds to each answer, as ``:explain`` says it.

        Args:
            frame: see ``predict``.
            label: the class whose probability is explained; None for the one that each row is answered with.
            method: of columns ``Shapley``, the default, and of decision trees, forests and boosting ``TreePaths``; of
                images ``Occlusion``, the default, and where torch computes (``engine=load_torch_engine`` of ``load``)
                ``IntegratedGradients`` or ``SmoothGrad`` for a ``label``.
            evaluations: most rows that the model answers for one of these, 1,024 by default; more come nearer where a
                table has so many columns that not all coalitions can be asked. Of derivatives their steps, default 64.
            seed: of what is random then.

        Returns:
            For each row ``output``, ``label`` (of a classification), ``value``, ``base``, and ``contributions``; by
            ``TreePaths`` also ``answer`` and ``scale``, and of a single tree its ``rows`` and the ``path``.

        Raises:
            ValueError: the model has no such label or method, or cannot be explained; or a row takes more evaluations,
                says how many.
            InputError: names the first row and column that is wrong.
        """
        if label is not None and label not in self.labels:
            raise ValueError(f"{label!r} is no label of {self.manifest.name}; expected one of {list(self.labels)}")
        if (why := unexplainable(self.signature)) is not None:
            raise ValueError(f"{self.manifest.name} cannot be explained: {why}")
        chosen = None if label is None else self.labels.index(label)
        rows = self.encoder.from_frame(frame)
        if method is not None:
            self._methods.check(method, chosen)
        if method in METHODS:
            return self._explain_by_slopes(
                rows, method, chosen or 0, STEPS if evaluations is None else evaluations, seed
            )
        if method == TREE_PATHS:
            batches = [(batch, self.tree_paths.run(self.encode(batch), chosen)) for batch in _batches(rows)]
            return [one for batch, raw in batches for one in self.tree_paths.explanations(raw, batch)]
        most = EVALUATIONS if evaluations is None else evaluations
        found = []
        for parts in self.encoder.parts(rows):
            question = Question([parts], evaluations=most, seed=seed)
            asked = question.asked()
            raw = np.concatenate([self.run(self.encode(batch)) for batch in _batches(asked)])
            found += question.explanations(raw, self.signature, chosen)
        return found

    @cached_property
    def _methods(self) -> Methods:
        return Methods(self.encoder, self.engine, self.signature)

    @cached_property
    def tree_paths(self) -> TreePaths:
        """What explains rows by the paths through the trees of a model that has them."""
        return TreePaths(self.encoder, self.engine, self.signature)

    def _explain_by_slopes(self, rows: Rows, method: str, label: int, steps: int, seed: int) -> list[dict[str, Any]]:
        if steps < 1:
            raise ValueError(f"evaluations: {steps}; {method} needs at least 1")
        engine = self.engine
        assert isinstance(engine, Differentiable)  # noqa: S101 - else the method is not known
        images, found = np.asarray(rows), []
        for place, parts in enumerate(self.encoder.parts(rows, PartOptions(patch=1))):
            image = images[place : place + 1]
            question = SlopesQuestion(self.encoder, image, [parts], method=method, steps=steps)
            asked = question.asked(seed)
            raw = np.concatenate([engine.gradients(self.encode(batch), label) for batch in _batches(asked)])
            found += question.explanations(asked, raw, self.signature, label)
        return found

    def _raw(self, frame: Any) -> Array:
        raw = self.run(self.encode(self.encoder.from_frame(frame)))
        if self.labels and not self.trained and (wrong := improbable(raw)) is not None:
            raise ValueError(f"the model answers with {wrong}")
        return raw


def _batches(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS))


def _asking(head: AskingEncoder, address: str | None) -> Encoder:
    """What asks the encoder at an address; without one it can be looked at, and answers nothing."""
    try:
        return head.asking(asks_nobody(head.shared) if address is None else AskedEncoder(address, head.shared))
    except ValueError as error:
        raise ArtifactError(str(error)) from None


def _check_agreement(signature: Signature, *, encoder: Encoder, engine: Engine, task: ServedTask) -> None:
    """Refuse an artifact whose files each are valid, but describe different models."""
    if encoder.inputs != signature.inputs:
        raise ArtifactError("signature and preprocessing of the artifact describe different inputs")
    if not _outputs_are_of(task, signature):
        raise ArtifactError(f"the signature's outputs are not those of task {task.name}")
    try:
        raw = engine.run(np.zeros((1, *encoder.shape), np.float32))
    except Exception as error:  # each engine's library has errors of its own
        shown = " ".join(str(error).split())[:300]
        raise ArtifactError(
            f"the model does not take rows as they are encoded, {list(encoder.shape)}: {shown}"
        ) from None
    expected = (1, signature.width)
    if raw.shape != expected:
        raise ArtifactError(f"the model gives {list(raw.shape)} for one row, but the signature wants {list(expected)}")


def _outputs_are_of(task: ServedTask, signature: Signature) -> bool:
    try:
        return task.outputs(signature.labels) == signature.outputs
    except ValueError:  # labels that the task cannot have, such as none at all
        return False
