"""The tables from stored predictions alone: ``python -m tests.bench.fewshot.recompute``.

Nothing of the package computes here. Ends with 1 if a limit does not hold, or a set has no draw.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from tests.bench.fewshot.candidates import SIZES, Candidate, candidates_of
from tests.bench.fewshot.fitting import SEEDS, DrawName, key_of
from tests.bench.fewshot.places import STORED
from tests.bench.fewshot.sets import MOST, SETS, Set
from tests.bench.record import BENCHMARKS, Figure, at_least, figure, record, replace_block

_FEW: Final = 16
_LEAST_SHARE: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the draws of a set came to.

    Attributes:
        of: the set.
        draws: how many.
        predictions: rows that were tested, over all draws.
        right: share of them that a candidate was right on, for each draw, by size and name.
    """

    of: Set
    draws: int
    predictions: int
    right: Mapping[tuple[int, str], Sequence[float]]

    def mean(self, size: int, name: str) -> float:
        """Over the draws, in points."""
        return 100 * float(np.mean(self.right[size, name]))

    def best(self, size: int, *, encoded: bool) -> str:
        """The head on the encoder, or the one without, that is best after so many examples, in hindsight."""
        every = candidates_of(texts=self.of.texts)
        names = [one.name for one in every if one.encoded is encoded and size in one.sizes]
        return max(names, key=lambda name: self.mean(size, name))


def main(*, readme: bool = False) -> int:
    """Print the tables and say whether all limits hold.

    Args:
        readme: whether to put them into docs/benchmarks.md.
    """
    standings = [found for one in SETS if (found := standing(one, STORED)) is not None]
    tables = markdown(standings)
    sys.stdout.write(f"{tables}\n\n")
    caption = f"draws that were fitted: {', '.join(f'{one.of.name} {one.draws} of {len(SEEDS)}' for one in standings)}"
    if readme:
        text = replace_block(BENCHMARKS.read_text(encoding="utf-8"), "fewshot-tables", tables)
        BENCHMARKS.write_text(text, encoding="utf-8")
    code = record("fewshot", [one for found in standings for one in limits(found)], caption=caption, readme=readme)
    return code or int(len(standings) < len(SETS))


def standing(one: Set, folder: Path) -> Standing | None:
    """Of the draws that are stored; None where there is none."""
    places = [place for seed in SEEDS if (place := DrawName(set=one.name, seed=seed).place(folder)).exists()]
    if not places:
        return None
    keys = [(size, candidate.name) for candidate in candidates_of(texts=one.texts) for size in candidate.sizes]
    right: dict[tuple[int, str], list[float]] = {key: [] for key in keys}
    predictions = 0
    for place in places:
        with np.load(place, allow_pickle=False) as arrays:
            truth = arrays["truth"]
            predictions += len(truth)
            for size, name in keys:
                right[size, name].append(float((arrays[key_of(size, name)] == truth).mean()))
    return Standing(of=one, draws=len(places), predictions=predictions, right=right)


def markdown(standings: Sequence[Standing]) -> str:
    """A row for each candidate of each set, then what an encoder was worth on each."""
    sizes = "".join(f" {size} of a class |" for size in SIZES)
    lines = [
        "Accuracy in points over the tested rows, mean and standard deviation over draws.",
        "",
        f"| set | candidate | predictions |{sizes}",
        f"|:--|:--|--:|{'--:|' * len(SIZES)}",
        *(line for found in standings for line in _lines(found)),
        "",
        "What an encoder was worth: the better of its two heads, minus the best without it, in points.",
        "",
        f"| set | tells apart | expected to be worth having |{sizes} worth having |",
        f"|:--|:--|:--|{'--:|' * len(SIZES)}:--|",
        *(_worth(found) for found in standings),
    ]
    return "\n".join(lines)


def _lines(found: Standing) -> list[str]:
    lines = []
    for candidate in candidates_of(texts=found.of.texts):
        spreads = (_spread(found, candidate, size) for size in SIZES)
        lines.append(f"| {' | '.join([found.of.name, candidate.name, f'{found.predictions:,}', *spreads])} |")
    return lines


def _spread(found: Standing, candidate: Candidate, size: int) -> str:
    if size not in candidate.sizes:
        return "-"
    return f"{found.mean(size, candidate.name):.1f} ± {100 * np.std(found.right[size, candidate.name]):.1f}"


def _worth(found: Standing) -> str:
    gains = [gained(found, size) for size in SIZES]
    won = [size for size, gain in zip(SIZES, gains, strict=True) if gain > 0]
    verdict = "yes" if len(won) == len(SIZES) else f"with {', '.join(map(str, won))} of a class only" if won else "no"
    cells = (found.of.name, found.of.what, "yes" if found.of.worth else "no", *(f"{gain:+.1f}" for gain in gains))
    return f"| {' | '.join([*cells, verdict])} |"


def gained(found: Standing, size: int) -> float:
    """By an encoder, in points."""
    best, other = (found.mean(size, found.best(size, encoded=encoded)) for encoded in (True, False))
    return best - other


def limits(found: Standing) -> list[Figure]:
    """What is asked of a set on which an encoder was expected to be worth having; of others the same is only said."""
    name, figures = found.of.name, []
    for head in (one.name for one in candidates_of(texts=found.of.texts) if one.encoded):
        share = found.mean(_FEW, head) / found.mean(MOST, head)
        words = f"{name}: {head}, {_FEW} examples of a class by {MOST}"
        figures.append(
            at_least(words, share, "ratio", _LEAST_SHARE) if found.of.worth else figure(words, share, "ratio")
        )
    for size in (_FEW, MOST):
        words = f"{name}: better than without an encoder, {size} examples of a class"
        gain = gained(found, size)
        figures.append(at_least(words, gain, "points", 0) if found.of.worth else figure(words, gain, "points"))
    return figures


if __name__ == "__main__":
    sys.exit(main())
