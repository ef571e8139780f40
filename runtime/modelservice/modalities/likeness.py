"""Whether a model that was trained before reads the rows that are learned from now."""

from modelservice.contract.signature import InputColumn, Signature
from modelservice.modalities.base import Dataset


def difference(before: Signature, dataset: Dataset, *, categories: bool) -> str | None:
    """In what a model's rows or answers are others than the dataset's; None where they are the same.

    Args:
        before: of the model.
        dataset: what is learned now.
        categories: whether the categories of columns have to be the same, too.

    Returns:
        The end of a sentence about the model.
    """
    if before.modality != dataset.modality:
        return f"reads {before.modality}, and the data is {dataset.modality}"
    learned, now = (
        [(*one.wire, one.categories if categories and isinstance(one, InputColumn) else ()) for one in inputs]
        for inputs in (before.inputs, dataset.inputs)
    )
    if learned != now:
        place = next(
            (at for at, pair in enumerate(zip(learned, now, strict=False)) if pair[0] != pair[1]), len(now) - 1
        )
        found = learned[min(place, len(learned) - 1)]
        return (
            f"has other inputs: {found[0]} ({found[1]}) where {now[place][0]} ({now[place][1]}) is now, or others of it"
        )
    if before.labels != dataset.labels:
        return f"tells {', '.join(before.labels)[:200] or 'a number'} apart, not {', '.join(dataset.labels)[:200]}"
    return None
