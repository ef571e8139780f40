"""Who learns from a handful of rows: heads on a frozen encoder, the same or tf-idf on raw rows, and networks.

Nobody is tuned. Heads and networks are the product's, with its defaults but for the steps of the networks: as many
passes as defaults have would be a dozen steps over so few rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression as ScikitLogistic
from sklearn.pipeline import make_pipeline
from tests.bench.compression.rows import dataset_of
from tests.bench.fewshot.embedding import Numbers
from tests.bench.fewshot.sets import MOST, Codes, Rows

from modelservice.contract.augmentation import Augmentation, Crop, Rotate
from modelservice.contract.estimators import LogisticRegression, SupportVectorMachine
from modelservice.contract.networks import ConvolutionalNetwork, Transformer
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import Family
from modelservice.families.cnn import Cnn
from modelservice.families.encoder import Scaling
from modelservice.families.logistic import Logistic
from modelservice.families.svm import Svm
from modelservice.families.transformer import USUAL, TransformerEncoder
from modelservice.modalities.base import Dataset
from modelservice.modalities.text.preprocessing import TextPreprocessing
from modelservice.modalities.tokens import Tokens, train_tokenizer

SIZES: Final = (8, 16, 32, MOST)
"""Examples of a class; the fewer are the first of the more."""
_OF_LIMITS: Final = (16, MOST)
_VALIDATED: Final = 5
"""One of so many rows of a class, and one at least, chooses the epoch of a network."""
_EPOCHS, _BATCH = 20, 32
_STEPS: Final = {"transformer": 400, "cnn": 1000}
"""Of a network at least. A transformer takes its time: 1,000 steps over 128 tokens were 1 to 2 points better on a draw
of reuters."""
_TOKENS: Final = 64
"""Of a text that a network from scratch reads; the encoder reads twice as many."""
_VOCABULARY: Final = 8192
_MEAN: Final = 127.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What a candidate is given.

    Attributes:
        rows: all of the set.
        numbers: what the encoder made of them [rows, width].
        learned: places [classes, examples].
        tested: places.
        seed: of initial weights and order.
    """

    rows: Rows
    numbers: Numbers
    learned: Codes
    tested: Codes
    seed: int

    @property
    def sides(self) -> tuple[Codes, Codes, Codes]:
        """Training, validation and test rows; who chooses no epoch learns from the first two."""
        held = max(1, self.learned.shape[1] // _VALIDATED)
        return self.learned[:, held:].ravel(), self.learned[:, :held].ravel(), self.tested

    def dataset(self, features: Numbers) -> Dataset:
        """The rows as these features."""
        return dataset_of(features, self.rows.labels, self.rows.classes, self.sides)


Fit = Callable[[Task], Codes]
"""Learns, and gives the class codes of the tested rows."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of them.

    Attributes:
        name: in the table.
        encoded: whether it is a head on the encoder.
        fit: learns and predicts.
        sizes: examples of a class that it learns from; all, but of who takes half a minute for each fit.
    """

    name: str
    encoded: bool
    fit: Fit
    sizes: tuple[int, ...] = SIZES


def _fitted(family: Family, settings: Any, dataset: Dataset, training: Hyperparameters) -> Codes:
    fitted = family.fit(settings, dataset, training, observe=lambda _: None)
    return np.asarray(fitted.predict(dataset.test.features).argmax(axis=1))


def head(family: Family, settings: Any, features: Callable[[Task], Numbers]) -> Fit:
    """A family on numbers, which are scaled as those of an encoder are."""

    def fit(task: Task) -> Codes:
        numbers = features(task)
        scaling = Scaling.of(numbers[task.learned.ravel()])
        return _fitted(family, settings, task.dataset(scaling(numbers)), Hyperparameters(seed=task.seed))

    return fit


def encoded(task: Task) -> Numbers:
    return task.numbers


def _pixels(task: Task) -> Numbers:
    images = task.rows.inputs
    return np.asarray(images.reshape(len(images), -1), np.float32)


def _tf_idf(task: Task) -> Codes:
    """Words and pairs of them, logarithms of their counts, and little of a penalty: what is usual for few texts."""
    places = task.learned.ravel()
    texts = task.rows.inputs
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    pipeline = make_pipeline(words, ScikitLogistic(C=10, max_iter=1000))
    pipeline.fit([texts[place] for place in places], task.rows.labels[places])
    return np.asarray(pipeline.predict([texts[place] for place in task.tested]))


def _stepped(task: Task, family: Family, training: Hyperparameters) -> Hyperparameters:
    rows = len(task.sides[0])
    return training.model_copy(
        update={
            "epochs": max(_EPOCHS, -(-_STEPS[family.name] // -(-rows // _BATCH))),
            "batch_size": _BATCH,
            "seed": task.seed,
        }
    )


def _transformer(task: Task) -> Codes:
    places = np.concatenate(task.sides[:2])
    tokenizer = train_tokenizer((task.rows.inputs[place] for place in places), vocabulary=_VOCABULARY)
    tokens = Tokens(tokenizer, max_length=_TOKENS)
    preprocessing = TextPreprocessing(
        name="text", max_length=_TOKENS, vocabulary=tokens.vocabulary, tokenizer=tokenizer
    )
    dataset = replace(task.dataset(tokens.encode(task.rows.inputs)), modality="Text", preprocessing=preprocessing)
    family = TransformerEncoder()
    return _fitted(family, Transformer(), dataset, _stepped(task, family, USUAL))


def _cnn(task: Task) -> Codes:
    images = np.asarray(task.rows.inputs, np.float32) / _MEAN - 1
    pixels = max(1, images.shape[-1] // 14)
    moved = Augmentation(rotate=Rotate(degrees=10), crop=Crop(pixels=pixels))
    family = Cnn()
    training = _stepped(task, family, USUAL.model_copy(update={"augmentation": moved}))
    return _fitted(family, ConvolutionalNetwork(), task.dataset(images), training)


_HEADS: Final = (("logistic", Logistic(), LogisticRegression()), ("svm", Svm(), SupportVectorMachine()))
_ENCODED: Final = tuple(
    Candidate(name=f"encoder, {name}", encoded=True, fit=head(family, settings, encoded))
    for name, family, settings in _HEADS
)
OF_TEXTS: Final = (
    *_ENCODED,
    Candidate(name="tf-idf, logistic", encoded=False, fit=_tf_idf),
    Candidate(name="transformer from scratch", encoded=False, fit=_transformer, sizes=_OF_LIMITS),
)
OF_IMAGES: Final = (
    *_ENCODED,
    *(
        Candidate(name=f"pixels, {name}", encoded=False, fit=head(family, settings, _pixels))
        for name, family, settings in _HEADS
    ),
    Candidate(name="cnn from scratch", encoded=False, fit=_cnn),
)


def candidates_of(*, texts: bool) -> Sequence[Candidate]:
    """Those of a set of texts, or of images."""
    return OF_TEXTS if texts else OF_IMAGES
