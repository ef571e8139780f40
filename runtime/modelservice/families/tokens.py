"""What families over tokens ask of a dataset."""

from modelservice.modalities.base import Dataset
from modelservice.modalities.text.preprocessing import TextPreprocessing


def vocabulary_of(dataset: Dataset) -> int:
    """Different tokens that its texts may hold, from 1 on."""
    preprocessing = dataset.preprocessing
    assert isinstance(preprocessing, TextPreprocessing)  # noqa: S101 - Family.unsuited lets nothing else through
    return preprocessing.vocabulary
