"""Fits tables again and again, and compares ours with scikit-learn's: ``python -m tests.bench.quality``.

It goes on where it was stopped. Ends with 1 if a limit does not hold, 3 if fits are missing.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.bench.quality import gluon
from tests.bench.quality.candidates import CANDIDATES, RIVALS, candidate_named
from tests.bench.quality.limits import auto_figures, autogluon_figures, mlp_figures, time_figures
from tests.bench.quality.measured import standings_in, write_summary
from tests.bench.quality.packages import PackageError, unpack
from tests.bench.quality.places import PLACES, REPORT, SUMMARY
from tests.bench.quality.prediction import Candidate
from tests.bench.quality.report import markdown
from tests.bench.quality.running import pending, run_all
from tests.bench.quality.store import Store
from tests.bench.quality.summary import Standings, compare
from tests.bench.quality.tables import FIRST_FIVE, SOURCES, Table, load_table, requirements, source_named
from tests.bench.record import BENCHMARKS, Figure, record, replace_block

CAPTION = "means over five folds, five times for iris and wine, twice for the others; each fit in one thread"


def main() -> int:
    """Run the bench."""
    arguments = parsed()
    try:
        sources = [source_named(name) for name in arguments.tables]
        candidates = [candidate_named(name) for name in arguments.candidates]
        unpack(requirements(), PLACES.packages)
        if arguments.autogluon:
            gluon.install()
            candidates = [*candidates, gluon.AUTOGLUON]
    except (KeyError, PackageError, gluon.AutoGluonError) as error:
        sys.stderr.write(f"{error.args[0]}\n")
        return 2
    tables, store = [load_table(source, PLACES.packages) for source in sources], Store(folder=PLACES.fits)
    names = [] if arguments.report else pending(tables, candidates, store)
    left = run_all(names, PLACES, processes=arguments.processes, seconds=60 * arguments.minutes)
    if left:
        sys.stderr.write(f"the time is over, {left} fits are missing: run the bench again, it goes on\n")
        return 3
    return report(readme=arguments.readme)


def parsed() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(prog="tests.bench.quality", description=__doc__)
    parser.add_argument("--tables", nargs="+", default=[source.name for source in SOURCES], metavar="TABLE")
    every = [candidate.name for candidate in CANDIDATES]
    parser.add_argument("--candidates", nargs="+", default=every, metavar="CANDIDATE", help=f"of {', '.join(every)}")
    parser.add_argument("--autogluon", action="store_true", help="AutoGluon too, 60 s a fit; its packages are 7 GB")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each (default 2)")
    parser.add_argument("--minutes", type=float, default=120, help="no fit begins after them (default 120)")
    parser.add_argument("--report", action="store_true", help="fit nothing: report what is stored")
    parser.add_argument("--readme", action="store_true", help="put the tables into docs/benchmarks.md")
    return parser.parse_args()


def report(*, readme: bool) -> int:
    """Print the verdicts on all that is stored, write ``summary.json``, and docs/benchmarks.md where asked for."""
    tables = [load_table(source, PLACES.packages) for source in SOURCES]
    candidates: Sequence[Candidate] = (*CANDIDATES, gluon.AUTOGLUON)
    standings = standings_in(Store(folder=PLACES.fits), tables, candidates)
    figures = verdicts(tables, standings)
    compared = [one for ours in ("auto", "mlp") for one in compare(standings, ours, RIVALS)]
    write_summary(SUMMARY, standings, compared, figures)
    shown = [
        candidate.name
        for candidate in candidates
        if any(standing.complete for standing in standings.values() if standing.candidate == candidate.name)
    ]
    block = markdown(tables, standings, shown, RIVALS)
    REPORT.write_text(f"{block}\n", encoding="utf-8")
    if readme:
        text = replace_block(BENCHMARKS.read_text(encoding="utf-8"), "quality-tables", block)
        BENCHMARKS.write_text(text, encoding="utf-8")
    return record("quality", figures, caption=CAPTION, readme=readme)


def verdicts(tables: Sequence[Table], standings: Standings) -> list[Figure]:
    """All figures with their limits."""
    names = [table.source.name for table in tables]
    return [
        *auto_figures(standings, names, RIVALS),
        *mlp_figures(standings, names, RIVALS, first=FIRST_FIVE),
        *autogluon_figures(standings),
        *time_figures(standings, [candidate.name for candidate in CANDIDATES]),
    ]


if __name__ == "__main__":
    sys.exit(main())
