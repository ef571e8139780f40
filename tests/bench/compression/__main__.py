"""Compresses models fold by fold: ``python -m tests.bench.compression``.

It goes on where it was stopped, and ends with the tables of ``recompute``: with 1 if a limit does not hold, 3 if folds
are missing.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.bench.compression.fitting import FoldName, timed_fit
from tests.bench.compression.fonts import fetched
from tests.bench.compression.forms import measure_forms
from tests.bench.compression.latency import measure_latencies
from tests.bench.compression.recompute import main as recompute
from tests.bench.compression.rows import FOLDS, HOME, STORED, glyphs
from tests.bench.compression.subjects import SEEDS, SUBJECTS, Subject, subject_named
from tests.bench.side_by_side import work_through


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.compression", description=__doc__)
    parser.add_argument("--minutes", type=float, default=110, help="no fold begins after them (default 110)")
    parser.add_argument("--processes", type=int, default=2, help="folds at a time, a thread each (default 2)")
    names = [one.name for one in SUBJECTS]
    parser.add_argument("--subject", action="append", choices=names, help="fit this one only; may be repeated")
    parser.add_argument("--report", action="store_true", help="fit nothing: report what is stored")
    parser.add_argument("--latency", action="store_true", help="fit nothing: measure the speed of what is stored")
    parser.add_argument("--readme", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    complete = True
    if not (arguments.report or arguments.latency):
        chosen = [one for one in SUBJECTS if one.name in (arguments.subject or [one.name])]
        complete = fit_all(chosen, processes=arguments.processes, seconds=60 * arguments.minutes)
    if arguments.latency or not (arguments.report or (STORED / "latency.json").exists()):
        measure_latencies(HOME, STORED)
        measure_forms(HOME, STORED)
    code = recompute(readme=arguments.readme)
    if not complete:
        sys.stderr.write("the time is over and folds are missing: run the bench again, it goes on\n")
        return 3
    return code


def fit_all(chosen: Sequence[Subject], *, processes: int, seconds: float) -> bool:
    """Fit what is not stored yet, the first seed of all subjects first; whether nothing is missing."""
    names = [
        FoldName(subject=subject.name, seed=seed, fold=fold)
        for seed in SEEDS
        for fold in range(FOLDS)
        for subject in chosen
        if seed in subject.seeds
    ]
    missing = [name for name in names if not name.place(STORED).exists()]
    if any(subject_named(name.subject).rows is glyphs for name in missing):
        fetched(HOME / "fonts")
    return not work_through(missing, timed_fit, processes=processes, seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
