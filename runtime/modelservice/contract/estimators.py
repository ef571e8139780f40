"""Families of ``spec.model`` that are fitted as a whole: linear models, kernels and trees."""

from enum import StrEnum

from pydantic import Field

from modelservice.contract.base import Contract


class Kernel(StrEnum):
    """Kernel of a support vector machine."""

    LINEAR = "Linear"
    RBF = "RBF"


class LogisticRegression(Contract):
    """Logistic regression with an L2 penalty (scikit-learn)."""

    c: float = Field(
        default=1.0, gt=0, le=1e6, description="Inverse strength of the penalty. Default 1. A change trains again."
    )


class SupportVectorMachine(Contract):
    """A support vector machine (scikit-learn); classes get probabilities by cross-validated calibration."""

    kernel: Kernel = Field(default=Kernel.RBF, description="Linear or RBF. Default RBF. A change trains again.")
    c: float = Field(
        default=1.0, gt=0, le=1e6, description="Inverse strength of the penalty. Default 1. A change trains again."
    )
    gamma: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Width of the RBF kernel, exp(-gamma d^2). Default: 1 / (features x variance of the features)."
        " A change trains again.",
    )


class DecisionTree(Contract):
    """A decision tree (CART, scikit-learn)."""

    max_depth: int | None = Field(
        default=None, ge=1, le=64, description="Most levels. Default: until leaves are pure. A change trains again."
    )
    min_samples_leaf: int = Field(
        default=1, ge=1, le=1_000_000, description="Fewest rows of a leaf. Default 1. A change trains again."
    )


class RandomForest(Contract):
    """A random forest (Breiman, 2001; scikit-learn)."""

    trees: int = Field(default=200, ge=1, le=2000, description="Number of trees. Default 200. A change trains again.")
    max_depth: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Most levels of a tree. Default: until leaves are pure. A change trains again.",
    )
    min_samples_leaf: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Fewest rows of a leaf. Default: 1; of 200 trees one more for each further 5000 rows, so that the"
        " forest is not too large to be served. A change trains again.",
    )
    max_features: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the features, drawn anew for each split, that it may look at. Default: the square root of"
        " their number for classes, a third of them for numbers. A change trains again.",
    )


class GradientBoosting(Contract):
    """Gradient boosting of trees over histograms (Friedman, 2001; scikit-learn)."""

    rounds: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Rounds, each a tree for each class. Default: where the loss on rows that are held back is least,"
        " at most 1000. A change trains again.",
    )
    learning_rate: float = Field(
        default=0.05, gt=0, le=1, description="Share of each tree that counts. Default 0.05. A change trains again."
    )
    max_leaves: int | None = Field(
        default=None,
        ge=2,
        le=1024,
        description="Most leaves of a tree. Default: 5, or 31 with more than 5000 rows. A change trains again.",
    )
    min_samples_leaf: int = Field(
        default=5, ge=1, le=1_000_000, description="Fewest rows of a leaf. Default 5. A change trains again."
    )


class KernelRidge(Contract):
    """Kernel ridge regression with an RBF kernel, in closed form; classes get probabilities by a temperature."""

    gamma: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Width of the RBF kernel, exp(-gamma d^2), over robustly scaled features. Default: chosen by"
        " leave-one-out. A change trains again.",
    )
    penalty: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Weight of the L2 penalty. Default: chosen by leave-one-out. A change trains again.",
    )
    landmarks: int = Field(
        default=1000,
        ge=10,
        le=2000,
        description="Rows that stand for all where there are more than 2000 (Nystroem). Default 1000. A change trains"
        " again.",
    )
