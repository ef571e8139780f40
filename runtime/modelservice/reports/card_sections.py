"""The sections of a model card that are more than a few lines."""

import json
import shlex
from collections.abc import Iterator
from typing import Any, Final

import yaml

from modelservice.contract.data_report import DataReport
from modelservice.contract.manifest import (
    BASELINE_FILE,
    CURVES_PICTURE,
    DATA_REPORT_FILE,
    IMPORTANCE_FILE,
    METRICS_FILE,
    PREPROCESSING_FILE,
    SEARCH_PICTURE,
    SIZES_PICTURE,
)
from modelservice.contract.signature import InputColumn, Signature
from modelservice.contract.sizes import Sizes
from modelservice.reports.findings import Findings
from modelservice.reports.markdown import bullets, figure, plain, sentence, table
from modelservice.reports.search import search_section
from modelservice.reports.subject import Subject
from modelservice.tasks.metrics_document import ConfusionMatrix

MAX_ROWS: Final = 60
"""Columns or classes of one table; how many more there are is said."""
_FEW_ROWS = 10


def calling(signature: Signature, *, name: str) -> Iterator[str]:
    """How to ask the model, in the cluster and in Python."""
    columns = [one for one in signature.inputs if isinstance(one, InputColumn)]
    if len(columns) < len(signature.inputs) or len(columns) > MAX_ROWS:
        yield "In the cluster, `status.example` of the ModelService is a request that runs. In Python:"
        yield from ("", "```python", "import modelservice", "", 'modelservice.load("FOLDER").predict(rows)', "```")
        return
    row = {column.name: column.example for column in columns}
    body = json.dumps({"instances": [row]}, ensure_ascii=False)
    address = f"http://{name}.NAMESPACE.svc/v1/models/{name}:predict"
    yield "In the cluster, with medians and most frequent texts for values:"
    yield from (
        "",
        "```console",
        f"curl -s {address} -H 'content-type: application/json' -d {shlex.quote(body)}",
        "```",
    )
    yield from ("", "In Python, with the folder of this file or its address in object storage:")
    yield from ("", "```python", "import modelservice", "")
    yield from (f'modelservice.load("FOLDER").predict([{row!r}])', "```")


def data_section(subject: Subject, findings: Findings, notes: tuple[str, ...]) -> Iterator[str]:
    """What was learned from, and ``notes`` on it."""
    data = findings.data
    rows = data.rows
    dropped = f" {data.dropped} more were read and not used." if data.dropped else ""
    yield (
        f"{subject.dataset.rows} rows: {rows.train} for training, {rows.validation} for validation, {rows.test} for the"
        f" test.{dropped} The digest of the data is `{data.sha256}`. `{DATA_REPORT_FILE}` has all columns, and"
        f" `{BASELINE_FILE}` how each is spread."
    )
    if notes:
        yield from ("", *bullets(map(sentence, notes)))
    if data.columns:
        yield from ("", *_columns(data))
    if data.classes is not None:
        yield from ("", *_classes(data))
    if (numbers := data.numbers) is not None:
        yield ""
        yield (
            f"{plain(data.target)} goes from {figure(numbers.low)} to {figure(numbers.high)}, with mean"
            f" {figure(numbers.mean)} and deviation {figure(numbers.deviation)}."
        )


def training(
    subject: Subject, *, settings: dict[str, Any], parent: str | None, pictures: tuple[str, ...]
) -> Iterator[str]:
    """How it was learned, or of which model it was made."""
    yield f"Inputs are encoded as `{PREPROCESSING_FILE}` says, measured on training rows only."
    if parent is None:
        yield f"The seed is {subject.seed}."
    else:
        yield f"It was made of the model with the key {parent}, whose card says how that was trained."
    epoch = subject.metrics.best_epoch
    if epoch is not None:
        yield f"The weights of epoch {epoch} were kept, the best one on validation rows."
    yield ""
    if settings:
        written = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=1000).rstrip()
        yield from ("The settings, without those that are the defaults:", "", "```yaml", *written.splitlines(), "```")
    else:
        yield "All settings are the defaults."
    if subject.search is not None:
        yield from ("", *search_section(subject.search))
    if SEARCH_PICTURE in pictures:
        yield from ("", f"![Search]({SEARCH_PICTURE})")
    if CURVES_PICTURE in pictures:
        yield from ("", f"![Learning curves]({CURVES_PICTURE})")


def sizes_section(sizes: Sizes) -> Iterator[str]:
    """The models on the way to a compressed one."""
    yield f"Models by size and {sizes.metric} on the validation rows; the test rows judged the one marked with *."
    if any(one.control for one in sizes.tried):
        yield "Controls have its layers, and learned from initial weights, as many epochs as all that led to it."
    yield ""
    rows = [
        (
            plain(one.name) + (" \\*" if one.chosen else " (control)" if one.control else ""),
            *("" if count is None else f"{count}" for count in (one.parameters, one.nonzero, one.multiply_adds)),
            str(one.bytes),
            figure(one.metric),
            "" if one.low is None or one.high is None else f"{figure(one.low)} to {figure(one.high)}",
        )
        for one in sizes.tried
    ]
    yield from table(("model", "parameters", "not 0", "multiply-adds", "bytes", sizes.metric, "95 % interval"), rows)
    yield from ("", f"![Compression]({SIZES_PICTURE})")


def evaluation(subject: Subject, findings: Findings, *, pictures: tuple[str, ...]) -> Iterator[str]:
    """How good it is on test rows, class by class, and what it goes by."""
    metrics = subject.metrics
    yield f"On {metrics.test.rows} test rows, which neither taught nor chose anything; `{METRICS_FILE}` has all sides."
    yield ""
    rows = (
        (
            f"**{one.name}**" if one.name == metrics.primary else one.name,
            figure(one.value),
            "" if one.low is None or one.high is None else f"{figure(one.low)} to {figure(one.high)}",
        )
        for one in metrics.test.metrics
    )
    yield from table(("metric", "value", "95 % interval"), rows)
    if (folds := metrics.cross_validation) is not None:
        found = next((one for one in folds.metrics if one.name == metrics.primary), None)
        if found is not None:
            yield ""
            yield f"{folds.folds} folds: {found.name} {figure(found.mean)}, deviation {figure(found.deviation)}."
    if metrics.confusion_matrix is not None:
        yield from ("", "### By class", "", *_by_class(metrics.confusion_matrix))
    if (importance := findings.importance) is not None:
        yield from ("", "### What it goes by", "")
        yield (
            f"Fall of {importance.metric} on {importance.rows} test rows when one column is shuffled"
            f" ({importance.repeats} times); columns that say the same share what they are worth."
        )
        yield ""
        shown = importance.columns[:MAX_ROWS]
        yield from table(
            ("column", "fall", "deviation"),
            ((plain(one.name), figure(one.drop), figure(one.deviation)) for one in shown),
        )
        yield from _more(len(importance.columns), IMPORTANCE_FILE)
    for picture in pictures:
        if picture not in {CURVES_PICTURE, SEARCH_PICTURE}:
            words = picture.removesuffix(".svg").replace("-", " ").capitalize()
            yield from ("", f"![{words}]({picture})")


def limits(subject: Subject, findings: Findings) -> list[str]:
    """What to be careful about, as far as it can be known from the data."""
    return bullets(map(sentence, _limits(subject, findings)))


def _limits(subject: Subject, findings: Findings) -> Iterator[str]:
    data, matrix = findings.data, subject.metrics.confusion_matrix
    yield from (suspect.message for suspect in data.suspects)
    if matrix is not None:
        tested = [(label, sum(counts)) for label, counts in zip(matrix.labels, matrix.counts, strict=True)]
        few = [f"{label} ({rows})" for label, rows in tested if rows < _FEW_ROWS]
        if few:
            listed = ", ".join(few[:MAX_ROWS])
            yield f"fewer than {_FEW_ROWS} test rows, so little is known of how well these are told: {listed}"
    primary = subject.metrics.test.primary_metric
    if primary.low is not None and primary.high is not None:
        yield (
            f"with {subject.metrics.test.rows} test rows all that is known of the {primary.name} is"
            f" that it lies between {primary.low:.3g} and {primary.high:.3g}"
        )
    found = data.duplicates
    if found.contradicting:
        yield f"{found.contradicting} rows have the inputs of another row and another {data.target}"
    if found.test_rows:
        yield f"{found.test_rows} test rows have the inputs of a row that was learned from"
    yield "it was not tested for fairness between groups of people: compare its errors for each before it decides"
    yield "what was learned is how things went together in the data, not what causes what"


def _columns(data: DataReport) -> Iterator[str]:
    shown = data.columns[:MAX_ROWS]
    yield from table(
        ("column", "kind", "missing", "distinct", "predicts alone"),
        (
            (
                plain(one.name),
                one.column_kind,
                str(one.missing),
                str(one.distinct),
                "" if one.alone is None else f"{max(one.alone, 0):.3f}",
            )
            for one in shown
        ),
    )
    yield from _more(len(data.columns), DATA_REPORT_FILE)


def _classes(data: DataReport) -> Iterator[str]:
    classes = data.classes or ()
    yield from table(
        ("class", "training", "validation", "test"),
        (
            (plain(one.label), str(one.rows.train), str(one.rows.validation), str(one.rows.test))
            for one in classes[:MAX_ROWS]
        ),
    )
    yield from _more(len(classes), DATA_REPORT_FILE)


def _by_class(matrix: ConfusionMatrix) -> Iterator[str]:
    counts = matrix.counts
    rows = []
    for at, label in enumerate(matrix.labels[:MAX_ROWS]):
        hits, true, predicted = counts[at][at], sum(counts[at]), sum(row[at] for row in counts)
        precision, recall = _share(hits, predicted), _share(hits, true)
        rows.append((plain(label), str(true), precision, recall, _share(2 * hits, true + predicted)))
    yield from table(("class", "test rows", "precision", "recall", "f1"), rows)
    yield from _more(len(matrix.labels), METRICS_FILE)


def _share(part: int, whole: int) -> str:
    """A ratio; nothing where there is none."""
    return f"{part / whole:.3f}" if whole else ""


def _more(count: int, file: str) -> list[str]:
    return ["", f"{count - MAX_ROWS} more are in `{file}`."] if count > MAX_ROWS else []
