"""Fits draws of all sets: ``python -m tests.bench.fewshot``.

It goes on where it was stopped, and ends with the tables of ``recompute``: with 1 if a limit does not hold, 3 if draws
are missing.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.bench.fewshot.embedding import embedded
from tests.bench.fewshot.fitting import SEEDS, DrawName, is_fitted, timed_fit
from tests.bench.fewshot.places import PACKAGES, REQUIREMENTS, STORED
from tests.bench.fewshot.recompute import main as recompute
from tests.bench.fewshot.sets import SETS, Set, set_named
from tests.bench.quality.packages import PackageError, unpack
from tests.bench.side_by_side import work_through


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.fewshot", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="no draw begins after them (default 60)")
    parser.add_argument("--processes", type=int, default=2, help="draws at a time, a thread each (default 2)")
    parser.add_argument("--set", action="append", choices=[one.name for one in SETS], help="this one only; repeatable")
    parser.add_argument("--report", action="store_true", help="fit nothing: report what is stored")
    parser.add_argument("--readme", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    complete = True
    if not arguments.report:
        chosen = [one for one in SETS if one.name in (arguments.set or [one.name])]
        try:
            complete = fit_all(chosen, processes=arguments.processes, seconds=60 * arguments.minutes)
        except PackageError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    code = recompute(readme=arguments.readme)
    if not complete:
        sys.stderr.write("the time is over and draws are missing: run the bench again, it goes on\n")
        return 3
    return code


def fit_all(chosen: Sequence[Set], *, processes: int, seconds: float) -> bool:
    """Fit what is not stored yet, the first draw of all sets first; whether nothing is missing."""
    names = [DrawName(set=one.name, seed=seed) for seed in SEEDS for one in chosen]
    missing = [name for name in names if not is_fitted(set_named(name.set), name, STORED)]
    if missing:
        unpack(REQUIREMENTS, PACKAGES)
    for one in chosen:
        # Before the draws, which would each read the same rows beside one another.
        if any(name.set == one.name for name in missing):
            embedded(one, one.rows())
    return not work_through(missing, timed_fit, processes=processes, seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
