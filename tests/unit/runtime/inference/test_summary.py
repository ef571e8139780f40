"""A stored model as people see it, in a terminal of 80 columns."""

import io
import re
from typing import Any

import pytest
from rich.console import Console
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.contract.task import Task
from modelservice.inference.summary import print_contents, print_summary
from modelservice.stages.base import Produced

ROWS = "\n".join(["x,y", *(f"{n % 37},{'yes' if n % 37 + n % 5 > 25 else 'no'}" for n in range(200))]).encode()


def shown(produced: Produced) -> tuple[str, str]:
    """The summary, and what the artifact consists of."""
    first, second = (Console(file=io.StringIO(), width=80) for _ in range(2))
    print_summary(first, manifest=produced.manifest, digest=produced.digest, metrics=produced.metrics)
    print_contents(second, manifest=produced.manifest, signature=produced.signature)
    return written(first), written(second)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def trained(task: dict[str, Any], **split: Any) -> Produced:
    work = train_work(target="y", model={"logistic": {}}, split=split)
    return produce(work.model_copy(update={"task": Task.model_validate(task)}), ROWS)


def line(page: str, name: str) -> list[str]:
    """The cells of the line that begins so."""
    (found,) = (one for one in page.splitlines() if re.match(rf"│ {name} ", one))
    return [cell.strip() for cell in found.strip("│").split("│")]


def test_each_metric_has_a_line_and_each_side_a_column() -> None:
    produced = trained({"classification": {}})
    summary, _ = shown(produced)
    metrics = produced.metrics
    assert line(summary, "rows") == ["rows", str(metrics.train.rows), str(metrics.test.rows)]
    for metric in metrics.test.metrics:
        name, train, test = line(summary, metric.name)
        assert (name, test) == (metric.name, f"{metric.value:.3f}")
        assert train
    assert "…" not in summary


def test_folds_are_a_column_of_means_and_deviations() -> None:
    produced = trained({"classification": {}}, folds=3)
    found = produced.metrics.cross_validation
    assert found is not None
    accuracy = next(one for one in found.metrics if one.name == "accuracy")
    summary, _ = shown(produced)
    assert "3 folds" in summary
    assert line(summary, "accuracy")[-1] == f"{accuracy.mean:.3f} ± {accuracy.deviation:.3f}"


@pytest.mark.parametrize("asked", [{}, {"threshold": {"maximize": "F1"}}])
def test_an_output_says_its_threshold(asked: dict[str, Any]) -> None:
    produced = trained({"classification": {"positiveLabel": "yes", **asked}})
    _, contents = shown(produced)
    threshold = produced.signature.outputs[0].threshold
    expected = "" if threshold is None else f"yes from {threshold:.3f} on"
    assert line(contents, "label") == ["label", "BYTES []", expected]
    assert line(contents, "probabilities") == ["probabilities", "FP32 [2]", "no, yes"]
