"""A trained model that answers: what serving and the Python API have in common."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import nn

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact, load
from modelservice.contract.manifest import ARCHITECTURE_FILE, WEIGHTS_FILE, ColumnKind, Manifest, Signature
from modelservice.data.encoding import Encoder, Features
from modelservice.data.errors import InputError
from modelservice.data.frames import columns_of
from modelservice.data.preprocessing import CategoricalPreprocessing, Preprocessing
from modelservice.models.architecture import Architecture
from modelservice.models.mlp import build

__all__ = ["InputError", "Predictor"]


class Predictor:
    """A verified artifact, ready to answer; immutable and safe to share between threads.

    Attributes:
        digest: sha256 of the manifest.
        manifest: what the artifact consists of and came from.
        signature: input columns in order, target, labels.
        labels: class labels in the order of the probabilities.
    """

    def __init__(
        self, *, digest: str, manifest: Manifest, signature: Signature, encoder: Encoder, module: nn.Sequential
    ) -> None:
        self.digest = digest
        self.manifest = manifest
        self.signature = signature
        self.labels = signature.labels
        self._encoder = encoder
        # Dropout passes everything through when serving; leaving it out saves a call for each layer.
        self._module = nn.Sequential(*(layer for layer in module if not isinstance(layer, nn.Dropout))).eval()
        self._labels = np.array(signature.labels, dtype=object)

    @classmethod
    def load(cls, folder: str | Path, *, digest: str | None = None) -> Self:
        """Verify an artifact and build its model.

        Raises:
            ArtifactError: the folder holds no artifact, a damaged one, or one with another digest.
        """
        return cls.from_artifact(load(Path(folder), digest=digest))

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Self:
        """Build the model of an artifact that was read already.

        Raises:
            ArtifactError: its parts do not belong together.
        """
        signature, preprocessing = artifact.signature, artifact.preprocessing
        architecture = artifact.document(ARCHITECTURE_FILE, Architecture)
        _check_agreement(signature, preprocessing, architecture)
        return cls(
            digest=artifact.digest,
            manifest=artifact.manifest,
            signature=signature,
            encoder=Encoder(preprocessing),
            module=_module(artifact, architecture),
        )

    @property
    def width(self) -> int:
        """Numbers that a row becomes."""
        return self._encoder.width

    def encode_rows(self, rows: Sequence[Sequence[Any] | Mapping[str, Any]] | NDArray[Any]) -> Features:
        """Encode rows given as arrays in the order of ``signature.inputs``, or as objects by column name.

        None and NaN are missing values and treated as in training; a column that is not there is an error.

        Returns:
            float32 [rows, width].

        Raises:
            InputError: names the first row and column that is wrong.
        """
        return self._encoder.encode_rows(rows)

    def encode_columns(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> Features:
        """Encode a batch given column by column, all of one length.

        Returns:
            float32 [rows, width].

        Raises:
            InputError: names the first column, and row where there is one, that is wrong.
        """
        return self._encoder.encode_columns(columns)

    def probabilities(self, features: Features) -> Features:
        """Run the model.

        Args:
            features: float32 [rows, width], as the encoders give it.

        Returns:
            float32 [rows, classes]; each row sums to 1.
        """
        with torch.inference_mode():
            return torch.softmax(self._module(torch.from_numpy(features)), dim=1).numpy()

    def predict_proba(self, frame: Any) -> Features:
        """Class probabilities, float32 [rows, classes] in the order of ``labels``.

        Args:
            frame: a pandas DataFrame, a pyarrow Table, an object of columns, or a list of rows. A frame may have
                further columns, the target for one.

        Raises:
            InputError: names the first row and column that is wrong.
        """
        columns = columns_of(frame)
        if columns is None:
            return self.probabilities(self.encode_rows(frame))
        columns = {name.strip(): values for name, values in columns.items()}  # as training reads names
        known = {name: columns[name] for name in self._encoder.names if name in columns}
        return self.probabilities(self.encode_columns(known))

    def predict(self, frame: Any) -> list[str]:
        """The most probable label of each row; for arguments and errors see ``predict_proba``."""
        return list(self._labels[self.predict_proba(frame).argmax(axis=1)])


def _check_agreement(signature: Signature, preprocessing: Preprocessing, architecture: Architecture) -> None:
    described = [
        (column.name, str(column.kind), column.categories if isinstance(column, CategoricalPreprocessing) else ())
        for column in preprocessing.columns
    ]
    declared = [
        (column.name, str(column.kind), column.categories if column.kind is ColumnKind.CATEGORICAL else ())
        for column in signature.inputs
    ]
    if described != declared:
        raise ArtifactError("the signature and the preprocessing of the artifact name different columns")
    if preprocessing.width != architecture.inputs:
        raise ArtifactError(f"the preprocessing gives {preprocessing.width} numbers, the model takes another count")
    if len(signature.labels) != architecture.outputs:
        raise ArtifactError(f"the signature has {len(signature.labels)} labels, the model has another count of outputs")


def _module(artifact: Artifact, architecture: Architecture) -> nn.Sequential:
    """The module with the stored weights; nothing is allocated before names and shapes are known to agree."""
    if WEIGHTS_FILE not in artifact.contents:
        raise ArtifactError(f"the artifact has no {WEIGHTS_FILE}")
    try:
        weights = load_safetensors(artifact.contents[WEIGHTS_FILE])
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"{WEIGHTS_FILE} is not valid: {error}") from None
    module = build(architecture, device="meta")
    expected = {name: (tuple(tensor.shape), torch.float32) for name, tensor in module.state_dict().items()}
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in weights.items()}
    if expected != found:
        raise ArtifactError(f"{WEIGHTS_FILE} does not hold the weights that {ARCHITECTURE_FILE} describes")
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise ArtifactError(f"{WEIGHTS_FILE} holds values that are not finite")
    module.load_state_dict(weights, assign=True)
    return module.requires_grad_(requires_grad=False)
