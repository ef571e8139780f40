"""``spec.training.initialize``: a training that goes on from the weights of a network that was trained before."""

from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes
from modelservice.artifact.load import Artifact
from modelservice.contract.documents import DocumentError, read_document
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, PREPROCESSING_FILE, WEIGHTS_FILE
from modelservice.contract.training import TrainedArtifact
from modelservice.families.architecture import Architecture
from modelservice.families.pretrained.folder import ENVIRONMENT
from modelservice.modalities.base import Dataset
from modelservice.modalities.elsewhere import Named, read_elsewhere
from modelservice.modalities.likeness import difference
from modelservice.modalities.table.preprocessing import TablePreprocessing

FIELD: Final = "spec.training.initialize.artifact"
_SHOWN: Final = 3
_ONLY_IN_TRAINING: Final = {"share", "dropout"}
"""Settings of layers, of Dropout and TokenAttention, that may be others than they were."""


def begin_from(module: nn.Module, architecture: Architecture, initial: TrainedArtifact, dataset: Dataset) -> None:
    """Put the weights of an artifact into a network of the same layers.

    Numbers are scaled by the new rows, as those of the artifact were by its own: what follows learns the difference.

    Args:
        module: the network as it was built.
        architecture: of the network.
        initial: which artifact.
        dataset: what is learned now.

    Raises:
        StorageError: it cannot be read, is another one, or none that can be trusted.
        StageError: it is of no network, or of one of other inputs, labels or layers.
    """
    named = Named(uri=initial.uri, digest=initial.digest, field=FIELD, keys=ENVIRONMENT)
    artifact = read_elsewhere(named)
    if WEIGHTS_FILE not in artifact.contents:
        raise _unsuited(
            initial, f"holds a model of family {artifact.manifest.family}, which has no weights to go on from"
        )
    if (why := _other_rows(artifact, dataset)) is not None:
        raise _unsuited(initial, why)
    try:
        stored = load(artifact.contents[WEIGHTS_FILE])
    except (SafetensorError, ValueError, KeyError) as error:
        raise _unsuited(initial, f"has weights that cannot be read: {str(error)[:200]}") from None
    state = module.state_dict()
    if differing := [words for name in {**stored, **state} if (words := _difference(name, stored, state))]:
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        raise _unsuited(initial, f"has other layers: {'; '.join(differing[:_SHOWN])}{more}")
    if (why := _computed_otherwise(initial, artifact, architecture)) is not None:
        raise _unsuited(initial, f"has other layers: {why}")
    module.load_state_dict(stored)


def _other_rows(artifact: Artifact, dataset: Dataset) -> str | None:
    """In what the rows are others than those that the weights are of; None where they are the same."""
    if (why := difference(artifact.signature, dataset, categories=True)) is not None:
        return why
    if isinstance(now := dataset.preprocessing, TablePreprocessing):
        return now.unlike(artifact.document(PREPROCESSING_FILE, TablePreprocessing))
    if dataset.modality == "Text" and artifact.content(PREPROCESSING_FILE) != document_bytes(dataset.preprocessing):
        return "reads texts by another tokenizer, which was made of its own data"
    return None


def _difference(name: str, stored: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> str:
    there, here = (list(found[name].shape) if name in found else None for found in (stored, state))
    if there == here:
        return ""
    return f"{name} is {there or 'not there'}, and {here or 'not'} here"


def _computed_otherwise(initial: TrainedArtifact, artifact: Artifact, architecture: Architecture) -> str | None:
    """What layers of the same weights do otherwise with them; None where that is nothing but what they leave out.

    Activation, pooling and heads of attention show in no shape.
    """
    try:
        before = read_document(ARCHITECTURE_FILE, artifact.content(ARCHITECTURE_FILE), Architecture)
    except (ArtifactError, DocumentError) as error:
        raise _unsuited(initial, f"has layers that cannot be read: {error}") from None
    for place, layers in enumerate(zip(before.layers, architecture.layers, strict=False)):
        then, now = (layer.model_dump(mode="json", exclude=_ONLY_IN_TRAINING) for layer in layers)
        for name, value in then.items():
            if now.get(name) != value:
                return f"{name} of layer {place} ({layers[0].kind}) is {value}, and {now.get(name)} here"
    return None


def _unsuited(initial: TrainedArtifact, why: str) -> StageError:
    message = f"{initial.uri} {why}: name an artifact of the same network and data, or leave initialize out"
    return StageError("InitialUnsuited", message, field=FIELD)
