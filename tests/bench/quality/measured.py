"""What was measured, as a document: ``summary.json``, which ``recompute`` compares with what it finds itself."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.quality.fitting import fit_key
from tests.bench.quality.folds import FOLDS
from tests.bench.quality.prediction import Candidate
from tests.bench.quality.running import names_of
from tests.bench.quality.store import Store
from tests.bench.quality.summary import Comparison, Standings, standing_of
from tests.bench.quality.tables import Table
from tests.bench.record import Figure


def standings_in(store: Store, tables: Sequence[Table], candidates: Sequence[Candidate]) -> Standings:
    """What the stored fits come to; only those count whose key is that of the rows and candidates as they are now."""
    found = {}
    for table in tables:
        for candidate in candidates:
            names = list(names_of([table.source], [candidate]))
            fits = {name: fit for name in names if (fit := store.read(name)) is not None}
            found[table.source.name, candidate.name] = standing_of(names, fits, key=fit_key(candidate, table))
    return found


def write_summary(path: Path, standings: Standings, compared: Sequence[Comparison], figures: Sequence[Figure]) -> None:
    """Write what was measured."""
    document = {
        "folds": FOLDS,
        "standings": [
            {
                "table": one.table,
                "candidate": one.candidate,
                "key": one.key,
                "fits": len(one.main),
                "wanted": one.wanted,
                "scores": {name: _moments(values) for name, values in one.scores.items()},
            }
            for one in standings.values()
        ],
        "comparisons": [asdict(one) for one in compared],
        "figures": [asdict(one) for one in figures],
    }
    path.write_text(f"{json.dumps(document, indent=1, allow_nan=False)}\n", encoding="utf-8")


def _moments(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": statistics.fmean(values), "deviation": statistics.stdev(values) if len(values) > 1 else None}
