"""``spec.training.teacher``: what a model that was trained before says of the training and validation rows.

It is asked through its own ``model.onnx`` of the rows as its own preprocessing encodes them, so any family can teach
any other, whatever numbers were scaled by and texts were divided into.
"""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.load import Artifact
from modelservice.contract.documents import DocumentError
from modelservice.contract.failure import DataError, StageError
from modelservice.contract.manifest import PREPROCESSING_FILE
from modelservice.contract.training import Teacher
from modelservice.families.pretrained.folder import ENVIRONMENT
from modelservice.inference.batches import run_batches
from modelservice.inference.engine import Engine
from modelservice.inference.predictor import Predictor
from modelservice.modalities.base import Dataset, Features, Side
from modelservice.modalities.dataset import Divided
from modelservice.modalities.elsewhere import Named, read_elsewhere
from modelservice.modalities.encoders import read_preprocessing
from modelservice.modalities.likeness import difference
from modelservice.tasks import answer_alike

FIELD: Final = "spec.training.teacher"


def taught(teacher: Teacher, divided: Divided, dataset: Dataset) -> Dataset:
    """The dataset with what the teacher says of the rows to learn from.

    Args:
        teacher: which one.
        divided: the rows before they were encoded, all of which are held.
        dataset: the same rows, encoded.

    Raises:
        StorageError: the artifact cannot be read, is another one, or none that can be trusted.
        StageError: it answers another question, reads other inputs, or answers what is no number.
    """
    named = Named(uri=teacher.artifact.uri, digest=teacher.artifact.digest, field=f"{FIELD}.artifact", keys=ENVIRONMENT)
    artifact = read_elsewhere(named)
    before = artifact.signature
    if (why := difference(before, dataset, categories=False)) is not None:
        raise _unsuited(teacher, why)
    if not answer_alike(before.task, dataset.task.name):
        raise _unsuited(teacher, f"answers a {before.task} task, and {dataset.task.name} is learned")
    preprocessing, engine = _opened(teacher, artifact)

    def told(side: Side, rows: NDArray[np.int64]) -> Side:
        if not len(rows):
            return replace(side, told=np.zeros((0, len(dataset.labels) or 1), np.float32))
        return replace(side, told=_answers(teacher, engine, _encoded(teacher, divided, preprocessing, rows)))

    return replace(
        dataset,
        train=told(dataset.train, divided.split.train),
        validation=told(dataset.validation, divided.split.validation),
    )


def _opened(teacher: Teacher, artifact: Artifact) -> tuple[Any, Engine]:
    """How it encodes rows, and what answers them, as many numbers of each as its signature says."""
    try:
        preprocessing = read_preprocessing(artifact.signature.modality, artifact.content(PREPROCESSING_FILE))
        return preprocessing, Predictor.from_artifact(artifact).engine
    except (DocumentError, ArtifactError) as error:
        raise _unsuited(teacher, f"cannot be used here: {error}") from None


def _encoded(teacher: Teacher, divided: Divided, preprocessing: Any, rows: NDArray[np.int64]) -> Features:
    try:
        return divided.examples.encode(preprocessing, rows)
    except DataError as error:
        raise _unsuited(teacher, f"does not read these rows: {error.message}") from None


def _answers(teacher: Teacher, engine: Engine, features: Features) -> Features:
    answers = run_batches(engine.run, features)
    if not np.isfinite(answers).all():
        raise _unsuited(teacher, "answers what is no number to some of the training rows")
    return answers


def _unsuited(teacher: Teacher, why: str) -> StageError:
    message = (
        f"{teacher.artifact.uri} {why}: name an artifact of the same inputs, task and labels, or leave teacher out"
    )
    return StageError("TeacherUnsuited", message, field=f"{FIELD}.artifact")
