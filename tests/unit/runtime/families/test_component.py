"""Components: one function on arrays each, and several of them in one ``model.onnx``."""

from typing import Any

import numpy as np
import onnx
import pytest
from tests.unit.runtime.families.datasets import load, run_onnx

from modelservice.contract.estimators import GradientBoosting, KernelRidge, RandomForest
from modelservice.families.boosting import fit_boosting
from modelservice.families.component import Fit
from modelservice.families.fit_rows import fit_rows
from modelservice.families.forest import fit_forest
from modelservice.families.kernel_regression import fit_kernel_ridge
from modelservice.families.onnx_graph import Graph

FITS: tuple[tuple[Fit, Any], ...] = (
    (fit_forest, RandomForest(trees=20)),
    (fit_boosting, GradientBoosting(rounds=20)),
    (fit_kernel_ridge, KernelRidge()),
)


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes"])
def test_components_of_every_kind_are_blended_in_one_graph(name: str) -> None:
    dataset = load(name)
    rows, classes = fit_rows(dataset), len(dataset.labels)
    components = [
        fit(
            settings,
            rows.features.astype(np.float32),
            rows.values,
            classes=classes,
            seed=seed,
            observe=lambda _: None,
        )
        for seed, (fit, settings) in enumerate(FITS * 2)
    ]
    graph = Graph()
    graph.add("Mean", *(one.append_to(graph.part(f"{place}")) for place, one in enumerate(components)))
    content = graph.model(shape=dataset.shape, width=classes or 1)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    expected = np.mean([one.predict(dataset.test.features) for one in components], axis=0)
    np.testing.assert_allclose(run_onnx(content, dataset.test.features), expected, rtol=1e-5, atol=1e-6)
    assert {one.width for one in components} == {classes or 1}
