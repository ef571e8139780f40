"""A stored model in a few tables, for people."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelservice.contract.digests import digits
from modelservice.contract.evaluation import Evaluation
from modelservice.contract.manifest import Manifest
from modelservice.contract.signature import InputColumn, InputTensor, Output, Signature
from modelservice.tasks.metrics_document import ConfusionMatrix, MetricsDocument

_MAX_CLASSES_SHOWN = 12


def print_summary(console: Console, *, manifest: Manifest, digest: str, metrics: MetricsDocument | None) -> None:
    """Print what was learned from, how good it is, and where it errs."""
    if (data := manifest.data) is not None:
        console.print(Text(f"{manifest.name}: {data.sizes}"))
        for note in data.notes:
            console.print(Text(f"  {note}"))
    if metrics is not None:
        _print_metrics(console, metrics)
    if manifest.compression is not None:
        console.print(Text(f"compression: {manifest.compression.message}"))
    if manifest.weights is not None:
        console.print(Text(f"weights {manifest.weights}"), soft_wrap=True)
    epoch = "" if metrics is None or metrics.best_epoch is None else f", best epoch {metrics.best_epoch}"
    parameters = "" if manifest.parameters is None else f", {manifest.parameters} parameters"
    console.print(Text(f"{manifest.family}{epoch}{parameters}"))
    console.print(Text(f"digest {digest}"), soft_wrap=True)


def print_contents(console: Console, *, manifest: Manifest, signature: Signature) -> None:
    """Print what an artifact consists of: its key, its inputs and outputs, its files."""
    made, parent = manifest.producer, manifest.parent
    origin = "" if parent is None else f", from {parent.key}"
    console.print(Text(f"key {manifest.key}, stage {manifest.stage}{origin}, schema version {manifest.schema_version}"))
    libraries = "".join(f", {name} {version}" for name, version in made.libraries.items())
    console.print(Text(f"made by modelservice {made.modelservice}, Python {made.python}{libraries}"))
    found = manifest.model.max_difference
    difference = "" if found is None else f", differs from the trained model by at most {found:.2g}"
    console.print(Text(f"ONNX opset {manifest.model.opset}{difference}"))
    files = Table()
    files.add_column("file")
    files.add_column("bytes", justify="right")
    files.add_column("sha256")
    for name, entry in manifest.files.items():
        files.add_row(name, str(entry.size), digits(entry.sha256)[:16])
    console.print(Text("\ninputs" + ("" if signature.target is None else f", to predict {signature.target}")))
    console.print(_inputs(signature))
    console.print("\noutputs")
    console.print(_outputs(signature))
    console.print("\nfiles")
    console.print(files, "")


def print_reports(console: Console, *, address: str, manifest: Manifest) -> None:
    """Print where the model card is, and what lies beside it; nothing of an artifact that has no reports."""
    if reports := manifest.reports:
        card, *others = reports
        beside = f"; beside it {', '.join(others)}" if others else ""
        console.print(Text(f"model card {address.rstrip('/')}/{card}{beside}"), soft_wrap=True)


def _print_metrics(console: Console, metrics: MetricsDocument) -> None:
    averaged = " (precision, recall and f1 are macro averages)" if metrics.confusion_matrix is not None else ""
    console.print(f"\nmetrics{averaged}")
    console.print(_scores(metrics))
    if metrics.confusion_matrix is not None:
        _print_confusion(console, metrics.confusion_matrix)
    console.print(Text(_headline(metrics.test)))


def _inputs(signature: Signature) -> Table:
    table = Table()
    for name in ("input", "type", "example", "categories"):
        table.add_column(name)
    for described in signature.inputs:
        match described:
            case InputColumn():
                listed = Text(_listed(described.categories))
                table.add_row(Text(described.name), described.type.value, Text(str(described.example)), listed)
            case InputTensor():
                table.add_row(Text(described.name), f"{described.datatype} {list(described.shape)}", "", "")
    return table


def _outputs(signature: Signature) -> Table:
    table = Table()
    for name in ("output", "type", "labels"):
        table.add_column(name)
    for output in signature.outputs:
        table.add_row(output.name, f"{output.datatype} {list(output.shape)}", Text(_meaning(output, signature.labels)))
    return table


def _meaning(output: Output, labels: tuple[str, ...]) -> str:
    """The labels of its values, or from which probability on it is the second one."""
    if output.threshold is not None:
        return f"{labels[1]} from {_figure(output.threshold)} on"
    return _listed(output.labels or ())


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _MAX_CLASSES_SHOWN
    return ", ".join(names[:_MAX_CLASSES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _scores(metrics: MetricsDocument) -> Table:
    """A line for each metric, so that the table stays as narrow as the sides are few."""
    sides = tuple(_sides(metrics))
    folds = metrics.cross_validation
    of_folds = {} if folds is None else {one.name: one for one in folds.metrics}
    table = Table()
    for name in ("", *(side for side, _ in sides), *([] if folds is None else [f"{folds.folds} folds"])):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("rows", *(str(evaluation.rows) for _, evaluation in sides))
    for name in [metric.name for metric in metrics.test.metrics]:
        figures = (evaluation.metric(name) for _, evaluation in sides)
        shown = ["" if found is None else _figure(found.value) for found in figures]
        if (found := of_folds.get(name)) is not None:
            shown.append(f"{_figure(found.mean)} \u00b1 {_figure(found.deviation)}")
        table.add_row(name, *shown)
    return table


def _sides(metrics: MetricsDocument) -> Iterator[tuple[str, Evaluation]]:
    yield "train", metrics.train
    if metrics.validation is not None:
        yield "validation", metrics.validation
    yield "test", metrics.test


def _headline(test: Evaluation) -> str:
    primary = test.primary_metric
    interval = ""
    if primary.low is not None and primary.high is not None:
        interval = f" (95 % interval {_figure(primary.low)} to {_figure(primary.high)})"
    return f"test {primary.name} {_figure(primary.value)}{interval}"


def _figure(value: float) -> str:
    """Three decimals, or as many digits where a metric has the target's own unit and is large or small."""
    return f"{value:.3f}" if 1e-3 <= abs(value) < 1e3 or value == 0 else f"{value:.4g}"  # noqa: PLR2004


def _print_confusion(console: Console, matrix: ConfusionMatrix) -> None:
    if len(matrix.labels) > _MAX_CLASSES_SHOWN:
        console.print(f"\n{len(matrix.labels)} classes: the confusion matrix is in metrics.json")
        return
    table = Table()
    table.add_column("")
    for label in matrix.labels:
        table.add_column(Text(label), justify="right")
    for label, counts in zip(matrix.labels, matrix.counts, strict=True):
        table.add_row(Text(label), *map(str, counts))
    console.print("\ntest rows by true class (down) and predicted class (across)")
    console.print(table)
