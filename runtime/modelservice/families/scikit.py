"""What the families of scikit-learn share: their rows, the conversion by skl2onnx, and the cut to one output."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import skl2onnx
import sklearn
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType
from sklearn.exceptions import ConvergenceWarning

from modelservice.contract.failure import DataError
from modelservice.contract.progress import Progress
from modelservice.families.base import INPUT_NAME, OPSET, OUTPUT_NAME, Fitted, Observer
from modelservice.families.onnx_graph import IR_VERSION, ROWS
from modelservice.modalities.base import Dataset, Features
from modelservice.tasks.base import Array

_DOMAINS = {"": OPSET, "ai.onnx.ml": 3}
"""What skl2onnx may use; version 3 of the second is what onnxruntime and skl2onnx are both tested with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FitRows:
    """Training and validation rows together, since nothing chooses an epoch.

    ``features`` are the numbers that serving sees, float32, held as float64 [rows, width]; ``values`` as in ``Target``.
    """

    features: NDArray[np.float64]
    values: NDArray[Any]


def fit_rows(dataset: Dataset) -> FitRows:
    """The rows to learn from.

    Raises:
        DataError: a class has no row among them.
    """
    values = np.concatenate([dataset.train.values, dataset.validation.values])
    for code, label in enumerate(dataset.labels):
        if not (values == code).any():
            raise DataError(
                "ClassTooSmall",
                f"{dataset.target} has no row of class {label!r} outside the test rows: add rows of it, or remove it",
                field="spec.data.target",
            )
    features = np.concatenate([dataset.train.features, dataset.validation.features]).astype(np.float64)
    return FitRows(features=features, values=values)


def fit_estimator(
    estimator: Any, dataset: Dataset, *, parameters: Callable[[Any], int], observe: Observer, remedy: str = ""
) -> Fitted:
    """Fit an estimator that skl2onnx converts.

    Args:
        estimator: of scikit-learn, with its random state set.
        dataset: the rows.
        parameters: counts those of the fitted estimator.
        observe: is told of the begin and the end.
        remedy: of an estimator that iterates: what to do if it did not converge, as the end of a sentence.

    Raises:
        DataError: see ``fit_rows``.
    """
    rows = fit_rows(dataset)
    observe(Progress(done=0, total=1))
    notes = fit_noting(estimator, rows, remedy)
    classifies = bool(dataset.labels)
    content = convert(estimator, shape=dataset.shape, width=len(dataset.labels) if classifies else 1)
    observe(Progress(done=1, total=1))

    def predict(features: Features) -> Array:
        raw = estimator.predict_proba(features) if classifies else estimator.predict(features)[:, np.newaxis]
        return np.asarray(raw, dtype=np.float32)

    return Fitted(
        onnx=content,
        predict=predict,
        parameters=parameters(estimator),
        libraries=libraries(skl2onnx),
        notes=notes,
    )


def fit_noting(estimator: Any, rows: FitRows, remedy: str) -> tuple[str, ...]:
    """Fit, and say in a sentence if the estimator stopped before it converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(rows.features, rows.values)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        return (f"the fit stopped before it converged: {remedy}",)
    return ()


def libraries(*others: Any) -> dict[str, str]:
    """Versions of scikit-learn, onnx and others, by name."""
    return {
        "scikit-learn": str(sklearn.__version__),
        **{module.__name__: str(module.__version__) for module in (onnx, *others)},
    }


def convert(estimator: Any, *, shape: tuple[int, ...], width: int) -> bytes:
    """``model.onnx`` of a fitted estimator: its probabilities, or its value, and nothing else.

    Args:
        estimator: a classifier of the classes 0 to ``width`` - 1, or a regressor.
        shape: of a row.
        width: raw outputs.
    """
    is_classifier = hasattr(estimator, "predict_proba")
    model = skl2onnx.convert_sklearn(
        estimator,
        name="model",
        initial_types=[(INPUT_NAME, FloatTensorType([None, *shape]))],
        target_opset=_DOMAINS,
        options={id(estimator): {"zipmap": False}} if is_classifier else None,
    )
    # A classifier's outputs are the label and the probabilities, a regressor's only one is the value.
    _cut(model.graph, model.graph.output[-1].name, shape=shape, width=width)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if not versions.keys() <= _DOMAINS.keys():
        raise ValueError(f"skl2onnx used operators of {sorted(versions.keys() - _DOMAINS.keys())}")
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, versions[domain]) for domain in sorted(versions))
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _cut(graph: onnx.GraphProto, output: str, *, shape: tuple[int, ...], width: int) -> None:
    """Keep what one output needs, under the name that all models have for theirs."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [OUTPUT_NAME if name == output else name for name in names]
    kept = [constant for constant in graph.initializer if constant.name in needed]
    cut = helper.make_graph(
        nodes[::-1],
        "model",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [ROWS, *shape])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [ROWS, width])],
        kept,
    )
    graph.CopyFrom(cut)
