"""Makes the fits that are not stored yet, in processes of one thread each."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.bench.quality.fitting import fit_key, run_fit
from tests.bench.quality.folds import FOLDS
from tests.bench.quality.places import Places
from tests.bench.quality.prediction import Candidate
from tests.bench.quality.store import Fit, FitName, Store
from tests.bench.quality.tables import Source, Table
from tests.bench.side_by_side import work_through


def repeats_of(source: Source, candidate: Candidate) -> int:
    """How many repeats of a table a candidate takes part in."""
    return source.repeats if candidate.most_repeats is None else min(source.repeats, candidate.most_repeats)


def names_of(sources: Sequence[Source], candidates: Sequence[Candidate]) -> Iterator[FitName]:
    """All fits: first repeats of every table come first, so that a bench that is stopped says something of each."""
    for repeat in range(max((source.repeats for source in sources), default=0)):
        for source in sources:
            for fold in range(FOLDS):
                for candidate in candidates:
                    if repeat < repeats_of(source, candidate):
                        yield FitName(table=source.name, candidate=candidate.name, repeat=repeat, fold=fold)


def pending(tables: Sequence[Table], candidates: Sequence[Candidate], store: Store) -> list[FitName]:
    """Fits that are not stored, failed, or were of other rows or another version of the candidate."""
    keys = {
        (table.source.name, candidate.name): fit_key(candidate, table) for table in tables for candidate in candidates
    }
    found = []
    for name in names_of([table.source for table in tables], candidates):
        fit = store.read(name)
        if fit is None or fit.error is not None or fit.key != keys[name.table, name.candidate]:
            found.append(name)
    return found


def run_all(names: Sequence[FitName], places: Places, *, processes: int, seconds: float) -> int:
    """Make fits until all are made or the time is over; how many were not begun."""
    work = partial(_run, packages=places.packages, fits=places.fits)
    return work_through(names, work, processes=processes, seconds=seconds)


def _run(name: FitName, *, packages: Path, fits: Path) -> str:
    return _said(run_fit(name, packages=packages, fits=fits))


def _said(fit: Fit) -> str:
    name = fit.name
    came_to = fit.error or ", ".join(f"{score} {value:.4f}" for score, value in fit.scores.items())
    return f"{name.table} {name.repeat}-{name.fold} {name.candidate}: {came_to} in {fit.seconds:.1f} s"
