"""The tables from stored predictions and files alone: ``python -m tests.bench.compression.recompute``.

Nothing of the fits is read but the classes that models said of each row, and sizes; nothing of the package computes
here. Ends with 1 if a limit does not hold, or a subject has no fold.
"""

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tests.bench.compression.fitting import BEFORE, SCRATCH, keys_of
from tests.bench.compression.forms import forms_table
from tests.bench.compression.latency import BATCHES, read_latencies
from tests.bench.compression.rows import FOLDS, STORED
from tests.bench.compression.subjects import RATIO, SUBJECTS, Subject
from tests.bench.record import BENCHMARKS, Figure, at_least, at_most, figure, record, replace_block

_Z: Final = 1.959964
_LESS_BYTES: Final = 40
_BATCH: Final = BATCHES[-1]

Hits = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the folds of a subject came to: of each model whether it was right, row by row, and its sizes by fold."""

    subject: Subject
    folds: int
    hits: Mapping[str, Hits]
    sizes: Sequence[Mapping[str, Mapping[str, int]]]

    @property
    def made(self) -> str:
        """The model that the bench is about."""
        return keys_of(self.subject)[1]

    def times(self, size: str) -> float:
        """How many times smaller the made model is, at least."""
        return min(one[BEFORE][size] / one[self.made][size] for one in self.sizes)


def main(*, readme: bool = False) -> int:
    """Print the tables and say whether all limits hold.

    Args:
        readme: whether to put them into docs/benchmarks.md.
    """
    standings = [found for subject in SUBJECTS if (found := standing(subject, STORED)) is not None]
    tables = "\n\n".join(filter(None, (markdown(standings), forms_table(STORED))))
    sys.stdout.write(f"{tables}\n\n")
    measured = read_latencies(STORED)
    figures = [one for found in standings for one in limits(found, measured.get(found.subject.name, {}))]
    counts = ", ".join(
        f"{found.subject.name} {found.folds} of {FOLDS * len(found.subject.seeds)}" for found in standings
    )
    caption = f"folds that were fitted: {counts}"
    if readme:
        BENCHMARKS.write_text(
            replace_block(BENCHMARKS.read_text(encoding="utf-8"), "compression-tables", tables), encoding="utf-8"
        )
    code = record("compression", figures, caption=caption, readme=readme)
    return code or int(len(standings) < len(SUBJECTS))


def standing(subject: Subject, folder: Path) -> Standing | None:
    """Of the folds that are stored; None where there is none."""
    places = sorted((folder / subject.name).glob("*-*.json"))
    if not places:
        return None
    told: list[dict[str, Any]] = [json.loads(place.read_text(encoding="utf-8")) for place in places]
    return Standing(
        subject=subject,
        folds=len(places),
        hits={key: _right(places, key) for key in keys_of(subject)},
        sizes=[one["sizes"] for one in told],
    )


def markdown(standings: Sequence[Standing]) -> str:
    """A row for each model of each subject."""
    head = (
        "Accuracy over all test rows of all folds, and what is lost to the uncompressed model, in points. Parameters"
        " and bytes are medians over folds; all but the uncompressed model are served with 8 bits.",
        "",
        "| rows and family | model | folds | predictions | parameters | bytes | accuracy | lost | 95 % interval |",
        "|:--|:--|--:|--:|--:|--:|--:|--:|--:|",
    )
    return "\n".join([*head, *(line for found in standings for line in _lines(found))])


def _lines(found: Standing) -> list[str]:
    lines = []
    for key, hits in found.hits.items():
        parameters, content = (
            statistics.median(one[key][name] for one in found.sizes) for name in ("parameters", "bytes")
        )
        lost, low, high = (100 * value for value in paired(found.hits[BEFORE], hits))
        cells = (
            found.subject.name,
            key,
            str(found.folds),
            f"{len(hits):,}",
            f"{parameters:,.0f}",
            f"{content:,.0f}",
            f"{100 * hits.mean():.2f}",
            "" if key == BEFORE else f"{lost:.2f}",
            "" if key == BEFORE else f"{low:.2f} to {high:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def limits(found: Standing, latencies: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    """What is asked of a subject.

    Args:
        found: its folds.
        latencies: seconds of a call by batch and model; empty where nobody measured them.
    """
    subject, name, made = found.subject, found.subject.name, found.made
    upper = 100 * paired(found.hits[BEFORE], found.hits[made])[2]
    figures = [at_most(f"{name}: lost, upper end of the 95 % interval", upper, "points", 100 * subject.budget)]
    if subject.student is None:
        figures += [
            at_least(f"{name}: fewer parameters, every fold", found.times("parameters"), "x", RATIO),
            at_least(f"{name}: fewer bytes, every fold", found.times("bytes"), "x", _LESS_BYTES),
        ]
    else:
        figures.append(figure(f"{name}: fewer bytes, every fold", found.times("bytes"), "x"))
    if subject.beats_scratch:
        gained = 100 * float(found.hits[made].mean() - found.hits[SCRATCH].mean())
        figures.append(at_least(f"{name}: better than from scratch", gained, "points", 0))
    for batch, seconds in latencies.items():
        faster, words = seconds[BEFORE] / seconds[made], f"{name}: rows per second at batch {batch}"
        if subject.faster is not None and int(batch) == _BATCH:
            figures.append(at_least(words, faster, "x", subject.faster))
        else:
            figures.append(figure(words, faster, "x"))
    return figures


def paired(before: Hits, after: Hits) -> tuple[float, float, float]:
    """What is lost on the mean, with its paired 95 % interval: Wald's, half a row added to each of the four cells.

    (Agresti and Min, 2005: of few rows that differ nowhere it does not say that nothing can be lost.) Rows are counted
    once for each seed, which makes the interval narrower than as many new rows would; the number of seeds is fixed.
    """
    worse, better = (int(np.count_nonzero(one & ~other)) for one, other in ((before, after), (after, before)))
    rows = len(before) + 2
    mean = (worse - better) / rows
    room = _Z * math.sqrt((worse + better + 1) / rows - mean**2) / math.sqrt(rows)
    return (worse - better) / len(before), mean - room, mean + room


def _right(places: list[Path], key: str) -> Hits:
    found = []
    for place in places:
        with np.load(place.with_suffix(".npz"), allow_pickle=False) as arrays:
            found.append(arrays[f"model {key}"] == arrays["truth"])
    return np.concatenate(found)


if __name__ == "__main__":
    sys.exit(main())
