"""Pictures: well-formed, the same each time, small whatever they show, and readable without eyes."""

import re
from collections.abc import Callable
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.importance import ColumnImportance, Importance
from modelservice.contract.sizes import Sizes, Tried
from modelservice.reports.axes import scale
from modelservice.reports.plots import (
    MAX_BARS,
    MAX_CLASSES,
    MAX_DOTS,
    calibration_picture,
    confusion_picture,
    importance_picture,
    learning_curves,
    values_picture,
)
from modelservice.reports.sizes import sizes_picture
from modelservice.reports.svg import Picture
from modelservice.tasks.metrics_document import CalibrationBin, ConfusionMatrix, MetricsDocument

SVG = "{http://www.w3.org/2000/svg}"
LARGEST = 200 * 1024
SOME = Evaluation(primary="accuracy", rows=3, metrics=(Metric(name="accuracy", value=0.5),))


def parsed(content: bytes) -> Xml.Element:
    return Xml.fromstring(content)  # noqa: S314 - our own


def matrix(classes: int, *, name: str = "class") -> ConfusionMatrix:
    counts = np.arange(classes * classes).reshape(classes, classes) % 97 + 1
    return ConfusionMatrix(
        labels=tuple(f"{name} {code}" for code in range(classes)), counts=tuple(map(tuple, counts.tolist()))
    )


def curves(epochs: int) -> MetricsDocument:
    numbers = np.arange(1, epochs + 1)
    return MetricsDocument(
        train=SOME,
        test=SOME,
        best_epoch=epochs // 2 or 1,
        curves={
            "epoch": tuple(numbers.astype(float).tolist()),
            "trainLoss": tuple((1 / numbers).tolist()),
            "validationLoss": tuple((2 / numbers).tolist()),
            "validationAccuracy": tuple((1 - 1 / numbers).tolist()),
        },
    )


def importance(columns: int, *, name: str = "column") -> Importance:
    drops = np.linspace(0.5, -0.1, columns).tolist()
    return Importance(
        metric="accuracy",
        rows=30,
        repeats=5,
        columns=tuple(
            ColumnImportance(name=f"{name} {at}", drop=drop, deviation=0.02) for at, drop in enumerate(drops)
        ),
    )


def bins() -> tuple[CalibrationBin, ...]:
    held = {0.55: 0.4, 0.75: 0.8, 0.95: 1.0}
    return tuple(
        CalibrationBin(
            low=at / 10,
            high=(at + 1) / 10,
            rows=7 if (middle := at / 10 + 0.05) in held else 0,
            confidence=middle if middle in held else 0,
            accuracy=held.get(middle, 0),
        )
        for at in range(10)
    )


def values(rows: int) -> bytes:
    true = np.random.default_rng(0).normal(size=rows) * 1e6
    return values_picture(true, true * 0.9, target="price")


def sizes(count: int) -> Sizes:
    """Models that become smaller, the last of which is chosen."""
    tried = (
        Tried(name=f"model {at}", bytes=4_000_000 // 2**at, metric=0.99 - at / 100, chosen=at == count - 1)
        for at in range(count)
    )
    return Sizes(metric="accuracy", tried=tuple(tried))


def drawn(picture: bytes | None) -> bytes:
    assert picture is not None
    return picture


LARGE: list[Callable[[], bytes]] = [
    lambda: drawn(learning_curves(curves(1000))),
    lambda: confusion_picture(matrix(100)),
    lambda: values(50_000),
    lambda: drawn(calibration_picture(bins())),
    lambda: importance_picture(importance(512)),
    lambda: sizes_picture(sizes(16)),
    lambda: sizes_picture(sizes(1)),
]


@pytest.mark.parametrize("draw", LARGE)
def test_every_picture_is_small_the_same_each_time_and_said_in_words(draw: Callable[[], bytes]) -> None:
    content = draw()
    assert content == draw()
    assert len(content) < LARGEST
    root = parsed(content)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert title is not None
    assert description is not None
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text
    assert description.text
    assert "nan" not in content.decode()
    assert "prefers-color-scheme:dark" in content.decode()


@pytest.mark.parametrize("draw", LARGE)
def test_everything_lies_within_the_picture(draw: Callable[[], bytes]) -> None:
    root = parsed(draw())
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for shape in root.iter():
        points = [
            *re.findall(r"(-?[0-9.]+),(-?[0-9.]+)", shape.get("points", "")),
            *([(shape.get("x", ""), shape.get("y", ""))] if "x" in shape.keys() else []),  # noqa: SIM118 - of XML
            *([(shape.get("cx", ""), shape.get("cy", ""))] if "cx" in shape.keys() else []),  # noqa: SIM118
        ]
        for x, y in points:
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height


def test_what_is_not_shown_is_said() -> None:
    assert f"{100 - MAX_CLASSES} more classes" in confusion_picture(matrix(100)).decode()
    assert f"{512 - MAX_BARS} more columns" in importance_picture(importance(512)).decode()
    assert f"{MAX_DOTS} of them are drawn" in values(50_000).decode()


def test_models_by_size_are_listed_with_what_they_are() -> None:
    content = sizes_picture(sizes(3)).decode()
    assert "1: model 0, 4 MB, 0.99" in content
    assert "3: model 2, 1 MB, 0.97" in content
    assert "The test rows judged the model named model 2." in content


def test_a_cell_of_the_matrix_is_as_dark_as_its_share_of_the_true_class() -> None:
    content = confusion_picture(ConfusionMatrix(labels=("p", "q"), counts=((3, 1), (0, 4)))).decode()
    assert re.findall(r'fill-opacity="([0-9.]+)"', content) == ["0.75", "0.25"]
    assert "7 of 8 rows are predicted right. The most frequent error: p is taken for q, 1 times." in content


def test_there_is_nothing_to_draw_without_epochs_or_probabilities() -> None:
    assert learning_curves(MetricsDocument(train=SOME, test=SOME)) is None
    assert calibration_picture(()) is None


def test_the_epoch_that_was_kept_is_said() -> None:
    assert "The weights of epoch 2 were kept." in drawn(learning_curves(curves(4))).decode()
    assert parsed(drawn(learning_curves(curves(1)))) is not None


@given(name=st.text(max_size=60))
@settings(max_examples=60)
def test_any_name_makes_a_well_formed_picture(name: str) -> None:
    for content in (confusion_picture(matrix(3, name=name)), importance_picture(importance(3, name=name))):
        assert parsed(content).tag == f"{SVG}svg"


def test_markup_in_a_name_is_text() -> None:
    picture = Picture(width=100, height=50, title="<script>", description="a & b")
    picture.text(1, 20, "</text><script>x</script>")
    root = parsed(picture.content())
    assert root.find(f".//{SVG}script") is None
    assert root.findall(f"{SVG}text")[-1].text == "</text><script>x</script>"


numbers = st.floats(-1e30, 1e30, allow_nan=False)


@given(found=st.lists(numbers, min_size=1, max_size=9))
def test_a_scale_has_room_for_its_numbers_and_ticks_on_it(found: list[float]) -> None:
    axis = scale(found, start=10, end=110)
    assert all(10 <= axis(value) <= 110 for value in found)
    assert 1 <= len(axis.ticks) <= 12
    assert all(axis.low - 1e-6 * abs(axis.low) <= tick <= axis.high + 1e-6 * abs(axis.high) for tick in axis.ticks)


def test_ticks_are_round() -> None:
    assert scale([0.0, 1.0], start=0, end=1).ticks == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert scale([3.0, 3.0], start=0, end=1).ticks == pytest.approx([2, 3, 4])
