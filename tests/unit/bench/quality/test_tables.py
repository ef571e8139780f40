"""The tables of the quality bench."""

from pathlib import Path

import pandas as pd
import pytest
from tests.bench.quality.tables import (
    FIRST_FIVE,
    SOURCES,
    Bundled,
    Kind,
    Packaged,
    Source,
    as_table,
    load_table,
    source_named,
)

NOWHERE = Path("no-packages-needed")


def source(**changes: object) -> Source:
    origin = Packaged(requirement="p==1", path="p/x.csv")
    return Source(**{"name": "x", "origin": origin, "kind": Kind.CLASSES, "target": "y", **changes})  # type: ignore[arg-type]


def test_classes_are_codes_of_texts_in_order() -> None:
    table = as_table(source(), pd.DataFrame({"a": [1, 2, 3], "y": [10, 9, 10]}))
    assert (table.classes, table.target.tolist(), list(table.features)) == (("10", "9"), [0, 1, 0], ["a"])


def test_columns_are_left_out_and_rows_without_a_target_are_counted() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, None], "leak": [1, 2, 3], "t": ["u", None, "v"], "y": [0.5, None, 1.5]})
    table = as_table(source(kind=Kind.NUMBERS, left_out=("leak",), why="it tells"), frame)
    assert (table.target.tolist(), table.classes, table.dropped) == ([0.5, 1.5], (), 1)
    assert list(table.features) == ["a", "t"]
    assert table.features["t"].tolist() == ["u", "v"]
    assert table.features["a"].isna().tolist() == [False, True]


@pytest.mark.parametrize("bundled", [one for one in SOURCES if isinstance(one.origin, Bundled)], ids=lambda s: s.name)
def test_sets_of_scikit_learn_are_whole(bundled: Source) -> None:
    shapes = {"iris": (150, 4), "wine": (178, 13), "breast_cancer": (569, 30), "digits": (1797, 64)}
    table = load_table(bundled, NOWHERE)
    assert table.features.shape == {**shapes, "diabetes": (442, 10)}[bundled.name]
    assert len(table.classes) == {"iris": 3, "wine": 3, "breast_cancer": 2, "digits": 10, "diabetes": 0}[bundled.name]
    assert table.dropped == 0


def test_a_file_of_a_package_is_read_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "x.tab").write_text("a\ty\nc\td\nmeta\t\n1\tu\n2\tv\n")
    origin = Packaged(requirement="p==1", path="x.tab", separator="\t", skip_lines=(1, 2))
    table = load_table(source(origin=origin), tmp_path)
    assert (table.features["a"].tolist(), table.classes) == ([1, 2], ("u", "v"))


def test_names_are_unique_and_every_column_left_out_has_a_reason() -> None:
    names = [one.name for one in SOURCES]
    assert len(set(names)) == len(names)
    assert set(FIRST_FIVE) <= set(names)
    assert [one.name for one in SOURCES if bool(one.left_out) != bool(one.why)] == []
    with pytest.raises(KeyError, match="no table 'none'"):
        source_named("none")
