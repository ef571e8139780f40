"""How networks of ``auto`` learn on: tables as they are, images turned and moved, with the teacher asked of these."""

from dataclasses import replace
from typing import Any

import numpy as np
from tests.unit.runtime.compression.learning import apply_steps, context_of, iris, random_network
from tests.unit.runtime.compression.test_prune import convolutional, steps

from modelservice.compression import Compressible
from modelservice.compression.lesson import Lesson, lesson_of_auto
from modelservice.compression.tuning import tune
from modelservice.contract.augmentation import Augmentation
from modelservice.contract.networks import Pooling
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset, Features
from modelservice.tasks.base import Array

NETWORK = random_network(convolutional((4,), (16,), Pooling.MAX))
MOVED = Augmentation.model_validate({"crop": {"pixels": 1}})


def pictures() -> Dataset:
    """Thirty-two images for each side, of the shape of the network, in the place of flowers."""
    dataset, random = iris(), np.random.default_rng(0)

    def drawn(side: Any) -> Any:
        features = random.normal(size=(32, *NETWORK.architecture.shape)).astype(np.float32)
        return replace(side, features=features, values=np.arange(32) % 3, weights=None)

    sides = {name: drawn(getattr(dataset, name)) for name in ("train", "validation", "test")}
    return replace(dataset, modality="Image", **sides)


class Asked:
    """A teacher that remembers what it was asked of."""

    def __init__(self) -> None:
        self.seen: list[Features] = []

    def __call__(self, features: Features) -> Array:
        self.seen.append(features)
        return np.full((len(features), 3), 1 / 3, np.float32)


def test_tables_are_learned_from_as_they_are() -> None:
    assert lesson_of_auto(iris(), 7) == Lesson(epochs=7)


def test_how_far_an_image_is_moved_hangs_on_its_side() -> None:
    dataset = pictures()
    for side, pixels in ((8, 1), (28, 2), (224, 16)):
        features = np.zeros((1, 1, side, side), np.float32)
        lesson = lesson_of_auto(replace(dataset, train=replace(dataset.train, features=features)), 7)
        assert lesson.augmentation is not None
        assert lesson.augmentation.crop is not None
        assert (lesson.epochs, lesson.augmentation.crop.pixels) == (7, pixels)
        assert lesson.weight < Lesson(epochs=7).weight


def test_an_image_of_one_row_of_pixels_is_not_moved_out_of_sight() -> None:
    features = np.zeros((1, 1, 1, 28), np.float32)
    dataset = pictures()
    lesson = lesson_of_auto(replace(dataset, train=replace(dataset.train, features=features)), 7)
    assert lesson.augmentation is not None
    assert lesson.augmentation.crop is None
    assert lesson.augmentation.rotate is not None


def test_the_teacher_is_asked_of_images_as_they_were_moved() -> None:
    dataset, teacher = pictures(), Asked()
    tune(NETWORK, Lesson(epochs=2, augmentation=MOVED), context_of(dataset, teacher))
    plain, _, *moved = teacher.seen
    np.testing.assert_array_equal(plain, dataset.train.features)
    assert sum(map(len, moved)) == 2 * 32
    known = {row.tobytes() for row in plain}
    assert sum(row.tobytes() not in known for part in moved for row in part) > 32
    # Where its word has no weight, or nothing is moved, it need not be asked again.
    for lesson in (Lesson(epochs=2, weight=0, augmentation=MOVED), Lesson(epochs=2)):
        other = Asked()
        tune(NETWORK, lesson, context_of(dataset, other))
        assert len(other.seen) == 2


def test_turns_of_images_learn_from_the_network_of_the_turn_before() -> None:
    model, teacher = Compressible.of(NETWORK), Asked()
    asked = steps({"auto": {"targetSizeRatio": 3, "fineTuneEpochs": 1}})
    context = context_of(pictures(), teacher)
    made = apply_steps(model, asked, context)
    # Two networks at once, and of the two turns the first only: all rows of both sides, and those of its steps.
    assert sum(map(len, teacher.seen)) == 3 * (32 + 32 + 32)
    assert apply_steps(model, asked, context).onnx == made.onnx
    assert OnnxEngine(made.onnx).run(context.dataset.test.features).shape == (32, 3)
