"""The metrics that a spec may name, and which way is better."""

from enum import StrEnum
from typing import Final


class KnownMetric(StrEnum):
    """The metrics of all tasks, by their names."""

    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balancedAccuracy"
    PRECISION = "precision"
    RECALL = "recall"
    F1 = "f1"
    PRECISION_WEIGHTED = "precisionWeighted"
    RECALL_WEIGHTED = "recallWeighted"
    F1_WEIGHTED = "f1Weighted"
    PRECISION_POSITIVE = "precisionPositive"
    RECALL_POSITIVE = "recallPositive"
    F1_POSITIVE = "f1Positive"
    ROC_AUC = "rocAuc"
    AVERAGE_PRECISION = "averagePrecision"
    LOG_LOSS = "logLoss"
    BRIER = "brier"
    CALIBRATION_ERROR = "calibrationError"
    R2 = "r2"
    RMSE = "rmse"
    MAE = "mae"


LOWER_IS_BETTER: Final = frozenset(
    {
        KnownMetric.LOG_LOSS,
        KnownMetric.BRIER,
        KnownMetric.CALIBRATION_ERROR,
        KnownMetric.RMSE,
        KnownMetric.MAE,
    }
)
"""Of all others more is better."""
