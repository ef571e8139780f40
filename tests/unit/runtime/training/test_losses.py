"""Losses that a task may ask for, against their formulas in float64."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.runtime.families.datasets import build, fit, load, primary

from modelservice.contract.optimizers import Adam, Optimizer
from modelservice.contract.task import ClassificationLoss, RegressionLoss
from modelservice.families import ensemble
from modelservice.modalities.imbalance import by_class_weight
from modelservice.tasks.base import Loss
from modelservice.training.losses import OBJECTIVES, objective_of, row_loss, without_smoothing
from modelservice.training.member_losses import MEMBER_OBJECTIVES, member_objective_of

ROWS, CLASSES = 40, 4


def classes_by(**asked: Any) -> ClassificationLoss:
    return ClassificationLoss.model_validate(asked)


def numbers_by(**asked: Any) -> RegressionLoss:
    return RegressionLoss.model_validate(asked)


def drawn(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs float64 [rows, logits], some far out, and targets."""
    generator = np.random.default_rng(classes)
    outputs = torch.from_numpy(generator.normal(scale=3, size=(ROWS, 1 if classes <= 2 else classes)))
    values = generator.normal(size=ROWS) if not classes else generator.integers(0, classes, ROWS)
    return outputs, torch.from_numpy(values).double() if classes <= 2 else torch.from_numpy(values)


def probabilities(outputs: torch.Tensor) -> Any:
    """float64 [rows, classes] as the head makes them; of one logit it is that of the second class."""
    logits = outputs.numpy() if outputs.shape[1] > 1 else np.concatenate([np.zeros((ROWS, 1)), outputs.numpy()], axis=1)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


KINDS = {2: Loss.BINARY_CROSS_ENTROPY, CLASSES: Loss.CROSS_ENTROPY}


@pytest.mark.parametrize("classes", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_cross_entropy_is_that_of_smoothed_labels(classes: int, smoothing: float) -> None:
    outputs, targets = drawn(classes)
    smoothed = np.full((ROWS, classes), smoothing / classes)
    smoothed[np.arange(ROWS), targets.long().numpy()] += 1 - smoothing
    expected = -(smoothed * np.log(probabilities(outputs))).sum(axis=1)
    found = row_loss(KINDS[classes], classes_by(crossEntropy={"labelSmoothing": smoothing}))(outputs, targets)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("classes", KINDS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_is_its_formula(classes: int, gamma: float) -> None:
    outputs, targets = drawn(classes)
    true = probabilities(outputs)[np.arange(ROWS), targets.long().numpy()]
    found = row_loss(KINDS[classes], classes_by(focal={"gamma": gamma}))(outputs, targets)
    np.testing.assert_allclose(found.numpy(), -((1 - true) ** gamma) * np.log(true), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(
    ("asked", "formula"),
    [
        ({"mse": {}}, lambda r: r**2),
        ({"mae": {}}, np.abs),
        ({"huber": {}}, lambda r: np.where(np.abs(r) <= 1, r**2 / 2, np.abs(r) - 0.5)),
        ({"huber": {"delta": 0.3}}, lambda r: np.where(np.abs(r) <= 0.3, r**2 / 2, 0.3 * (np.abs(r) - 0.15))),
    ],
    ids=["mse", "mae", "huber", "huber of 0.3"],
)
def test_losses_of_numbers_are_their_formulas(asked: Any, formula: Any) -> None:
    outputs, targets = drawn(0)
    found = row_loss(Loss.SQUARED_ERROR, numbers_by(**asked))(outputs, targets)
    np.testing.assert_allclose(found.numpy(), formula((outputs[:, 0] - targets).numpy()), rtol=1e-12)


ASKED = [{"crossEntropy": {"labelSmoothing": 0.2}}, {"focal": {"gamma": 0.5}}, {"focal": {}}]


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("classes", KINDS)
def test_a_soft_label_is_so_much_of_each(classes: int, asked: Any) -> None:
    outputs, targets = drawn(classes)
    loss = row_loss(KINDS[classes], classes_by(**asked))
    other = targets.roll(1)
    codes = torch.nn.functional.one_hot(targets.long(), classes).double()
    soft = 0.3 * codes + 0.7 * codes.roll(1, dims=0)
    found = loss(outputs, soft if classes > 2 else soft[:, 1])
    torch.testing.assert_close(found, 0.3 * loss(outputs, targets) + 0.7 * loss(outputs, other), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("classes", KINDS)
def test_focal_loss_has_a_gradient_where_a_probability_is_0_or_1(classes: int, gamma: float, dtype: Any) -> None:
    logits = torch.tensor([200.0, -200.0], dtype=dtype)[:, None].repeat(1, 1 if classes == 2 else classes)
    if classes > 2:
        logits[:, 1:] = 0
    logits.requires_grad_()
    targets = torch.tensor([1.0, 1.0], dtype=dtype) if classes == 2 else torch.tensor([0, 0])
    losses = row_loss(KINDS[classes], classes_by(focal={"gamma": gamma}))(logits, targets)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses.tolist() == pytest.approx([0, 200 + (0 if classes == 2 else np.log(classes - 1))], abs=1e-3)
    assert torch.isfinite(gradient).all()
    assert float(gradient[1, 0]) == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("kind", Loss)
def test_what_is_asked_for_by_default_is_what_is_there_without_asking(kind: Any) -> None:
    asked: Any = numbers_by(mse={}) if kind is Loss.SQUARED_ERROR else classes_by(crossEntropy={})
    outputs, targets = drawn({Loss.SQUARED_ERROR: 0, Loss.BINARY_CROSS_ENTROPY: 2}.get(kind, CLASSES))
    weights = torch.rand(ROWS, dtype=torch.float64)
    assert objective_of(kind, None) is OBJECTIVES[kind]
    found, default = objective_of(kind, asked), OBJECTIVES[kind]
    for given in (None, weights):
        torch.testing.assert_close(found.loss(outputs, targets, given), default.loss(outputs, targets, given))
        torch.testing.assert_close(found.judge(outputs, targets, given), default.judge(outputs, targets, given))
    assert (found.dtype, found.metric, found.measure) == (default.dtype, default.metric, default.measure)


def test_the_epoch_is_chosen_by_labels_as_they_are() -> None:
    outputs, targets = drawn(CLASSES)
    found = objective_of(Loss.CROSS_ENTROPY, classes_by(crossEntropy={"labelSmoothing": 0.5}))
    plain = OBJECTIVES[Loss.CROSS_ENTROPY].loss(outputs, targets)
    assert float(found.judge(outputs, targets)) == pytest.approx(float(plain))
    assert float(found.loss(outputs, targets)) > float(plain)
    focal = classes_by(focal={})
    assert without_smoothing(focal) is focal


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_members_have_the_same_losses(asked: Any) -> None:
    for classes, kind in KINDS.items():
        outputs, targets = drawn(classes)
        members = torch.stack([outputs, outputs.flip(0), -outputs])
        found = member_objective_of(kind, classes_by(**asked))
        loss = row_loss(kind, classes_by(**asked))
        for member, losses in zip(members, found.loss(members, targets.expand(3, -1)), strict=True):
            torch.testing.assert_close(losses, loss(member, targets))
        assert member_objective_of(kind, None) is MEMBER_OBJECTIVES[kind]


def test_the_recipe_of_an_ensemble_smooths_by_a_tenth() -> None:
    for classes, kind in KINDS.items():
        outputs, targets = drawn(classes)
        asked = member_objective_of(kind, classes_by(crossEntropy={"labelSmoothing": 0.1}))
        recipe = member_objective_of(kind, None)
        torch.testing.assert_close(asked.loss(outputs, targets), recipe.loss(outputs, targets))
        torch.testing.assert_close(asked.judge(outputs, targets), recipe.judge(outputs, targets))


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_weights_of_classes_and_of_rows_multiply_what_a_row_adds(asked: Any) -> None:
    """The mean over all rows of own weight x class factor x loss, divided by the mean of these weights."""
    generator = np.random.default_rng(1)
    values = (generator.uniform(size=ROWS) < 0.2).astype(np.int64)
    own = generator.uniform(0.5, 4, size=ROWS)
    dataset = build(
        (np.zeros((ROWS, 1)), values), (np.zeros((2, 1)), [0, 1]), (np.zeros((2, 1)), [0, 1]), labels=("n", "y")
    )
    sides = {name: replace(getattr(dataset, name), weights=np.ones(2)) for name in ("validation", "test")}
    weighed = by_class_weight(replace(dataset, train=replace(dataset.train, weights=own), **sides))
    heavy = weighed.train.relative_weights
    assert heavy is not None
    outputs, _ = drawn(2)
    loss = objective_of(Loss.BINARY_CROSS_ENTROPY, classes_by(**asked)).loss
    found = float(loss(outputs, torch.from_numpy(values).double(), torch.from_numpy(heavy)))

    total = own.sum() + 2
    sizes = np.array([own[values == code].sum() + 1 for code in (0, 1)])
    weights = own * (total / (2 * sizes))[values]
    chances = probabilities(outputs)
    true, false = chances[np.arange(ROWS), values], chances[np.arange(ROWS), 1 - values]
    if "focal" in asked:
        rows = -((1 - true) ** asked["focal"].get("gamma", 2.0)) * np.log(true)
    else:
        share = asked["crossEntropy"]["labelSmoothing"]
        rows = -(1 - share / 2) * np.log(true) - share / 2 * np.log(false)
    assert found == pytest.approx((weights * rows).sum() / weights.sum(), rel=1e-10)


OUTLIERS: dict[str, Any] = {"epochs": 20, "optimizer": Optimizer(adam=Adam(learning_rate=0.1)), "l2": 0.0}


def test_absolute_and_hubers_loss_heed_outliers_less_than_the_square() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(400, 1))
    clean = 3 * x[:, 0]
    values = np.where(generator.uniform(size=400) < 0.2, 40.0, clean)
    dataset = build((x[:300], values[:300]), (x[300:], values[300:]), (x[300:], clean[300:]))
    linear: dict[str, Any] = {"mlp": {"hiddenLayers": [], "dropout": 0}}
    found = {}
    for name in ("mse", "mae", "huber"):
        asked = numbers_by(huber={"delta": 0.1}) if name == "huber" else numbers_by(**{name: {}})
        fitted = fit(replace(dataset, loss=asked), linear, **OUTLIERS)
        found[name] = float(np.abs(fitted.predict(dataset.test.features)[:, 0] - dataset.test.values).mean())
    assert found["mse"] > 5
    assert max(found["mae"], found["huber"]) < 2


@pytest.mark.parametrize(
    "model", [{"mlp": {"hiddenLayers": [16]}}, {"mlp": {"ensemble": 2}}, {"cnn": {"channels": [8, 16]}}], ids=str
)
def test_each_gradient_family_minimises_what_is_asked_for(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "_EPOCHS", 30)  # of networks that say for themselves how many there are
    dataset = load("digitImages" if "cnn" in model else "iris")
    epochs: dict[str, Any] = {} if "ensemble" in model.get("mlp", {}) else {"epochs": 4 if "cnn" in model else 8}
    plain = fit(dataset, model, **epochs)
    focal = fit(replace(dataset, loss=classes_by(focal={"gamma": 3})), model, **epochs)
    assert primary(focal, dataset) > 0.8
    rows = dataset.test.features
    assert np.abs(focal.predict(rows) - plain.predict(rows)).max() > 0.01
    assert focal.curves is not None
    assert plain.curves is not None
    # Rows that are predicted well add nearly nothing to a focal loss.
    assert focal.curves["validationLoss"][-1] < plain.curves["validationLoss"][-1]
