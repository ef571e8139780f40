"""Run the bench: ``python -m tests.bench.quality``."""

import argparse
import sys

from tests.bench.quality.candidates import CANDIDATES, candidate_named
from tests.bench.quality.packages import PackageError, unpack
from tests.bench.quality.running import Places, pending, run_all
from tests.bench.quality.store import Store
from tests.bench.quality.tables import SOURCES, load_table, requirements, source_named
from tests.bench.record import FOLDER

PLACES = Places(packages=FOLDER / "quality" / "packages", fits=FOLDER / "quality" / "fits")


def main() -> int:
    """Make what fits are missing."""
    parser = argparse.ArgumentParser(prog="tests.bench.quality", description=__doc__)
    parser.add_argument("--tables", nargs="+", default=[source.name for source in SOURCES])
    parser.add_argument("--candidates", nargs="+", default=[candidate.name for candidate in CANDIDATES])
    parser.add_argument("--processes", type=int, default=2, help="of one thread each (default 2)")
    parser.add_argument("--minutes", type=float, default=120, help="no fit begins after them (default 120)")
    arguments = parser.parse_args()
    try:
        sources = [source_named(name) for name in arguments.tables]
        candidates = [candidate_named(name) for name in arguments.candidates]
        unpack(requirements(), PLACES.packages)
    except (KeyError, PackageError) as error:
        sys.stderr.write(f"{error.args[0]}\n")
        return 2
    tables = [load_table(source, PLACES.packages) for source in sources]
    names = pending(tables, candidates, Store(folder=PLACES.fits))
    left = run_all(names, PLACES, processes=arguments.processes, seconds=60 * arguments.minutes)
    if left:
        sys.stderr.write(f"the time is over, {left} fits are missing: run the bench again, it goes on\n")
    return 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
