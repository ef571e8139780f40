"""What the page says of a model, in plain values: no HTML here, and nothing is decided there."""

import json
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

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
from modelservice.inference.explaining.question import unexplainable
from modelservice.serving.core import Core
from modelservice.serving.drift.monitor import FEATURE, FEWEST_ROWS, PREDICTION, Monitor
from modelservice.serving.drift.spread import Spread, Window
from modelservice.serving.metrics import Statistics
from modelservice.serving.model import ServedModel
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
MOST_PICTURE_BYTES: Final = 96 * 1024
"""Of all pictures together: a page is to be there at once, also on a telephone."""
MOST_SHOWN: Final = 20
"""Categories, classes and suspects that are listed."""
LIVE_COLUMNS: Final = 8
"""Columns of a model that is explained while somebody types: 256 rows are asked for each answer."""
MOST_FIELDS: Final = 60
"""Columns that have a field and a line of their own; a row of more is typed as JSON."""
BARS: Final = (160, 40)
"""Width and height of a histogram, in pixels."""
SLIGHT_PSI: Final = 0.1
LARGE_PSI: Final = 0.25


class Bars(NamedTuple):
    """A histogram as paths of SVG in a box of ``BARS``, and in words: training, and what was asked lately if anything.

    Paths keep a page of many columns small.
    """

    trained: str
    asked: str | None
    words: str


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


class Picture(NamedTuple):
    """An image that is part of the page."""

    words: str
    address: str


def page_facts(core: Core) -> dict[str, Any]:
    """All that the template asks for, by name."""
    model = core.model
    manifest = Manifest.model_validate(model.description["manifest"])
    metrics = model.description["metrics"]
    pictures, left = _pictures(model.reports)
    return {
        "name": core.name,
        "version": core.version,
        "digest": model.digest,
        "ready": core.common.ready,
        "target": model.signature.target,
        "labels": model.signature.labels,
        "summary": _summary(model),
        "manifest": manifest,
        "model_bytes": manifest.files[MODEL_FILE].size,
        "metrics": None if metrics is None else MetricsDocument.model_validate(metrics),
        "pictures": pictures,
        "pictures_left": left,
        "report": _data_report(model.reports),
        "inputs": tuple(islice(_inputs(model, core.monitor), MOST_FIELDS)),
        "inputs_left": max(0, len(model.signature.inputs) - MOST_FIELDS),
        "outputs": tuple(_outputs(core.monitor)),
        "drift_rows": core.monitor.measured_rows,
        "fewest_rows": FEWEST_ROWS,
        "statistics": _statistics(core.metrics.statistics()),
        "bar_size": BARS,
        "tensors": [given for given in model.signature.inputs if isinstance(given, InputTensor)],
        "calls": _calls(core),
        "asked": _asked(core),
        "most_shown": MOST_SHOWN,
    }


def _summary(model: ServedModel) -> str:
    signature = model.signature
    columns = sum(isinstance(given, InputColumn) for given in signature.inputs)
    given = "a picture" if takes_pictures(signature) else _count(columns, "column") if columns else "tensors"
    if not model.trained or signature.target is None:
        return f"Answers {given} with {_joined([output.name for output in signature.outputs])}."
    what = f"one of {_count(len(signature.labels), 'class', 'classes')}" if signature.labels else "a number"
    return f"Predicts {signature.target}, {what}, from {given}."


def _inputs(model: ServedModel, monitor: Monitor) -> Iterator[Input]:
    histograms = {one.name: one for one in model.baseline.features} if model.baseline else {}
    watched = {name: (_bars(spread, window), _drift(window)) for name, spread, window in monitor.watched(FEATURE)}
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
        yield Output(name, _bars(spread, window), _drift(window))


def _values(column: InputColumn, histogram: Histogram | None) -> str:
    if column.categories:
        more = len(column.categories) - MOST_SHOWN
        return ", ".join(column.categories[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
    if column.type is ColumnKind.NUMBER and isinstance(histogram, NumberHistogram) and len(histogram.edges) > 1:
        return f"mostly {histogram.edges[0]:.4g} to {histogram.edges[-1]:.4g}"
    return f"such as {_shortened(str(column.example))}"


def _missing(histogram: Histogram | None) -> float | None:
    if histogram is None:
        return None
    total = sum(histogram.counts) + histogram.missing + getattr(histogram, "other", 0)
    return histogram.missing / total if total else None


def _bars(spread: Spread, window: Window | None) -> Bars | None:
    trained = _shares(spread.expected.tolist())
    asked = None if window is None else _shares(window.found.tolist())
    bins = [at for at, share in enumerate(trained) if share or (asked is not None and asked[at])]
    if not bins:
        return None
    peak = max(*trained, *(asked or ()))
    width = BARS[0] / len(bins) / (1 if asked is None else 2)
    words = f"training: {_most(spread.names, trained)}"
    if asked is None:
        return Bars(_path([trained[at] / peak for at in bins], width, width), None, words)
    return Bars(
        _path([trained[at] / peak for at in bins], 2 * width, width),
        _path([asked[at] / peak for at in bins], 2 * width, width, start=width),
        f"{words}; asked: {_most(spread.names, asked)}",
    )


def _path(heights: Sequence[float], step: float, width: float, *, start: float = 0.0) -> str:
    """Bars from the left, as many as heights from 0 to 1."""
    full = BARS[1]
    return "".join(
        f"M{start + at * step:.1f} {full}v{-full * height:.1f}h{width - 0.5:.1f}V{full}z"
        for at, height in enumerate(heights)
        if height
    )


def _most(names: Sequence[str], shares: Sequence[float]) -> str:
    at = max(range(len(shares)), key=shares.__getitem__)
    return f"most often {names[at]} ({100 * shares[at]:.3g} %)"


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _drift(window: Window | None) -> str | None:
    """By the usual reading of the stability index: below 0.1 none, from 0.25 on much."""
    if window is None:
        return None
    psi, ks = window.measures["psi"], window.measures.get("ks")
    said = "as in training" if psi < SLIGHT_PSI else "moved a little" if psi < LARGE_PSI else "moved"
    return f"{said} (PSI {psi:.2f}" + (")" if ks is None else f", KS {ks:.2f})")


def _pictures(reports: Mapping[str, bytes]) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Those that fit, and the words of those that do not."""
    shown: list[Picture] = []
    left: list[str] = []
    room = MOST_PICTURE_BYTES
    for name, words in PICTURES.items():
        content = reports.get(name)
        if content is None:
            continue
        if len(content) > room:
            left.append(words)
            continue
        room -= len(content)
        # An image runs no scripts: an artifact may come from anywhere.
        shown.append(Picture(words, f"data:image/svg+xml;base64,{b64encode(content).decode()}"))
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


def _asked(core: Core) -> dict[str, Any]:
    """What the script of the page needs: paths, and what a row consists of."""
    model, signature = core.model, core.model.signature
    columns = [given for given in signature.inputs if isinstance(given, InputColumn)]
    explains = unexplainable(signature) is None
    base = f"/v1/models/{core.name}"
    return {
        "name": core.name,
        "target": signature.target,
        "labels": list(signature.labels),
        "predict": f"{base}:predict",
        "explain": f"{base}:explain" if explains else None,
        "live": explains and len(columns) <= LIVE_COLUMNS,
        "pictures": takes_pictures(signature),
        "columns": [
            {"name": column.name, "number": column.type is ColumnKind.NUMBER, "required": column.required}
            | {"boolean": column.datatype == "BOOL", "example": column.example}
            for column in columns
        ],
        "fields": 0 < len(columns) <= MOST_FIELDS,
        "example": None if takes_pictures(signature) else model.encoder.example(),
    }


def _calls(core: Core) -> dict[str, str]:
    """How to ask this model, by language; ORIGIN stands for where the page came from."""
    path = f"ORIGIN/v1/models/{core.name}:predict"
    keyed = core.common.gate.auth is not None
    curl = f"curl -s {path}" + (' -H "Authorization: Bearer $TOKEN"' if keyed else "")
    if takes_pictures(core.model.signature):
        header = ', headers: {authorization: "Bearer " + token}' if keyed else ""
        return {
            "curl": f"{curl} --data-binary @picture.png",
            "JavaScript": f'await (await fetch("{path}", {{method: "POST", body: file{header}}})).json()',
        }
    row = core.model.encoder.example()
    body = json.dumps({"instances": [row]}, ensure_ascii=False)
    token = ", token=TOKEN" if keyed else ""
    headers = '"content-type": "application/json"' + (', authorization: "Bearer " + token' if keyed else "")
    return {
        "curl": f"{curl} -H 'content-type: application/json' -d {shlex.quote(body)}",
        "Python": f'import modelservice\n\nwith modelservice.connect("ORIGIN", model="{core.name}"{token}) as model:\n'
        f"    print(model.predict([{row!r}]))",
        "JavaScript": f'const answer = await fetch("{path}", {{\n  method: "POST",\n  headers: {{{headers}}},\n'
        f"  body: JSON.stringify({body}),\n}});\nconsole.log((await answer.json()).predictions);",
    }


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}\u2026"  # noqa: PLR2004


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
