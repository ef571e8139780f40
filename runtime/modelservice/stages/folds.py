"""Cross-validation of a training: what models like it come to, each on rows that it did not see."""

from collections.abc import Callable, Iterator, Sequence
from statistics import mean, stdev

from modelservice.contract.evaluation import Evaluation
from modelservice.contract.split import Split as Shares
from modelservice.families.base import Observer
from modelservice.modalities.base import Dataset
from modelservice.modalities.dataset import Divided, encode
from modelservice.modalities.folds import deal_folds
from modelservice.modalities.split import Split
from modelservice.tasks.metrics_document import CrossValidation, FoldMetric

Tested = Callable[[Dataset, Observer, int], Evaluation]
"""Trains on a dataset as the stage does, and scores what will be served on its test rows; folds count from 1."""


def fold_splits(divided: Divided, shares: Shares) -> list[Split]:
    """The sides of each fold that ``spec.data.split`` asks for, none where it asks for no folds.

    Raises:
        DataError: there are too few rows for so many folds.
    """
    if shares.folds is None or divided.keys is None:
        return []
    return deal_folds(divided.keys, divided.target, shares, folds=shares.folds)


def cross_validate(
    divided: Divided, folds: Sequence[Split], tested: Tested, observers: Sequence[Observer]
) -> CrossValidation | None:
    """Train and test once for each fold; the preprocessing is measured anew on the training rows of each.

    Args:
        divided: all rows.
        folds: their sides; None comes back where there are none.
        tested: trains and tests.
        observers: are told of the progress of each fold.

    Raises:
        DataError: the rows of a fold cannot be encoded.
        StageError: see ``Family.fit``.
    """
    if not folds:
        return None
    pairs = enumerate(zip(folds, observers, strict=True), start=1)
    return summarize([tested(encode(divided, split), told, number) for number, (split, told) in pairs])


def summarize(found: Sequence[Evaluation]) -> CrossValidation:
    """Means and deviations of two or more evaluations; a metric that only one of them has has no deviation, so none."""
    names = dict.fromkeys(metric.name for one in found for metric in one.metrics)
    return CrossValidation(folds=len(found), metrics=tuple(_summaries(names, found)))


def sentence(validated: CrossValidation, primary: str) -> str:
    """What is said of it."""
    metric = next(one for one in validated.metrics if one.name == primary)
    return (
        f"{validated.folds} folds: {primary} {metric.mean:.3g}, deviation {metric.deviation:.2g}; the model that is"
        " stored is that of the split"
    )


def _summaries(names: dict[str, None], found: Sequence[Evaluation]) -> Iterator[FoldMetric]:
    for name in names:
        values = [metric.value for one in found if (metric := one.metric(name)) is not None]
        if len(values) > 1:
            yield FoldMetric(name=name, mean=mean(values), deviation=stdev(values))
