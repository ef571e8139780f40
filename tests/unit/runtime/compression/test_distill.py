"""Students of trained models."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.compression.learning import apply_steps, context_of, iris, random_network
from tests.unit.runtime.compression.test_prune import perceptron, steps
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.compression import Compressible, StoredNetwork
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import MODEL_FILE
from modelservice.contract.task import RegressionLoss
from modelservice.families.architecture import Linear
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Side


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("species", {"decisionTree": {}}),
        ("species", {"mlp": {}}),
        ("petal_width", {"randomForest": {"trees": 20}}),
    ],
)
def test_any_model_teaches_a_network(target: str, model: dict[str, Any]) -> None:
    dataset = iris(target)
    teacher = produce(train_work(target=target, model=model)).files[MODEL_FILE]
    run = OnnxEngine(teacher).run
    asked = steps({"distill": {"student": {"layers": {"hiddenLayers": [16, 8]}}, "epochs": 60}})
    student = apply_steps(Compressible(onnx=teacher), asked, context_of(dataset, run))
    assert student.network is not None
    widths = [layer.outputs for layer in student.network.architecture.layers if isinstance(layer, Linear)]
    assert widths == [16, 8, 3 if target == "species" else 1]
    test = dataset.test
    known, learned = (
        dataset.task.primary(OnnxEngine(one).run(test.features), test.values) for one in (teacher, student.onnx)
    )
    assert learned > known - 0.05


def test_the_teacher_is_learned_not_only_the_labels() -> None:
    """With all weight on the teacher, labels are not looked at."""
    dataset = iris()

    def contrary(features: Any) -> Any:
        """Says of each flower that it is the last kind."""
        return np.tile(np.array([[0.01, 0.01, 0.98]], np.float32), (len(features), 1))

    asked = steps({"distill": {"student": {"layers": {}}, "epochs": 60, "weight": 1}})
    student = apply_steps(Compressible(onnx=b""), asked, context_of(dataset, contrary))
    found = OnnxEngine(student.onnx).run(dataset.test.features)
    assert found[:, 2].min() > 0.8


@pytest.mark.parametrize(
    ("loss", "heavy", "learned"),
    [(None, 1, 2.0), ({"mae": {}}, 1, 0.0), (None, 3, 30 / 7)],
)
def test_labels_teach_as_in_the_training(loss: dict[str, Any] | None, heavy: float, learned: float) -> None:
    """Nothing tells rows apart, four of five of which are 0 and the others 10: the mean or the median is learned."""
    dataset = iris("petal_width")

    def alike(side: Side, weight: float) -> Side:
        values = np.where(np.arange(len(side.values)) % 5 == 0, 10.0, 0.0)
        return replace(
            side, features=np.zeros_like(side.features), values=values, weights=1 + (weight - 1) * values / 10
        )

    plain, weighed = (
        replace(dataset, train=alike(dataset.train, weight), validation=alike(dataset.validation, weight))
        for weight in (1, heavy)
    )
    asked = None if loss is None else RegressionLoss.model_validate(loss)
    context = replace(context_of(plain, lambda features: features[:, :1]), learned=replace(weighed, loss=asked))
    student = {"distill": {"student": {"layers": {}}, "epochs": 60, "weight": 0}}
    small = apply_steps(Compressible(onnx=b""), steps(student), context)
    assert OnnxEngine(small.onnx).run(plain.test.features[:1] * 0)[0, 0] == pytest.approx(learned, abs=0.7)


def test_a_student_by_ratio_has_the_layers_of_the_teacher() -> None:
    dataset = iris()
    network = random_network(perceptron(64, 64))
    model = Compressible.of(network)
    asked = steps({"distill": {"student": {"sizeRatio": 8}, "epochs": 1}})
    student = apply_steps(model, asked, context_of(dataset, OnnxEngine(model.onnx).run)).network
    assert student is not None
    assert network.parameters / 10 < student.parameters <= network.parameters / 8
    kinds = [layer.kind for layer in student.architecture.layers]
    assert kinds == [layer.kind for layer in network.architecture.layers]


@pytest.mark.parametrize(
    ("student", "network", "words"),
    [
        ({"layers": {"channels": [4]}}, None, "takes images only: leave channels out"),
        ({"sizeRatio": 4}, None, r"choose spec\.model mlp or cnn"),
        ({"sizeRatio": 4}, random_network(perceptron()), "say which layers it has"),
        (
            {"sizeRatio": 100},
            random_network(perceptron(16)),
            r"is not possible: of 131 parameters single units in each layer leave 11: lower it to 11\.9 at most",
        ),
    ],
)
def test_what_cannot_be_a_student_is_refused(
    student: dict[str, Any], network: StoredNetwork | None, words: str
) -> None:
    with pytest.raises(StageError, match=words) as caught:
        apply_steps(
            Compressible(onnx=b"", network=network), steps({"distill": {"student": student}}), context_of(iris(), None)
        )
    assert (caught.value.reason, caught.value.field) == ("StepUnsuited", "spec.compression.steps")
