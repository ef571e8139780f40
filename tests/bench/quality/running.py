"""Makes the fits that are not stored yet, in processes of one thread each."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from tests.bench.quality.fitting import fit_key, run_fit
from tests.bench.quality.folds import FOLDS
from tests.bench.quality.places import Places
from tests.bench.quality.prediction import Candidate
from tests.bench.quality.store import Fit, FitName, Store
from tests.bench.quality.tables import Source, Table

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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


def run_all(
    names: Sequence[FitName],
    places: Places,
    *,
    processes: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Make fits until all are made or the time is over; each that was begun is finished.

    Returns:
        How many were not begun.
    """
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    deadline = clock() + seconds
    left = list(reversed(names))
    running: set[Future[Fit]] = set()
    # Spawned, so that the settings count before numpy and torch are imported.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        while running or (left and clock() < deadline):
            while left and len(running) < processes and clock() < deadline:
                running.add(pool.submit(run_fit, left.pop(), packages=places.packages, fits=places.fits))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                sys.stderr.write(f"{_said(future.result())}, {len(left) + len(running)} to go\n")
    return len(left)


def _said(fit: Fit) -> str:
    name = fit.name
    came_to = fit.error or ", ".join(f"{score} {value:.4f}" for score, value in fit.scores.items())
    return f"{name.table} {name.repeat}-{name.fold} {name.candidate}: {came_to} in {fit.seconds:.1f} s"
