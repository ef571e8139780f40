"""Other ways to learn a head from few rows than the product's defaults: ``python -m tests.bench.fewshot.tried``.

On draws of their own (``DRAWS``), so that nothing is chosen on the tested rows of the draws that limits are set on;
of a set as small as these, many rows are in both. ``--readme`` puts the table into docs/benchmarks.md.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from tests.bench.fewshot.candidates import Fit, Task, encoded, head
from tests.bench.fewshot.embedding import Numbers, embedded
from tests.bench.fewshot.sets import MOST, Codes, Rows, Set, set_named
from tests.bench.record import BENCHMARKS, replace_block

from modelservice.contract.estimators import LogisticRegression, SupportVectorMachine
from modelservice.families.encoder import Scaling
from modelservice.families.logistic import Logistic
from modelservice.families.svm import Svm

DRAWS: Final = (100, 101, 102)
SIZES: Final = (16, MOST)
SETS_TRIED: Final = ("newsgroups", "emoji")
"""Those on which the limit is missed."""

Read = Callable[[Set, Rows], Numbers]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way.

    Attributes:
        name: in the table.
        fit: learns and predicts.
        read: makes numbers of the rows, both to learn from and to test.
        sets: where it is tried.
    """

    name: str
    fit: Fit
    read: Read = embedded
    sets: tuple[str, ...] = SETS_TRIED


def _unit(numbers: Numbers) -> Numbers:
    return np.asarray(numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1e-9), np.float32)


def _roots(one: Set, rows: Rows) -> Numbers:
    """Square roots with their signs, on the unit sphere: a few large numbers of a network decide less."""
    numbers = embedded(one, rows)
    return _unit(np.sign(numbers) * np.sqrt(np.abs(numbers)))


def _sphere(one: Set, rows: Rows) -> Numbers:
    return _unit(embedded(one, rows))


def _mirrored(one: Set, rows: Rows) -> Numbers:
    """The mean of a picture's numbers and those of its mirror image."""
    mirror = replace(rows, inputs=np.ascontiguousarray(rows.inputs[..., ::-1]))
    return np.asarray((embedded(one, rows) + embedded(one, mirror)) / 2, np.float32)


def _scaled(task: Task) -> tuple[Numbers, Codes, Numbers]:
    """What is learned from, its classes, and what is tested, as heads see them."""
    places = task.learned.ravel()
    numbers = Scaling.of(task.numbers[places])(task.numbers)
    return numbers[places], task.rows.labels[places], numbers[task.tested]


def _discriminant(task: Task) -> Codes:
    learned, classes, tested = _scaled(task)
    discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(learned, classes)
    return np.asarray(discriminant.predict(tested))


def _nearest_mean(task: Task) -> Codes:
    learned, classes, tested = _scaled(task)
    means = np.stack([learned[classes == code].mean(axis=0) for code in range(len(task.rows.classes))])
    return np.asarray((np.square(means).sum(axis=1) - 2 * tested @ means.T).argmin(axis=1))


def _logistic(c: float = 1.0) -> Fit:
    return head(Logistic(), LogisticRegression(c=c), encoded)


WAYS: Final = (
    Way(name="logistic, as it is", fit=_logistic()),
    Way(name="logistic, c 0.1", fit=_logistic(0.1)),
    Way(name="logistic, c 0.01", fit=_logistic(0.01)),
    Way(
        name="logistic, the first 256 tokens", fit=_logistic(), read=partial(embedded, tokens=256), sets=("newsgroups",)
    ),
    Way(
        name="logistic, c 0.01, the first 256 tokens",
        fit=_logistic(0.01),
        read=partial(embedded, tokens=256),
        sets=("newsgroups",),
    ),
    Way(name="logistic, on the unit sphere", fit=_logistic(), read=_sphere, sets=("emoji",)),
    Way(name="logistic, roots on the unit sphere", fit=_logistic(), read=_roots, sets=("emoji",)),
    Way(name="logistic, mean with the mirror image", fit=_logistic(), read=_mirrored, sets=("emoji",)),
    Way(name="discriminant, covariance shrunk", fit=_discriminant),
    Way(name="nearest mean of a class", fit=_nearest_mean),
    Way(name="svm, as it is", fit=head(Svm(), SupportVectorMachine(), encoded)),
    Way(name="svm, c 10", fit=head(Svm(), SupportVectorMachine(c=10), encoded)),
)


def right(one: Set, rows: Rows, way: Way, size: int) -> float:
    """Points, mean over the draws."""
    numbers, shares = way.read(one, rows), []
    for seed in DRAWS:
        learned, tested = rows.drawn(seed)
        task = Task(rows=rows, numbers=numbers, learned=learned[:, :size], tested=tested, seed=seed)
        shares.append(float((way.fit(task) == rows.labels[tested]).mean()))
    return 100 * float(np.mean(shares))


def lines() -> Iterator[str]:
    """The table, as it is computed."""
    yield "| set | head | 16 of a class | 125 of a class | ratio |"
    yield "|:--|:--|--:|--:|--:|"
    for name in SETS_TRIED:
        one = set_named(name)
        rows = one.rows()
        for way in WAYS:
            if name in way.sets:
                few, many = (right(one, rows, way, size) for size in SIZES)
                yield f"| {name} | {way.name} | {few:.1f} | {many:.1f} | {few / many:.3f} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="tests.bench.fewshot.tried", description=__doc__)
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for line in lines():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        found.append(line)
    if arguments.readme:
        text = replace_block(BENCHMARKS.read_text(encoding="utf-8"), "fewshot-tried", "\n".join(found))
        BENCHMARKS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
