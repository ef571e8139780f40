"""The space of a search: what is refused before anything is trained, what is drawn, and how trials are halved."""

import itertools
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from modelservice.contract.keys import train_key
from modelservice.contract.metric_names import LOWER_IS_BETTER, KnownMetric
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.search import Search, Value
from modelservice.contract.trials import Rung, at_point, draw_points, named, rungs
from modelservice.tasks.binary import BINARY
from modelservice.tasks.regression import REGRESSION

RATE = {"path": "training.optimizer.adam.learningRate", "logUniform": {"min": 0.0001, "max": 0.1}}
DROPOUT = {"path": "model.mlp.dropout", "uniform": {"min": 0, "max": 0.5}}
LAYERS = {"path": "model.mlp.hiddenLayers", "values": [[8], [16, 16]]}
MOMENTUM = {"path": "training.optimizer.sgd.momentum", "values": [0.5, 0.9]}
NESTEROV = {"path": "training.optimizer.sgd.nesterov", "values": [True, False]}


def spec_of(
    *parameters: dict[str, Any], model: Any = None, training: Any = None, seed: int = 0, **search: Any
) -> ModelServiceSpec:
    searched = {"parameters": list(parameters), **search}
    return ModelServiceSpec.model_validate(
        {
            "data": {"configMap": {"name": "d"}, "target": "y"},
            "model": model or {"mlp": {"hiddenLayers": [4]}},
            "training": {"seed": seed, **(training or {}), "search": searched},
        }
    )


def points_of(spec: ModelServiceSpec) -> list[dict[str, Any]]:
    assert spec.training.search is not None
    return [dict(point) for point in draw_points(spec.model, spec.training, spec.training.search)]


SVM: dict[str, Any] = {"svm": {}}
SGD: dict[str, Any] = {"optimizer": {"sgd": {}}}
C, GAMMA = "model.svm.c", "model.svm.gamma"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no field": (
        {"path": "model.mlp.width", "values": [1]},
        "model.mlp.width is no field to search: model.mlp has hiddenLayers, activation, dropout, ensemble",
    ),
    "an object": ({"path": "training.optimizer", "values": [1]}, "training.optimizer is an object: name a field in it"),
    "another family": (
        {"path": C, "values": [1]},
        "model.svm.c cannot be searched, for model is mlp: set model.svm, or search that",
    ),
    "another optimizer": (
        {"path": "training.optimizer.sgd.momentum", "values": [0]},
        "training.optimizer is adam: set training.optimizer.sgd, or search that",
    ),
    "left out": (
        {"path": "training.earlyStopping.patience", "values": [5]},
        "training.earlyStopping is left out: write it down to search in it",
    ),
    "inside of a list": ({"path": "model.mlp.hiddenLayers.0", "values": [5]}, "model.mlp.hiddenLayers has no fields"),
    "the seed": (
        {"path": "training.seed", "values": [5]},
        "training.seed is no field to search: training has optimizer",
    ),
    "of the pod": ({"path": "training.timeoutSeconds", "values": [5]}, "is no field to search: training has optimizer"),
    "a share of an epoch": (
        {"path": "training.epochs", "uniform": {"min": 1, "max": 9}},
        "training.epochs is a whole number: use integers or values",
    ),
    "a range of texts": (
        {"path": "model.mlp.activation", "uniform": {"min": 1, "max": 9}},
        "model.mlp.activation is not a number: use values",
    ),
    "an unknown text": (
        {"path": "model.mlp.activation", "values": ["ReLU", "Sigmoid"]},
        "with model.mlp.activation Sigmoid: mlp.activation: 'Sigmoid': Input should be 'ReLU'",
    ),
    "the end of a range": (
        {"path": "model.mlp.dropout", "uniform": {"min": 0, "max": 0.95}},
        "with model.mlp.dropout 0.95: mlp.dropout: 0.95: Input should be less than or equal to 0.9",
    ),
    "a rule over several fields": (
        {"path": "model.mlp.ensemble", "values": [1, 8]},
        "with model.mlp.ensemble 8: an ensemble has layers and steps of its own",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_searched_is_named(case: str) -> None:
    parameter, said = REFUSED[case]
    with pytest.raises(ValidationError) as refused:
        spec_of(LAYERS, parameter)
    assert said in refused.value.errors()[0]["msg"].replace("model.mlp.hiddenLayers [8], ", "").replace(
        "model.mlp.hiddenLayers [16, 16], ", ""
    )


def test_what_auto_has_not_is_named() -> None:
    with pytest.raises(ValidationError, match=r"model\.auto\.trees is no field to search: model\.auto has candidates"):
        spec_of({"path": "model.auto.trees", "values": [1]}, model={"auto": {}})


def test_steps_are_of_gradient_families() -> None:
    with pytest.raises(ValidationError, match=r"with training\.epochs 5: all of training that says how to step"):
        spec_of({"path": "training.epochs", "values": [5]}, model=SVM)


@pytest.mark.parametrize("value", [None, {"a": 1}, [1.5], [True], float("inf"), "x" * 65, [1] * 17])
def test_values_are_plain(value: Any) -> None:
    with pytest.raises(ValidationError, match="must be a number, true or false, a text"):
        spec_of({"path": C, "values": [1, value]}, model=SVM)


def test_settings_that_need_each_other_are_drawn_together() -> None:
    spec_of(MOMENTUM, NESTEROV, training=SGD)
    still = {**MOMENTUM, "values": [0, 0.9]}
    with pytest.raises(ValidationError, match=r"nesterov needs momentum"):
        spec_of(still, NESTEROV, training=SGD)
    # Not even where the ends are good together: what would be trained is what is looked at.
    with pytest.raises(ValidationError, match=r"nesterov needs momentum"):
        spec_of({**MOMENTUM, "values": [0.9, 0]}, NESTEROV, training=SGD)


def test_the_first_trial_is_the_spec_and_the_others_differ() -> None:
    first, *others = points_of(spec_of(RATE, DROPOUT, LAYERS, trials=40))
    assert first == {RATE["path"]: 0.01, DROPOUT["path"]: 0.1, LAYERS["path"]: (4,)}
    assert len(others) == 39
    assert all(one != other for one, other in itertools.combinations([first, *others], 2))
    rates = [point[str(RATE["path"])] for point in others]
    assert all(0.0001 <= rate <= 0.1 and float(f"{rate:.4g}") == rate for rate in rates)
    assert 10 < sum(rate < 0.00316 for rate in rates) < 30
    assert {point[str(LAYERS["path"])] for point in others} == {(8,), (16, 16)}


def test_the_seed_alone_decides() -> None:
    assert points_of(spec_of(RATE, DROPOUT)) == points_of(spec_of(RATE, DROPOUT))
    assert points_of(spec_of(RATE, DROPOUT))[1:] != points_of(spec_of(RATE, DROPOUT, seed=1))[1:]
    # Stored trials, and what the operator found good, rely on these for ever.
    drawn = points_of(spec_of(RATE, trials=3))
    assert [point[str(RATE["path"])] for point in drawn] == [0.01, 0.03414, 0.01879]


def test_a_space_that_is_used_up_gives_fewer_trials() -> None:
    spec = spec_of({"path": GAMMA, "values": [1, 2]}, {"path": C, "integers": {"min": 1, "max": 3}}, model=SVM)
    first, *others = points_of(spec)
    assert first == {C: 1.0}
    assert sorted((point[GAMMA], point[C]) for point in others) == list(itertools.product((1, 2), (1, 2, 3)))


def test_a_point_changes_what_it_names_and_nothing_else() -> None:
    spec = spec_of(RATE, LAYERS, training={"epochs": 7, "l1": 0.5})
    model, training = at_point(spec.model, spec.training, {str(RATE["path"]): 0.5, str(LAYERS["path"]): (3, 2)})
    assert model.mlp is not None
    assert model.mlp.hidden_layers == (3, 2)
    assert training.optimizer.adam is not None
    assert training.optimizer.adam.learning_rate == 0.5
    changed = {"optimizer": spec.training.optimizer, "search": spec.training.search}
    assert training.model_copy(update=changed) == spec.training
    assert training.search is None


def test_a_point_is_said_with_short_names_where_they_are_clear() -> None:
    point: dict[str, Value] = {
        "model.mlp.dropout": 0.123456,
        "training.optimizer.sgd.nesterov": True,
        "model.mlp.hiddenLayers": (8, 4),
    }
    assert named(point) == "dropout 0.1235, nesterov true, hiddenLayers [8, 4]"
    assert named({"model.a.rate": 1, "training.rate": 2}) == "model.a.rate 1, training.rate 2"
    assert named({}) == "as written"


@pytest.mark.parametrize(
    ("trials", "epochs", "halving", "expected"),
    [
        (20, 60, None, [(19, None)]),
        (20, 60, {}, [(19, 7), (6, 21), (2, 60)]),
        (2, 60, {}, [(1, 20), (1, 60)]),
        (20, 60, {"reductionFactor": 4}, [(19, 4), (4, 16), (1, 60)]),
        (20, 60, {"minEpochs": 30}, [(19, 30), (6, 60)]),
        (5, 2, {}, [(4, 1), (1, 2)]),
    ],
)
def test_rungs(trials: int, epochs: int, halving: Any, expected: list[tuple[int, int | None]]) -> None:
    search = Search.model_validate({"trials": trials, "parameters": [DROPOUT], "halving": halving})
    assert rungs(search, epochs) == tuple(Rung(*one) for one in expected)


@pytest.mark.parametrize(("epochs", "halving"), [(1, {}), (10, {"minEpochs": 10})])
def test_there_must_be_epochs_to_save(epochs: int, halving: Any) -> None:
    with pytest.raises(ValidationError, match=r"minEpochs must be less than training\.epochs, which is"):
        spec_of(DROPOUT, training={"epochs": epochs}, halving=halving)


def test_an_ensemble_has_no_epochs_to_halve() -> None:
    sizes = {"path": "model.mlp.ensemble", "values": [4, 8]}
    spec_of(sizes, model={"mlp": {}})
    with pytest.raises(ValidationError, match="an ensemble has layers and steps of its own"):
        spec_of(sizes, model={"mlp": {}}, halving={})


def test_a_search_changes_the_key_and_what_it_leaves_out_does_not() -> None:
    digest = f"sha256:{'0' * 64}"
    searched = spec_of(DROPOUT)
    plain = searched.model_copy(update={"training": searched.training.model_copy(update={"search": None})})
    keys = [
        train_key(spec, digest) for spec in (plain, searched, spec_of(DROPOUT, trials=20, metric=None), spec_of(RATE))
    ]
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3


def test_metrics_are_those_of_the_tasks_and_know_their_direction() -> None:
    true, classes = np.arange(60) % 2, np.eye(2, dtype=np.float32)
    sure, guessed = classes[true] * 0.98 + 0.01, classes[true[::-1] * (np.arange(60) % 3 > 0)] * 0.7 + 0.15
    numbers = np.arange(60.0)
    near, far = (numbers[:, None].astype(np.float32) + error for error in (0.1, 9))
    found: dict[str, bool] = {}
    for task, good, poor, values, labels in (
        (BINARY, sure, guessed, true, ("no", "yes")),
        (REGRESSION, near, far, numbers, ()),
    ):
        better, worse = (task.score(raw, values, labels).evaluation.metrics for raw in (good, poor))
        found |= {one.name: one.value < other.value for one, other in zip(better, worse, strict=True)}
    assert found.keys() == {metric.value for metric in KnownMetric}
    assert {name for name, lower in found.items() if lower} == {metric.value for metric in LOWER_IS_BETTER}
