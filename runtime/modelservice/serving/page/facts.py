"""What the page says of a model, in plain values: no HTML here, and nothing is decided there."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from modelservice.contract.baseline import Histogram, NumberHistogram
from modelservice.contract.data_report import DataReport
from modelservice.contract.manifest import (
    CALIBRATION_PICTURE,
    CONFUSION_PICTURE,
    CURVES_PICTURE,
    DATA_REPORT_FILE,
    IMPORTANCE_PICTURE,
    MODEL_FILE,
    SEARCH_PICTURE,
    SIZES_PICTURE,
    VALUES_PICTURE,
    Manifest,
)
from modelservice.contract.signature import ColumnKind, InputColumn, InputTensor
from modelservice.inference.explaining.methods import Methods
from modelservice.inference.explaining.question import unexplainable
from modelservice.inference.explaining.slopes import METHODS as SLOPES
from modelservice.serving.core import Core
from modelservice.serving.drift.monitor import FEATURE, FEWEST_ROWS, PREDICTION, Monitor
from modelservice.serving.metrics import Statistics
from modelservice.serving.model import ServedModel
from modelservice.serving.page.bars import BARS, Bars, bars_of, drift_of
from modelservice.serving.page.calls import SAVED, calls_of
from modelservice.serving.page.first_row import first_cell, has_commas, typed
from modelservice.serving.uploads import takes_pictures
from modelservice.tasks.metrics_document import MetricsDocument

PICTURES: Final = {
    CURVES_PICTURE: "Learning curves",
    CONFUSION_PICTURE: "Confusion matrix of the test rows",
    VALUES_PICTURE: "Predicted and true values of the test rows",
    CALIBRATION_PICTURE: "Calibration: how often the model is right by how sure it is",
    IMPORTANCE_PICTURE: "Importance of the columns",
    SIZES_PICTURE: "Size and accuracy of what the compression tried",
    SEARCH_PICTURE: "What the search tried",
}
"""Pictures of an artifact in the order of the page, with words for those who do not see them."""
MARKUP_BYTES: Final = 64
"""What stands around a picture."""
MOST_SHOWN: Final = 20
"""Categories, classes and suspects that are listed."""
LIVE_COLUMNS: Final = 8
"""Columns of a model that is explained while somebody types: 256 rows are asked for each answer."""
MOST_FIELDS: Final = 60
"""Columns that the page brings a field and a line of; the fields of more are made in the browser."""
MOST_ROW_BYTES: Final = 4096
"""Of a row as JSON, which stands in the form and in each call; a longer one is fetched by the browser."""
MOST_OPTIONS: Final = 200
"""Categories that a field suggests; others can be typed."""
MOST_OPTIONS_BYTES: Final = 16 * 1024
"""Of all fields together, in their order."""
MOST_LINES_BYTES: Final = 32 * 1024
"""Of the lines of inputs, and of those of outputs, with their histograms."""


class Input(NamedTuple):
    """A column as a person sees it; ``drift`` is a sentence, None where nothing was measured."""

    name: str
    kind: str
    values: str
    missing: float | None
    required: bool
    bars: Bars | None
    drift: str | None


class Output(NamedTuple):
    """An output whose answers are watched; see ``Input``."""

    name: str
    bars: Bars | None
    drift: str | None


class Field(NamedTuple):
    """Where a value of a column is typed; ``first`` is what it holds, ``options`` are categories that are suggested."""

    column: InputColumn
    kind: str
    values: str
    first: bool | float | str
    options: tuple[str, ...]


class Picture(NamedTuple):
    """An image that is part of the page."""

    words: str
    address: str


_Shown = TypeVar("_Shown", Input, Output)


def page_facts(core: Core) -> dict[str, Any]:
    """All that the template asks for, by name; pictures are apart, see ``pictures_of``."""
    model = core.model
    manifest = Manifest.model_validate(model.description["manifest"])
    metrics = model.description["metrics"]
    inputs, inputs_left = _fitting(_inputs(model, core.monitor))
    outputs, outputs_left = _fitting(_outputs(core.monitor))
    large = _is_large(model)
    return {
        "name": core.name,
        "version": core.version,
        "digest": model.digest,
        "ready": core.common.ready,
        "target": model.signature.target,
        "summary": _summary(model),
        "manifest": manifest,
        "model_bytes": manifest.files[MODEL_FILE].size,
        "metrics": None if metrics is None else MetricsDocument.model_validate(metrics),
        "report": _data_report(model.reports),
        "fields": () if large else tuple(_fields(model)),
        "columns": sum(isinstance(given, InputColumn) for given in model.signature.inputs),
        "inputs": inputs,
        "inputs_left": inputs_left,
        "outputs": outputs,
        "outputs_left": outputs_left,
        "drift_rows": core.monitor.measured_rows,
        "fewest_rows": FEWEST_ROWS,
        "statistics": _statistics(core.metrics.statistics()),
        "row_milliseconds": 1e3 * core.costs.compute[0][1],
        "history": tuple(reversed(core.history)),
        "bar_size": BARS,
        "tensors": [given for given in model.signature.inputs if isinstance(given, InputTensor)],
        "calls": calls_of(core, large=large),
        "saved": SAVED if large else None,
        "asked": _asked(core, large=large),
        "most_shown": MOST_SHOWN,
    }


def _is_large(model: ServedModel) -> bool:
    """Whether a row is too long to stand in the page, in the form and in each call: the page's script fetches it."""
    if takes_pictures(model.signature):
        return False
    row = json.dumps(model.encoder.example(), ensure_ascii=False)
    return len(model.signature.inputs) > MOST_FIELDS or len(row.encode()) > MOST_ROW_BYTES


def _fitting(given: Iterator[_Shown]) -> tuple[tuple[_Shown, ...], int]:
    """Lines of a table until they fill their part of the page, and how many more there are."""
    shown: list[_Shown] = []
    room = MOST_LINES_BYTES
    for left in given:
        room -= len(repr(left).encode())
        if room < 0 or len(shown) == MOST_FIELDS:
            return tuple(shown), 1 + sum(1 for _ in given)
        shown.append(left)
    return tuple(shown), 0


def _summary(model: ServedModel) -> str:
    signature = model.signature
    columns = sum(isinstance(given, InputColumn) for given in signature.inputs)
    given = "a picture" if takes_pictures(signature) else _count(columns, "column") if columns else "tensors"
    if not model.trained or signature.target is None:
        return f"Answers {given} with {_joined([output.name for output in signature.outputs])}."
    what = f"one of {_count(len(signature.labels), 'class', 'classes')}" if signature.labels else "a number"
    return f"Predicts {signature.target}, {what}, from {given}."


def _fields(model: ServedModel) -> Iterator[Field]:
    histograms, room, commas = _histograms(model), MOST_OPTIONS_BYTES, _with_commas(model)
    for given in model.signature.inputs:
        if not isinstance(given, InputColumn):
            continue
        options = given.categories[:MOST_OPTIONS]
        room -= sum(len(option.encode()) for option in options)
        histogram = histograms.get(given.name)
        first = first_cell(given, histogram)
        yield Field(
            column=given,
            kind=str(given.content or given.type),
            values=_values(given, histogram),
            first=typed(float(first)) if given.name in commas else first,
            options=options if room >= 0 else (),
        )


def _with_commas(model: ServedModel) -> frozenset[str]:
    """Columns of numbers whose texts have decimal commas: what is typed is one of these."""
    measures = model.encoder.measures
    numbers = (
        one.name for one in model.signature.inputs if isinstance(one, InputColumn) and one.type is ColumnKind.NUMBER
    )
    return frozenset(name for name in numbers if has_commas(measures.get(name)))


def _inputs(model: ServedModel, monitor: Monitor) -> Iterator[Input]:
    histograms = _histograms(model)
    watched = {name: (bars_of(spread, window), drift_of(window)) for name, spread, window in monitor.watched(FEATURE)}
    for given in model.signature.inputs:
        if not isinstance(given, InputColumn):
            continue
        histogram = histograms.get(given.name)
        bars, drift = watched.get(given.name, (None, None))
        yield Input(
            name=given.name,
            kind=str(given.content or given.type),
            values=_values(given, histogram),
            missing=_missing(histogram),
            required=given.required,
            bars=bars,
            drift=drift,
        )


def _outputs(monitor: Monitor) -> Iterator[Output]:
    for name, spread, window in monitor.watched(PREDICTION):
        yield Output(name, bars_of(spread, window), drift_of(window))


def _histograms(model: ServedModel) -> Mapping[str, Histogram]:
    return {one.name: one for one in model.baseline.features} if model.baseline else {}


def _values(column: InputColumn, histogram: Histogram | None) -> str:
    if column.type is ColumnKind.NUMBER and isinstance(histogram, NumberHistogram) and len(histogram.edges) > 1:
        return f"mostly {histogram.edges[0]:.4g} to {histogram.edges[-1]:.4g}"
    if column.categories:
        more = len(column.categories) - MOST_SHOWN
        known = ", ".join(map(shortened, column.categories[:MOST_SHOWN]))
        return known + (f" and {more} more" if more > 0 else "")
    return f"such as {shortened(str(column.example))}"


def _missing(histogram: Histogram | None) -> float | None:
    if histogram is None:
        return None
    total = sum(histogram.counts) + histogram.missing + getattr(histogram, "other", 0)
    return histogram.missing / total if total else None


def pictures_of(model: ServedModel, room: int) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """The pictures that fit into so many bytes of the page, and the words of those that do not."""
    shown: list[Picture] = []
    left: list[str] = []
    for name, words in PICTURES.items():
        content = model.reports.get(name)
        if content is None:
            continue
        # An image runs no scripts: an artifact may come from anywhere.
        picture = Picture(words, f"data:image/svg+xml;base64,{b64encode(content).decode()}")
        size = sum(map(len, picture)) + MARKUP_BYTES
        if size > room:
            left.append(words)
            continue
        room -= size
        shown.append(picture)
    return tuple(shown), tuple(left)


def _data_report(reports: Mapping[str, bytes]) -> DataReport | None:
    content = reports.get(DATA_REPORT_FILE)
    return None if content is None else DataReport.model_validate_json(content)


def _statistics(statistics: Statistics) -> dict[str, Any]:
    """What this pod has done since its start."""
    answered, batches = statistics.answered, statistics.batches
    return {
        "answered": answered,
        "refused": statistics.refused,
        "rows": statistics.rows,
        "milliseconds": 1e3 * statistics.answered_seconds / answered if answered else None,
        "batch_rows": statistics.rows / batches if batches else None,
        "batch_milliseconds": 1e3 * statistics.batch_seconds / batches if batches else None,
    }


def _asked(core: Core, *, large: bool) -> dict[str, Any]:
    """What the script of the page needs: paths, and what a row consists of, unless it fetches that."""
    model, signature = core.model, core.model.signature
    columns = [given for given in signature.inputs if isinstance(given, InputColumn)]
    explains, commas = unexplainable(signature) is None, _with_commas(model)
    base = f"/v1/models/{core.name}"
    return {
        "name": core.name,
        "target": signature.target,
        "predict": f"{base}:predict",
        "explain": f"{base}:explain" if explains else None,
        "methods": Methods(model.encoder, model.engine, signature).names if explains else (),
        "byLabel": tuple(SLOPES) if signature.labels else (),
        "live": explains and len(columns) <= LIVE_COLUMNS,
        "pictures": takes_pictures(signature),
        "table": bool(columns),
        "schema": "/openapi.json" if large else None,
        "commas": [at for at, column in enumerate(columns) if column.name in commas],
        "columns": []
        if large
        else [
            {"name": column.name, "number": column.type is ColumnKind.NUMBER, "required": column.required}
            | {"boolean": column.datatype == "BOOL"}
            for column in columns
        ],
        "row": None if columns or large or takes_pictures(signature) else model.encoder.example(),
    }


def shortened(text: str) -> str:
    """As much of a text as a line of the page has room for."""
    return text if len(text) <= 60 else f"{text[:59]}\u2026"  # noqa: PLR2004


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
