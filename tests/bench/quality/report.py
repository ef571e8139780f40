"""The tables of the report as Markdown: a row for each table of the bench, a column for each candidate."""

import statistics
from collections.abc import Sequence

from tests.bench.quality.fitting import ACCURACY, LOG_LOSS, R_SQUARED
from tests.bench.quality.summary import Comparison, Standing, Standings, best_of, compare
from tests.bench.quality.tables import Kind, Packaged, Table

NOT_MEASURED = "-"


def markdown(tables: Sequence[Table], standings: Standings, candidates: Sequence[str], rivals: Sequence[str]) -> str:
    """All tables, each after a line that says what it shows.

    Args:
        tables: in the order of the rows.
        standings: what was measured.
        candidates: in the order of the columns.
        rivals: whose best, which is set in bold, is what ours is compared with.
    """
    compared = [one for ours in ("auto", "mlp") for one in compare(standings, ours, rivals)]
    parts = [
        "The tables; columns that are left out are seen by nobody.",
        _grid(("table", "rows", "columns", "predicts", "from", "left out"), [_described(table) for table in tables]),
        "Accuracy in percent, R2 of diabetes, hitters and bikeshare: mean and standard deviation over all folds. The"
        " best of scikit-learn's is bold.",
        _scores(tables, standings, candidates, rivals),
        "Log loss, in nats: mean and standard deviation over all folds.",
        _losses(tables, standings, candidates),
        "Ours minus the best of scikit-learn's, in points of accuracy and in R2, with the p-value of the corrected"
        " resampled t-test.",
        _grid(("table", "ours", "best", "difference", "p"), [_compared(one, standings) for one in compared]),
        "CPU seconds of a fit and its predictions, mean.",
        _times(tables, standings, candidates),
    ]
    return "\n\n".join([*parts, *_failures(standings)])


def _described(table: Table) -> list[str]:
    source = table.source
    origin = source.origin.requirement if isinstance(source.origin, Packaged) else "scikit-learn"
    out = f"{', '.join(source.left_out)}: {source.why}" if source.left_out else ""
    dropped = f"{table.dropped} rows without a target" if table.dropped else ""
    what = f"one of {len(table.classes)}" if source.kind is Kind.CLASSES else "a number"
    target = source.target if isinstance(source.origin, Packaged) else ""
    predicts = f"{target}, {what}" if target else what
    rows = f"{len(table.target):,}"
    left_out = "; ".join(said for said in (out, dropped) if said)
    return [source.name, rows, str(table.features.shape[1]), predicts, origin, left_out]


def _scores(tables: Sequence[Table], standings: Standings, candidates: Sequence[str], rivals: Sequence[str]) -> str:
    rows = []
    for table in tables:
        name, best = table.source.name, best_of(standings, table.source.name, rivals)
        cells = []
        for candidate in candidates:
            shown = _main(standings.get((name, candidate)))
            cells.append(f"**{shown}**" if best is not None and best.candidate == candidate else shown)
        rows.append([name, *cells])
    return _grid(("table", *candidates), rows)


def _main(standing: Standing | None) -> str:
    if standing is None or not standing.complete:
        return NOT_MEASURED
    if ACCURACY in standing.scores:
        return _spread([100 * value for value in standing.scores[ACCURACY]], 1)
    return _spread(standing.scores[R_SQUARED], 3)


def _losses(tables: Sequence[Table], standings: Standings, candidates: Sequence[str]) -> str:
    rows = []
    for table in tables:
        if table.classes:
            found = [standings.get((table.source.name, candidate)) for candidate in candidates]
            rows.append(
                [
                    table.source.name,
                    *(
                        _spread(one.scores[LOG_LOSS], 3) if one is not None and one.complete else NOT_MEASURED
                        for one in found
                    ),
                ]
            )
    return _grid(("table", *candidates), rows)


def _times(tables: Sequence[Table], standings: Standings, candidates: Sequence[str]) -> str:
    rows = []
    for table in tables:
        found = [standings.get((table.source.name, candidate)) for candidate in candidates]
        shown = (f"{one.cpu_seconds:.2f}" if one is not None and one.complete else NOT_MEASURED for one in found)
        rows.append([table.source.name, *shown])
    return _grid(("table", *candidates), rows)


def _compared(one: Comparison, standings: Standings) -> list[str]:
    classes = ACCURACY in standings[one.table, one.ours].scores
    difference = f"{100 * one.difference:+.1f}" if classes else f"{one.difference:+.3f}"
    return [one.table, one.ours, one.best, difference, f"{one.p_value:.2f}"]


def _failures(standings: Standings) -> list[str]:
    return [
        f"Fits of {one.candidate} on {one.table} failed: {'; '.join(one.errors)}"
        for one in standings.values()
        if one.errors
    ]


def _spread(values: Sequence[float], places: int) -> str:
    return f"{statistics.fmean(values):.{places}f} ± {statistics.stdev(values):.{places}f}"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
