"""Subjects of reports: a table, and a model that is a plain function."""

from collections.abc import Callable

import numpy as np

from modelservice.contract.data import Data, Format
from modelservice.contract.task import Task
from modelservice.modalities.base import Features
from modelservice.modalities.dataset import divide_rows, encode
from modelservice.modalities.sources import read_source
from modelservice.reports.subject import Subject, all_columns
from modelservice.tasks.base import Array
from modelservice.tasks.metrics_document import MetricsDocument, calibration, confusion_matrix


def by_first_feature(features: Features) -> Array:
    """Two classes told by the sign of the first number of a row."""
    positive = 1 / (1 + np.exp(-4 * features[:, 0]))
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def subject_of(
    rows: list[str],
    *,
    header: str,
    predict: Callable[[Features], Array] = by_first_feature,
    task: Task | None = None,
    seed: int = 0,
) -> Subject:
    """What a model is for a table whose target is y."""
    settings = Data.model_validate({"configMap": {"name": "d"}, "target": "y"})
    divided = divide_rows(read_source("\n".join([header, *rows]).encode(), format=Format.CSV), settings, task)
    dataset = encode(divided, divided.split)
    raw = predict(dataset.test.features)
    scores = dataset.task.score(raw, dataset.test.values, dataset.labels)
    metrics = MetricsDocument(
        train=scores.evaluation,
        test=scores.evaluation,
        confusion_matrix=confusion_matrix(scores, dataset.labels),
        calibration=calibration(scores),
    )
    return Subject(
        dataset=dataset,
        columns=all_columns(divided, dataset),
        metrics=metrics,
        raw=raw,
        predict=predict,
        seed=seed,
    )
