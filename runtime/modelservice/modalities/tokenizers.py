"""The tokenizer that a stored model reads texts with."""

from modelservice.artifact.load import Artifact
from modelservice.contract.data import Data
from modelservice.contract.manifest import PREPROCESSING_FILE
from modelservice.modalities.table.kinds.encoded import EncodedPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.modalities.text.preprocessing import TextPreprocessing


def tokenizer_of(artifact: Artifact, data: Data) -> str | None:
    """The tokenizer that it was trained with, which an encoder may have brought; None where none reads.

    Raises:
        ArtifactError: it was trained on what is no text, or by a newer release.
    """
    if data.text is not None:
        return artifact.document(PREPROCESSING_FILE, TextPreprocessing).tokenizer
    if data.encoder is None:
        return None
    columns = artifact.document(PREPROCESSING_FILE, TablePreprocessing).columns
    return next((one.tokenizer for one in columns if isinstance(one, EncodedPreprocessing)), None)
