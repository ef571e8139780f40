"""A stored model in a few tables, for people."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelservice.contract.manifest import Manifest, Signature
from modelservice.training.metrics import ConfusionMatrix, MetricsDocument

_MAX_CLASSES_SHOWN = 12


def print_summary(console: Console, *, manifest: Manifest, digest: str, metrics: MetricsDocument) -> None:
    """Print what was learned from, how good it is, and where it errs."""
    data = manifest.data
    console.print(Text(f"{manifest.name}: {data.rows} rows, {data.features} features, {data.classes} classes"))
    for note in data.notes:
        console.print(Text(f"  {note}"))
    console.print("\nmetrics (precision, recall and f1 are macro averages)")
    console.print(_scores(metrics))
    _print_confusion(console, metrics.test.confusion_matrix)
    low, high = metrics.test.accuracy_interval
    accuracy = f"test accuracy {metrics.test.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f})"
    console.print(Text(accuracy))
    console.print(Text(f"best epoch {metrics.best_epoch}, {manifest.parameters} parameters"))
    console.print(Text(f"digest {digest}"), soft_wrap=True)


def print_contents(console: Console, *, manifest: Manifest, signature: Signature) -> None:
    """Print what an artifact consists of: its key, its input columns, its files."""
    console.print(Text(f"key {manifest.key}, schema version {manifest.schema_version}"))
    made = manifest.producer
    console.print(Text(f"made by modelservice {made.modelservice}, torch {made.torch}, Python {made.python}"))
    inputs = Table()
    for name in ("column", "kind", "example", "categories"):
        inputs.add_column(name)
    for column in signature.inputs:
        listed = ", ".join(column.categories[:_MAX_CLASSES_SHOWN])
        more = len(column.categories) - _MAX_CLASSES_SHOWN
        listed += f" and {more} more" if more > 0 else ""
        inputs.add_row(Text(column.name), column.kind.value, Text(str(column.example)), Text(listed))
    files = Table()
    files.add_column("file")
    files.add_column("bytes", justify="right")
    files.add_column("sha256")
    for name, entry in manifest.files.items():
        files.add_row(name, str(entry.size), entry.sha256.removeprefix("sha256:")[:16])
    console.print(Text(f"\ninputs, to predict {signature.target}"))
    console.print(inputs)
    console.print("\nfiles")
    console.print(files, "")


def _scores(metrics: MetricsDocument) -> Table:
    table = Table()
    table.add_column("")
    for name in ("rows", "accuracy", "precision", "recall", "f1", "loss"):
        table.add_column(name, justify="right")
    for name, side in (("train", metrics.train), ("validation", metrics.validation), ("test", metrics.test)):
        figures = (side.accuracy, side.precision, side.recall, side.f1, side.loss)
        table.add_row(name, str(side.rows), *(f"{figure:.3f}" for figure in figures))
    return table


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
