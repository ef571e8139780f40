"""What is learned from: a source after ``spec.data`` and ``spec.task`` were applied to it."""

from modelservice.contract.data import Data
from modelservice.contract.task import Task as AskedTask
from modelservice.modalities.base import Dataset, Source


def build_dataset(source: Source, data: Data, task: AskedTask | None = None) -> Dataset:
    """Choose the task, read the target, divide the rows, measure the preprocessing on training rows, and encode.

    Args:
        source: the data.
        data: ``spec.data``.
        task: ``spec.task``, or None to infer it from the target.

    Raises:
        DataError: the data does not hold what ``spec.data`` says, or nothing can be learned from it.
    """
    raise NotImplementedError(source, data, task)
