"""Rows that are changed before a step: what changes, by how much, and that validation rows never do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.runtime.families.datasets import fit, load, primary
from torch import nn

from modelservice.contract.augmentation import Augmentation
from modelservice.contract.augmentation import Mirror as Sides
from modelservice.contract.data import ConfigMapSource, Data, Format
from modelservice.contract.failure import StageError
from modelservice.contract.optimizers import Optimizer, StochasticGradientDescent
from modelservice.contract.task import ClassificationLoss
from modelservice.contract.training import Hyperparameters
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.sources import read_source
from modelservice.tasks.base import Loss
from modelservice.training.augmentation import (
    Colour,
    Crop,
    Mirror,
    Mixup,
    Noise,
    Rotate,
    WordDropout,
    build_augments,
)
from modelservice.training.loop import Rows, seeded, train_module
from modelservice.training.losses import OBJECTIVES

BOTH = Augmentation.model_validate({"noise": {"standardDeviation": 0.2}, "mixup": {"alpha": 0.4}})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows_of(count: int, *, weights: torch.Tensor | None = None) -> Rows:
    """Features that say which row they are of, and codes of three classes."""
    features = torch.arange(float(count))[:, None].repeat(1, 2)
    return Rows(features=features, targets=torch.arange(count) % 3, weights=weights)


def test_nothing_is_done_where_nothing_is_asked_for() -> None:
    assert build_augments(None, classes=3) == ()
    assert [type(one) for one in build_augments(BOTH, classes=3)] == [Mixup, Noise]


def test_noise_has_its_deviation_and_leaves_codes_alone() -> None:
    rows = Rows(features=torch.full((20_000, 3), 5.0), targets=torch.zeros(20_000))
    codes = torch.tensor([False, True, False])
    changed = Noise(0.3, codes=codes)(rows, generator())
    noise = changed.features - 5.0
    assert noise.std(dim=0).tolist() == pytest.approx([0.3, 0, 0.3], abs=0.01)
    assert noise.mean(dim=0).tolist() == pytest.approx([0, 0, 0], abs=0.01)
    assert abs(float((noise[:, 0] * noise[:, 2]).mean())) < 0.005
    assert changed.targets is rows.targets


def test_a_row_of_mixup_lies_between_two_rows_and_so_does_its_label() -> None:
    rows = rows_of(60)
    changed = Mixup(1.0, classes=3)(rows, generator())
    torch.testing.assert_close(changed.targets.sum(dim=1), torch.ones(60))
    again = generator()
    share = torch.rand(60, generator=again, dtype=torch.float64).float()  # Beta(1, 1) is uniform
    others = torch.randperm(60, generator=again)
    torch.testing.assert_close(changed.features[:, 0], share * torch.arange(60.0) + (1 - share) * others)
    labels = nn.functional.one_hot(rows.targets, 3).float()
    torch.testing.assert_close(changed.targets, share[:, None] * labels + (1 - share[:, None]) * labels[others])


@pytest.mark.parametrize("targets", [torch.linspace(-3, 3, 50), (torch.arange(50) % 2).float()])
def test_numbers_and_the_second_of_two_classes_are_mixed_as_they_are(targets: torch.Tensor) -> None:
    rows = Rows(features=targets[:, None], targets=targets)
    changed = Mixup(0.4, classes=2)(rows, generator())
    torch.testing.assert_close(changed.targets, changed.features[:, 0])
    assert not torch.equal(changed.targets, targets)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 3.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    count = 50_000
    features = torch.zeros(count, 1)
    features[::2] = 1.0
    # Of a pair of a 1 and a 0 the mixed feature is the share of the 1.
    mixed = Mixup(alpha)(Rows(features=features, targets=torch.zeros(count)), generator()).features[:, 0]
    # A quarter of the pairs are two 1, half are mixed; the square's mean is that of the variance of Beta.
    square = 1 / 4 + 1 / (4 * (2 * alpha + 1))
    assert float(mixed.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(mixed.square().mean()) == pytest.approx(1 / 4 + square / 2, abs=0.01)


def test_rows_of_weight_are_so_many_rows_of_mixup() -> None:
    """Classes that count alike stay alike: what each adds to a loss is weight x its share of the label."""
    count = 30_000
    targets = (torch.arange(count) % 10 == 0).float()
    weights = torch.where(targets == 1, 5.0, 5 / 9)
    rows = Rows(features=targets[:, None], targets=targets, weights=weights)
    changed = Mixup(0.8)(rows, generator())
    assert changed.weights is weights
    assert float((weights * changed.targets).mean()) == pytest.approx(0.5, abs=0.02)
    assert float((weights * (1 - changed.targets)).mean()) == pytest.approx(0.5, abs=0.02)


def trained(augments: Any, seed: int = 0, **settings: Any) -> tuple[dict[str, torch.Tensor], list[float]]:
    rows = Rows(features=torch.linspace(-1, 1, 42).reshape(21, 2), targets=torch.arange(21) % 3)
    losses: list[float] = []
    with seeded(seed, "cpu") as drawing:
        layer = nn.Linear(2, 3)
        module = nn.Sequential(layer)
        nn.init.uniform_(layer.weight, -1, 1, generator=drawing)
        train_module(
            module,
            objective=OBJECTIVES[Loss.CROSS_ENTROPY],
            train=rows,
            validation=rows,
            settings=Hyperparameters(epochs=3, batch_size=4, **settings),
            generator=drawing,
            observe=lambda epoch: losses.append(epoch.validation_loss),
            augments=augments,
        )
    return {name: value.clone() for name, value in module.state_dict().items()}, losses


def test_the_same_seed_draws_the_same_rows() -> None:
    augments = build_augments(BOTH, classes=3)
    first, again, other = trained(augments), trained(augments), trained(augments, seed=1)
    assert first[1] == again[1] != other[1]
    assert all(torch.equal(first[0][name], again[0][name]) for name in first[0])


def test_validation_rows_are_measured_as_they_are() -> None:
    # With steps of next to nothing the loss is that of the first weights, whatever is done to training rows.
    still: dict[str, Any] = {"optimizer": Optimizer(sgd=StochasticGradientDescent(learning_rate=1e-12)), "l2": 0.0}
    wild = build_augments(Augmentation.model_validate({"noise": {"standardDeviation": 10}}), classes=3)
    assert trained(wild, **still)[1] == pytest.approx(trained((), **still)[1], abs=1e-6)


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "diabetes", "digitImages"])
def test_a_network_learns_from_changed_rows(name: str) -> None:
    dataset = load(name)
    model: dict[str, Any] = {"cnn": {"channels": [8, 16]}} if name == "digitImages" else {"mlp": {"hiddenLayers": [32]}}
    epochs = 4 if name == "digitImages" else 10
    fitted = fit(dataset, model, epochs=epochs, augmentation=BOTH)
    plain = fit(dataset, model, epochs=epochs)
    assert primary(fitted, dataset) > (0.3 if name == "diabetes" else 0.85)
    assert np.abs(fitted.predict(dataset.test.features) - plain.predict(dataset.test.features)).max() > 1e-3


def test_focal_loss_takes_mixed_labels() -> None:
    dataset = load("iris")
    asked = replace(dataset, loss=ClassificationLoss.model_validate({"focal": {}}))
    assert primary(fit(asked, {"mlp": {"ensemble": 1}}, epochs=30, augmentation=BOTH), dataset) > 0.85


TABLE = "n,city,price,smoker,day,y\n" + "".join(
    f"{n if n % 9 else ''},{'abc'[n % 3]},${n % 7}.50,{('yes', 'no')[n % 2]},2024-01-{n % 28 + 1:02d},{'pq'[n % 2]}\n"
    for n in range(80)
)


def dataset_of(content: str, features: tuple[str, ...] = ()) -> Any:
    data = Data(config_map=ConfigMapSource(name="t"), target="y", features=features)
    return build_dataset(read_source(content.encode(), format=Format.CSV), data)


def test_columns_of_numbers_are_measurements_and_all_else_is_codes() -> None:
    dataset = dataset_of(TABLE)
    widths = [(column.name, column.width) for column in dataset.preprocessing.columns]
    assert [name for name, _ in widths] == ["n", "city", "price", "smoker", "day"]
    assert dict(widths)["n"] == 2  # with an indicator
    expected = [not (name in {"n", "price"} and place == 0) for name, width in widths for place in range(width)]
    assert dataset.codes.tolist() == expected
    assert dataset_of(TABLE, features=("price",)).codes is None


def test_noise_without_numbers_is_refused() -> None:
    dataset = dataset_of(TABLE, features=("city", "smoker"))
    with pytest.raises(StageError) as caught:
        fit(dataset, {"mlp": {}}, augmentation=BOTH, epochs=1)
    assert (caught.value.reason, caught.value.field) == ("NothingToAugment", "spec.training.augmentation.noise")
    mixup = Augmentation.model_validate({"mixup": {}})
    assert fit(dataset, {"mlp": {}}, augmentation=mixup, epochs=1).best_epoch == 1


def images(count: int = 400, height: int = 5, width: int = 7) -> Rows:
    """Images that are all alike, and of which no pixel equals another."""
    pixels = torch.arange(1.0, 2 * height * width + 1).reshape(1, 2, height, width)
    return Rows(features=pixels.repeat(count, 1, 1, 1), targets=torch.arange(count) % 3)


def different(rows: Rows) -> torch.Tensor:
    found: torch.Tensor = torch.unique(rows.features, dim=0)
    return found


@pytest.mark.parametrize(("sides", "axes"), [("Horizontal", [[3]]), ("Vertical", [[2]]), ("Both", [[2], [3], [2, 3]])])
def test_every_other_image_is_mirrored(sides: str, axes: list[list[int]]) -> None:
    rows = images()
    changed = Mirror(Sides(sides))(rows, generator())
    given = rows.features[:1]
    expected = torch.cat([given, *(given.flip(axis) for axis in axes)])
    torch.testing.assert_close(different(changed), torch.unique(expected, dim=0))
    assert 150 < int((changed.features == given).all(dim=(1, 2, 3)).sum()) * len(expected) / 2 < 250
    assert changed.targets is rows.targets


def test_images_are_moved_and_what_comes_in_is_the_mean() -> None:
    rows = images()
    found = {tuple(one.flatten().tolist()) for one in Crop(1)(rows, generator()).features}
    padded = nn.functional.pad(rows.features[0], [1, 1, 1, 1])
    expected = {
        tuple(padded[:, top : top + 5, left : left + 7].flatten().tolist()) for top in range(3) for left in range(3)
    }
    assert found == expected


def test_images_are_turned_around_their_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a turn takes each pixel of a square to another; of an oblong the middle square."""
    monkeypatch.setattr(torch, "rand", lambda count, generator: torch.ones(count))  # noqa: ARG005 - as torch names it
    square = images(2, 5, 5)
    torch.testing.assert_close(Rotate(90)(square, generator()).features, square.features.rot90(1, (2, 3)))
    oblong = images(2, 5, 7)
    turned = Rotate(90)(oblong, generator()).features[..., 1:6]
    torch.testing.assert_close(turned, oblong.features[..., 1:6].rot90(1, (2, 3)))
    half = Rotate(180)(oblong, generator()).features
    torch.testing.assert_close(half, oblong.features.flip(2, 3), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("augmentation", "field", "message"),
    [
        (
            {"flip": "Both"},
            "flip",
            "flip changes images, and there are none: leave spec.training.augmentation.flip out",
        ),
        ({"rotate": {}}, "rotate", "rotate changes images, and there are none"),
        ({"crop": {}}, "crop", "crop changes images, and there are none"),
        ({"colour": {}}, "colour", "colour changes images, and there are none"),
        ({"wordDropout": {}}, "wordDropout", "wordDropout changes texts, and there are none"),
    ],
)
def test_what_is_for_images_or_texts_is_refused_for_a_table(augmentation: Any, field: str, message: str) -> None:
    with pytest.raises(StageError, match=message) as caught:
        fit(load("iris"), {"mlp": {}}, augmentation=Augmentation.model_validate(augmentation), epochs=1)
    assert (caught.value.reason, caught.value.field) == ("NothingToAugment", f"spec.training.augmentation.{field}")


def test_a_move_that_leaves_nothing_of_an_image_is_refused() -> None:
    dataset = replace(load("digitImages"), modality="Image")
    crop = Augmentation.model_validate({"crop": {"pixels": 8}})
    with pytest.raises(StageError, match="crop by 8 pixels leaves nothing of images of 8 x 8: set fewer") as caught:
        fit(dataset, {"cnn": {}}, augmentation=crop, epochs=1)
    assert caught.value.field == "spec.training.augmentation.crop.pixels"


def test_colour_moves_the_mean_and_stretches_what_differs_from_it() -> None:
    images = torch.randn(4000, 2, 3, 3, generator=generator(1))
    rows = Rows(features=images, targets=torch.zeros(4000))
    changed = Colour(brightness=0.5, contrast=0.2)(rows, generator()).features
    lighter = (changed - images).mean(dim=(2, 3))
    torch.testing.assert_close(lighter[:, 0], lighter[:, 1])  # the same in all channels
    assert lighter.abs().max() <= 0.5
    assert float(lighter.std()) == pytest.approx(0.5 / 3**0.5, rel=0.05)
    stretched = changed.std(dim=(2, 3)) / images.std(dim=(2, 3))
    torch.testing.assert_close(stretched[:, 0], stretched[:, 1], rtol=1e-4, atol=1e-4)
    assert 0.8 - 1e-4 <= float(stretched.min()) < float(stretched.max()) <= 1.2 + 1e-4
    torch.testing.assert_close(Colour(brightness=0, contrast=0)(rows, generator()).features, images)


def test_words_are_left_out_and_the_rest_moves_together_in_its_order() -> None:
    tokens = torch.arange(1.0, 11.0).repeat(3000, 1)
    tokens[:, 8:] = 0
    tokens[0] = 0  # a text that is missing
    changed = WordDropout(0.25)(Rows(features=tokens, targets=torch.zeros(3000)), generator()).features
    assert changed[0].tolist() == [0] * 10
    kept = [[one for one in row if one] for row in changed[1:].tolist()]
    assert all(row == sorted(row) and set(row) <= set(range(1, 9)) for row in kept)
    assert all(row[: len(left)] == left for row, left in zip(changed[1:].tolist(), kept, strict=True))
    assert sum(map(len, kept)) / (2999 * 8) == pytest.approx(0.75, abs=0.01)


def test_of_a_text_one_word_stays_at_least() -> None:
    tokens = torch.zeros(200, 4)
    tokens[:, :3] = torch.tensor([5.0, 6.0, 7.0])
    changed = WordDropout(0.999)(Rows(features=tokens, targets=torch.zeros(200)), generator()).features
    assert (changed[:, 0] > 0).all()
    assert set(changed[:, 0].tolist()) == {5.0, 6.0, 7.0}
