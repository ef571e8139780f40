"""What a compression begins with: the trained model, and the rows that it was trained and tested on."""

from dataclasses import replace

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores import load_artifact
from modelservice.contract.documents import Stored
from modelservice.contract.failure import DataError, StageError, StorageError
from modelservice.contract.manifest import METRICS_FILE, PREPROCESSING_FILE
from modelservice.contract.work_order import CompressWork
from modelservice.modalities.base import Dataset, Source
from modelservice.modalities.dataset import Divided
from modelservice.modalities.division import sides_of
from modelservice.modalities.sources import check_held, read_rows
from modelservice.modalities.tokenizers import tokenizer_of
from modelservice.tasks import task_of


def read_parent(work: CompressWork, source: Source) -> tuple[Artifact, Divided, Dataset]:
    """The model, its rows before and after they were encoded.

    Raises:
        StorageError: the model cannot be used.
        DataError: the rows are not those of its training, or are read, divided or weighed otherwise.
    """
    parent = _parent(work)
    _check_trained(parent)
    check_held(source, field="spec.compression")
    try:
        tokenizer = tokenizer_of(parent, work.data)
    except ArtifactError as error:
        raise _unusable(error) from None
    divided, dataset = read_rows(source, work.data, work.task, tokenizer=tokenizer)
    _check_same_data(parent, dataset)
    _check_same_preprocessing(parent, dataset)
    _check_same_sides(parent, divided)
    # As the training left it: with the threshold that it chose.
    return parent, divided, replace(dataset, task=task_of(parent.signature))


def _parent(work: CompressWork) -> Artifact:
    try:
        return load_artifact(work.parent, digest=work.parent_digest)
    except ArtifactError as error:
        raise _unusable(error) from None


def _check_trained(parent: Artifact) -> None:
    """What was packed says neither what it was trained on nor how good it is."""
    if parent.manifest.data is None or METRICS_FILE not in parent.contents:
        message = (
            f"{parent.manifest.name} does not say on what it was trained, so that no test rows can judge a smaller one:"
            " leave compression out, and pack a model that was made smaller before"
        )
        raise StageError("NotCompressible", message, field="spec.compression")


def _preprocessing(parent: Artifact, kind: type[Stored]) -> Stored:
    try:
        return parent.document(PREPROCESSING_FILE, kind)
    except ArtifactError as error:
        raise _unusable(error) from None


def _unusable(error: ArtifactError) -> StorageError:
    message = f"the model to compress cannot be used: {error}: delete what is left of it, and it is trained again"
    return StorageError("ParentInvalid", message, field="spec.artifacts")


def _check_same_data(parent: Artifact, dataset: Dataset) -> None:
    """The test rows must be those that the model was not trained on, so the data must be that of the training."""
    trained_on = parent.manifest.data.sha256 if parent.manifest.data else "data that nobody knows"
    if dataset.sha256 == trained_on and dataset.labels == parent.signature.labels:
        return
    message = (
        f"the data changed since the model was trained (found {dataset.sha256}, trained on {trained_on}):"
        " change spec.data.version, which trains again, or with model.artifact name the data and settings that it was"
        " trained with"
    )
    raise DataError("DataChanged", message, field="spec.data.version")


def _check_same_preprocessing(parent: Artifact, dataset: Dataset) -> None:
    """The parent's preprocessing is what serves, so the model must be judged on what that makes of the rows."""
    trained = _preprocessing(parent, type(dataset.preprocessing))
    if document_bytes(trained) == document_bytes(dataset.preprocessing):
        return
    raise _otherwise("read")


def _check_same_sides(parent: Artifact, divided: Divided) -> None:
    """Texts are read alike whatever their sides are, and so may tables be, but no row that was learned from may judge.

    An artifact of before there was such a digest says nothing of them.
    """
    if parent.manifest.sides not in (None, sides_of(divided)):
        raise _otherwise("divided or weighed")


def _otherwise(done: str) -> DataError:
    message = (
        f"the same data is now {done} otherwise than when the model was trained, by another release or other settings:"
        " change spec.data.version, which trains again, or with model.artifact name the data and settings that it was"
        " trained with"
    )
    return DataError("DataChanged", message, field="spec.data.version")
