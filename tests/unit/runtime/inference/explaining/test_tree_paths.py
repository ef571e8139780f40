"""Paths and contributions are those of scikit-learn's own trees, and add up to what is answered."""

import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import helper
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.unit.runtime.families.datasets import fit, load, split_alike

from modelservice.contract.estimators import GradientBoosting, RandomForest
from modelservice.contract.signature import Signature
from modelservice.families.architecture import Curve
from modelservice.families.base import Fitted
from modelservice.families.boosting import fit_boosting
from modelservice.families.calibration import isotonic_graph, sharpened_graph
from modelservice.families.fit_rows import fit_rows
from modelservice.families.forest import fit_forest
from modelservice.families.onnx_graph import Graph
from modelservice.inference.explaining import tree_paths
from modelservice.inference.explaining.tree_file import NoTreesError
from modelservice.inference.explaining.tree_paths import TreePaths, UnlikeAnswerError
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset
from modelservice.modalities.table.encoder import TableEncoder
from modelservice.modalities.table.kinds.number import NumericPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.tasks import task_named
from modelservice.tasks.base import ServedTask
from modelservice.tasks.threshold import BinaryThreshold

TREE: dict[str, Any] = {"decisionTree": {}}
FOREST: dict[str, Any] = {"randomForest": {"trees": 12}}
BOOSTING: dict[str, Any] = {"gradientBoosting": {"rounds": 15}}


def explainer(content: bytes, *, width: int, labels: tuple[str, ...], task: ServedTask | None = None) -> TreePaths:
    """A model of columns x0, x1, ... that are standardised already."""
    columns = tuple(NumericPreprocessing(name=f"x{place}", mean=0, std=1, fill=0, example=0) for place in range(width))
    encoder = TableEncoder(TablePreprocessing(columns=columns))
    task = task or task_named({0: "Regression", 2: "Binary"}.get(len(labels), "Multiclass"))
    signature = Signature(
        modality="Table", task=task.name, target="y", inputs=encoder.inputs, outputs=task.outputs(labels)
    )
    return TreePaths(encoder, OnnxEngine(content), signature)


def explain(content: bytes, rows: Any, labels: tuple[str, ...], label: int | None = None) -> list[dict[str, Any]]:
    rows = np.asarray(rows, np.float32)
    paths = explainer(content, width=rows.shape[1], labels=labels)
    return paths.explanations(paths.run(rows, label), rows.tolist())


def contributions(found: list[dict[str, Any]]) -> Any:
    return np.array([list(one["contributions"].values()) for one in found])


def column(found: list[dict[str, Any]], name: str) -> Any:
    return np.array([one[name] for one in found])


def by_decision_path(tree: Any, rows: Any, values: Any) -> tuple[float, Any]:
    """Base and contributions by scikit-learn's own nodes; ``values`` are what it says at each of them."""
    added = np.zeros(rows.shape)
    for row, path in enumerate(tree.decision_path(rows)):
        nodes = path.indices  # in the order of the path: children stand after their parents
        for at, after in pairwise(nodes):
            added[row, tree.tree_.feature[at]] += values[after] - values[at]
    return float(values[0]), added


@cache
def fitted(name: str, kind: str) -> tuple[Dataset, Fitted]:
    return load(name), fit(load(name), {"tree": TREE, "forest": FOREST, "boosting": BOOSTING}[kind])


def test_a_tree_is_told_as_scikit_learn_grows_it() -> None:
    dataset, model = fitted("iris", "tree")
    rows = fit_rows(dataset)
    tree = DecisionTreeClassifier(random_state=0).fit(rows.features, rows.values)
    shown = dataset.test.features
    found = explain(model.onnx, shown, dataset.labels, label=1)
    base, added = by_decision_path(tree, shown, tree.tree_.value[:, 0, 1])
    np.testing.assert_allclose(contributions(found), added, atol=1e-12)
    np.testing.assert_allclose(column(found, "base"), base)
    for one, row, nodes in zip(found, shown, tree.decision_path(shown), strict=True):
        path = nodes.indices
        assert one["rows"] == len(rows.values)
        assert [step["rows"] for step in one["path"]] == tree.tree_.n_node_samples[path[1:]].tolist()
        np.testing.assert_allclose([step["expected"] for step in one["path"]], tree.tree_.value[path[1:], 0, 1])
        assert [step["column"] for step in one["path"]] == [f"x{tree.tree_.feature[at]}" for at in path[:-1]]
        for step, at in zip(one["path"], path, strict=False):
            sign, bound = step["condition"].split()
            left = row[tree.tree_.feature[at]] <= tree.tree_.threshold[at]
            assert sign == ("<=" if left else ">")
            assert float(bound) == pytest.approx(tree.tree_.threshold[at], abs=1e-6)
            assert step["cell"] == row[tree.tree_.feature[at]]


def test_the_label_that_is_answered_is_explained_where_a_threshold_decides() -> None:
    dataset, model = fitted("breast_cancer", "forest")
    rows = np.asarray(dataset.test.features, np.float32)
    paths = explainer(model.onnx, width=rows.shape[1], labels=dataset.labels, task=BinaryThreshold(0.95))
    found = paths.explanations(paths.run(rows, None), rows.tolist())
    probable = [one["answer"] if one["label"] == "1" else 1 - one["answer"] for one in found]
    assert [one["label"] for one in found] == ["1" if probability >= 0.95 else "0" for probability in probable]
    assert any(0.5 < probability < 0.9 for probability in probable)


def test_a_tree_of_numbers_is_told_in_their_unit() -> None:
    dataset, model = fitted("diabetes", "tree")
    rows = fit_rows(dataset)
    tree = DecisionTreeRegressor(random_state=0)
    tree.fit(rows.features, (rows.values - rows.values.mean()) / rows.values.std())
    expected = tree.tree_.value[:, 0, 0] * rows.values.std() + rows.values.mean()
    found = explain(model.onnx, dataset.test.features, ())
    base, added = by_decision_path(tree, dataset.test.features, expected)
    assert base == pytest.approx(rows.values.mean())
    np.testing.assert_allclose(contributions(found), added, atol=1e-4)  # rows of nodes are float32
    np.testing.assert_allclose(column(found, "value"), model.predict(dataset.test.features)[:, 0], rtol=1e-6)
    assert {one["scale"] for one in found} == {"Answer"}


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_a_forest_is_the_mean_of_its_trees_and_what_stands_beside_them(name: str) -> None:
    dataset = load(name)
    rows, labels = fit_rows(dataset), dataset.labels
    model = fit_forest(
        RandomForest(trees=12),
        rows.features.astype(np.float32),
        rows.values,
        classes=len(labels),
        seed=0,
        observe=lambda _: None,
    )
    graph, shown = Graph(), dataset.test.features
    model.append_to(graph)
    found = explain(graph.model(shape=dataset.shape, width=model.width), shown, labels, label=2 if labels else None)
    of_trees = [
        by_decision_path(tree, shown, tree.tree_.value[:, 0, 2 if labels else 0])
        for tree in model.estimator.estimators_
    ]
    base, added = (np.array(part).sum(axis=0) for part in zip(*of_trees, strict=True))
    if labels:
        base, added = (base + model.prior[2]) / 13, added / 13
    else:
        assert model.scale is not None
        base, added = base / 12 * model.scale.std + model.scale.mean, added / 12 * model.scale.std
    np.testing.assert_allclose(column(found, "base"), base, rtol=1e-6)
    np.testing.assert_allclose(contributions(found), added, atol=1e-6 if labels else 1e-4)
    answers = model.predict(shown)[:, 2 if labels else 0]
    np.testing.assert_allclose(column(found, "value"), answers, rtol=1e-5)
    assert "path" not in found[0]


@pytest.mark.parametrize(("name", "scale"), [("breast_cancer", "LogOdds"), ("iris", "Logit"), ("diabetes", "Answer")])
def test_boosting_is_explained_in_what_its_trees_add_up(name: str, scale: str) -> None:
    dataset = load(name)
    rows, labels = fit_rows(dataset), dataset.labels
    model = fit_boosting(
        GradientBoosting(rounds=15),
        rows.features.astype(np.float32),
        rows.values,
        classes=len(labels),
        seed=0,
        observe=lambda _: None,
    )
    graph, shown = Graph(), dataset.test.features
    model.append_to(graph)
    content = graph.model(shape=dataset.shape, width=model.width)
    for label in range(len(labels)) or [None]:
        found = explain(content, shown, labels, label=label)
        estimator: HistGradientBoostingClassifier | HistGradientBoostingRegressor = model.estimator
        if not labels:
            sums = model.predict(shown)[:, 0]
        else:
            said = estimator.decision_function(shown)
            sums = said[:, label] if said.ndim > 1 else said * (1 if label else -1)
        np.testing.assert_allclose(column(found, "value"), sums, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(column(found, "answer"), model.predict(shown)[:, label or 0], rtol=1e-5)
        assert {one["scale"] for one in found} == {scale}
        total = column(found, "base") + contributions(found).sum(axis=1)
        np.testing.assert_allclose(total, column(found, "value"), rtol=1e-12, atol=1e-12)
    learned = explain(content, rows.features, labels, label=1 if labels else None)
    assert np.mean(column(learned, "value")) == pytest.approx(learned[0]["base"], rel=1e-6, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_contributions_add_up_whatever_was_learned(data: Any) -> None:
    rows, width = data.draw(st.integers(8, 40)), data.draw(st.integers(1, 4))
    cells = st.floats(-1e3, 1e3, width=32)
    features = data.draw(arrays.arrays(np.float32, (rows, width), elements=cells))
    labels = data.draw(st.sampled_from([(), ("n", "y"), ("a", "b", "c")]))
    values = np.arange(rows) % len(labels) if labels else data.draw(arrays.arrays(np.float64, rows, elements=cells))
    model = data.draw(
        st.sampled_from(
            [
                {"decisionTree": {"maxDepth": 4}},
                {"randomForest": {"trees": 4}},
                {"gradientBoosting": {"rounds": 3, "minSamplesLeaf": 2}},
            ]
        )
    )
    fitted_ = fit(split_alike(features, values, labels=labels), model)
    shown = data.draw(arrays.arrays(np.float32, (5, width), elements=cells))
    found = explain(fitted_.onnx, shown, labels)
    answers = fitted_.predict(shown)
    chosen = answers.argmax(axis=1)
    assert [one.get("label") for one in found] == ([labels[label] for label in chosen] if labels else [None] * 5)
    value, base = column(found, "value"), column(found, "base")
    size = 1 + np.abs(values).max()
    np.testing.assert_allclose(base + contributions(found).sum(axis=1), value, rtol=0, atol=1e-9 * size)
    np.testing.assert_allclose(column(found, "answer"), answers[np.arange(5), chosen], rtol=0, atol=1e-5 * size)
    if found[0]["scale"] == "Answer":
        np.testing.assert_allclose(value, column(found, "answer"), rtol=0, atol=1e-5 * size)
    for one in found:
        ends = [one["base"], *(step["expected"] for step in one.get("path", []))]
        assert "path" not in one or ends[-1] == pytest.approx(one["value"], abs=1e-9 * size)


def test_rows_that_count_more_than_others_do_so_in_what_is_expected() -> None:
    dataset = load("diabetes")
    weights = np.random.default_rng(0).uniform(0, 2, len(dataset.train.values))
    weights[:5] = 0
    sides: dict[str, Any] = {
        name: replace(side, weights=weights[: len(side.values)])
        for name, side in (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test))
    }
    weighted = replace(dataset, **sides)
    rows = fit_rows(weighted)
    assert rows.weights is not None
    for model in (TREE, FOREST):
        found = explain(fit(weighted, model).onnx, rows.features[:3], ())
        np.testing.assert_allclose(
            column(found, "base") + contributions(found).sum(axis=1), column(found, "value"), rtol=1e-12
        )
    (one, *_) = explain(fit(weighted, TREE).onnx, rows.features[:1], ())
    assert one["base"] == pytest.approx(np.average(rows.values, weights=rows.weights), rel=1e-5)
    assert one["rows"] == pytest.approx(rows.weights.sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "kind", "scale"),
    [("iris", "tree", "Uncalibrated"), ("wine", "forest", "Uncalibrated"), ("breast_cancer", "boosting", "LogOdds")],
)
@pytest.mark.parametrize("isotonic", [True, False])
def test_what_is_calibrated_is_explained_before_and_answered_after(
    name: str, kind: str, scale: str, isotonic: bool
) -> None:
    dataset, model = fitted(name, kind)
    labels, shown = dataset.labels, dataset.test.features
    width, shape = len(labels), dataset.shape
    if isotonic:
        curve = Curve(knots=(0.0, 0.3, 0.7, 1.0), values=(0.05, 0.2, 0.8, 0.95))
        curves = [curve] * (1 if width == 2 else width)
        content = isotonic_graph(model.onnx, shape=shape, width=width, curves=curves)
    else:
        content = sharpened_graph(model.onnx, shape=shape, width=width, power=0.5)
    plain, found = explain(model.onnx, shown, labels), explain(content, shown, labels)
    assert {one["scale"] for one in found} == {scale}
    for name_ in ("label", "value", "base"):
        assert column(found, name_).tolist() == column(plain, name_).tolist()
    assert np.abs(column(found, "answer") - column(plain, "answer")).max() > 1e-4


def without(content: bytes, change: Any) -> bytes:
    """A model whose node of trees was changed."""
    model = onnx.load_from_string(content)
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    change(node)
    changed: bytes = model.SerializeToString()
    return changed


def attribute(node: Any, name: str) -> Any:
    return next(one for one in node.attribute if one.name == name)


def blended() -> bytes:
    graph, shape = Graph(), load("iris").shape
    parts = []
    for place in range(2):
        part = graph.part(f"part{place}")
        parts.append(part.append_model(fitted("iris", "tree" if place else "forest")[1].onnx))
    graph.add("Mean", *parts)
    return graph.model(shape=shape, width=3)


def behind() -> bytes:
    graph, shape = Graph(), load("iris").shape
    graph.add("Mul", graph.value, graph.constant("two", np.array([[2]], np.float32)))
    graph.append_model(fitted("iris", "tree")[1].onnx)
    return graph.model(shape=shape, width=3)


def averaged(node: Any) -> None:
    node.attribute.append(helper.make_attribute("aggregate_function", "AVERAGE"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: fit(load("iris"), {"logistic": {}}).onnx, "this model is no decision tree, forest or boosting; leave"),
        (blended, "this model blends trees with others"),
        (behind, "the trees of this model do not look at its columns"),
        (
            lambda: without(tree(), lambda node: node.attribute.remove(attribute(node, "nodes_hitrates"))),
            "the file of this model does not say how many rows of training came to each node of its trees",
        ),
        (
            lambda: without(tree(), lambda node: attribute(node, "nodes_hitrates").floats.__setitem__(0, 1)),
            "train again; leave method out, which explains by Shapley values",
        ),
        (lambda: without(tree(), averaged), "written elsewhere, or by an earlier release, in a form that is not read"),
    ],
)
def test_what_is_not_made_of_trees_alone_is_refused(content: Any, said: str) -> None:
    with pytest.raises(NoTreesError, match=re.escape(said)):
        explain(content(), load("iris").test.features, load("iris").labels)


def tree() -> bytes:
    return fitted("iris", "tree")[1].onnx


def test_a_blend_of_one_forest_is_a_forest() -> None:
    dataset, model = fitted("diabetes", "forest")
    graph = Graph()
    part = graph.part("model")
    whole = part.add("Mul", part.append_model(model.onnx), part.constant("share", np.array([[1]], np.float32)))
    graph.add("Sum", whole)
    shown = dataset.test.features
    assert explain(graph.model(shape=dataset.shape, width=1), shown, ()) == explain(model.onnx, shown, ())


def test_answers_that_are_not_those_of_the_trees_are_not_explained() -> None:
    """As if a node were read in another way than onnxruntime reads it."""
    dataset, model = fitted("iris", "forest")
    shown = dataset.test.features
    paths = explainer(model.onnx, width=4, labels=dataset.labels)
    engine = OnnxEngine(model.onnx)
    other: Any = SimpleNamespace(content=model.onnx, run=lambda rows: engine.run(rows)[:, ::-1])
    paths._engine = other
    with pytest.raises(UnlikeAnswerError, match="where the model answers"):
        paths.run(shown, 0)


def test_many_rows_are_followed_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, model = fitted("wine", "forest")
    whole = explain(model.onnx, dataset.test.features, dataset.labels)
    monkeypatch.setattr(tree_paths, "_AT_ONCE", 30)
    assert explain(model.onnx, dataset.test.features, dataset.labels) == whole
    assert {one["label"] for one in whole} == set(dataset.labels)
