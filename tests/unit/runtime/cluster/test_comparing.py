"""``compare``: two revisions on the same rows, or a sentence about why they are not the same."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.stages.pipelines import IRIS, produce, store, train_work

from modelservice.artifact.stores import load_artifact
from modelservice.cluster.comparing import Comparison, compare, revision
from modelservice.cluster.errors import ClusterError
from modelservice.comparing.difference import judged as judge
from modelservice.comparing.models import Model, NotComparableError
from modelservice.comparing.rows import Answered
from modelservice.contract.data import Data
from modelservice.contract.failure import DataError
from modelservice.contract.manifest import METRICS_FILE
from modelservice.contract.metric_names import KnownMetric
from modelservice.tasks.binary import BINARY
from modelservice.tasks.threshold import BinaryThreshold

ROWS = IRIS.read_text().splitlines(keepends=True)
DATA = train_work().data
Root = Path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return tmp_path_factory.mktemp("revisions")


def model(root: Root, number: int, content: bytes | None = None, **work: Any) -> Model:
    asked = train_work(**work)
    return revision(
        number, load_artifact(store(produce(asked, content), root / f"{number}-{len(list(root.iterdir()))}"))
    )


@pytest.fixture(scope="module")
def third(root: Root) -> Model:
    return model(root, 3, epochs=1)


@pytest.fixture(scope="module")
def fourth(root: Root) -> Model:
    return model(root, 4, epochs=40)


def of_file(first: Model, second: Model, file: Path = IRIS, **more: Any) -> Comparison:
    return compare((number(first), number(second)), (first, second), file=file, **{"data": DATA, "task": None, **more})


def number(one: Model) -> int:
    return int(one.name.removeprefix("revision "))


def recorded(one: Model, name: str = "accuracy") -> float:
    found = one.tested.metric(name)
    assert found is not None
    return found.value


def test_the_test_rows_of_the_data_that_both_learned_from_decide(third: Model, fourth: Model) -> None:
    found = of_file(third, fourth)
    assert (found.metric, found.revisions, found.tested, found.dropped) == ("accuracy", (3, 4), True, 0)
    assert found.rows == third.tested.rows == fourth.tested.rows
    assert found.values == pytest.approx((recorded(third), recorded(fourth)))
    assert found.difference == pytest.approx(recorded(fourth) - recorded(third))
    assert found.low < found.difference < found.high
    assert found.better == 4
    assert "accuracy on 31 test rows" in found.said
    assert found.said.endswith("revision 4 is better")


def test_the_other_way_round_is_the_same_difference_below_zero(third: Model, fourth: Model) -> None:
    there, back = of_file(third, fourth), of_file(fourth, third)
    assert back.difference == pytest.approx(-there.difference)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.better == 4


def test_a_metric_of_which_less_is_better_falls_where_the_second_is_better(third: Model, fourth: Model) -> None:
    found = of_file(third, fourth, metric=KnownMetric.LOG_LOSS)
    assert found.difference == pytest.approx(recorded(fourth, "logLoss") - recorded(third, "logLoss"), rel=1e-3)
    assert found.low <= found.difference <= found.high < 0
    assert found.better == 4


def test_equal_models_are_told_equal_with_an_interval_that_has_a_width(third: Model) -> None:
    found = of_file(third, third)
    assert (found.difference, found.better) == (0, None)
    assert found.low < 0 < found.high
    assert found.said.endswith(f"these {found.rows} rows tell neither of them better")


def test_a_metric_of_another_task_is_refused_with_those_that_there_are(third: Model, fourth: Model) -> None:
    with pytest.raises(ClusterError, match=r"--metric rmse: .*there are accuracy, .*logLoss"):
        of_file(third, fourth, metric=KnownMetric.RMSE)


def test_a_revision_that_was_tested_on_other_rows_of_the_same_data_is_named(root: Root, third: Model) -> None:
    other = model(root, 5, epochs=1, split={"seed": 4})
    with pytest.raises(
        NotComparableError, match=r"not the test rows of revision 5: it was tested on 26 rows, and 31 are"
    ):
        of_file(third, other)
    # Where the spec says the split of the one by now, it is the other one that was tested on other rows.
    with pytest.raises(NotComparableError, match="nobody can tell which of the 26 test rows revision 3 learned from"):
        of_file(third, other, data=train_work(split={"seed": 4}).data)
    # As many rows, and other ones.
    with pytest.raises(
        NotComparableError, match=r"not the test rows of revision 5: its \w+ was .* here; spec.data.split"
    ):
        of_file(other, other, data=train_work(split={"seed": 5}).data)
    assert of_file(other, other, data=train_work(split={"seed": 4}).data).rows == 26


def test_of_data_that_grew_the_rows_decide_that_neither_learned_from(root: Root, fourth: Model) -> None:
    more = [f"{5 + place / 100},3.{place},1.4,0.2,setosa\n" for place in range(30)]
    grown = "".join([*ROWS, *more]).encode()
    later = model(root, 7, grown, epochs=1)
    (root / "grown.csv").write_bytes(grown)
    found = of_file(fourth, later, root / "grown.csv")
    assert (found.tested, found.better) == (True, 4)
    assert 20 < found.rows <= later.tested.rows
    back = of_file(later, fourth, root / "grown.csv")
    assert (back.rows, back.better, back.values) == (found.rows, 4, found.values[::-1])
    # The older data has test rows that the later model did not learn from, either.
    assert of_file(fourth, later).better == 4


def test_of_data_that_were_divided_in_another_way_nobody_can_tell(root: Root, third: Model) -> None:
    other = model(root, 8, "".join(ROWS[:-1]).encode(), epochs=1, split={"seed": 4})
    with pytest.raises(
        NotComparableError, match=r"nobody can tell .* revision 8 learned from: .*: give rows that neithe"
    ):
        of_file(third, other)


def test_rows_that_somebody_brings_are_all_asked_and_nobody_says_that_they_were_test_rows(
    third: Model, fourth: Model, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    cells = [row.rstrip("\n").split(",") for row in ROWS[1:61:2]]
    header = ROWS[0].rstrip("\n").split(",")
    file.write_text("\n".join([",".join(["note", *header]), *(",".join(["x", *row]) for row in cells), "x,1,2,3,4,\n"]))
    found = of_file(third, fourth, file)
    assert (found.tested, found.rows, found.dropped) == (False, 30, 1)
    answers = [
        one.predictor.predict({name: [row[place] for row in cells] for place, name in enumerate(header)})
        for one in (third, fourth)
    ]
    truth = [row[header.index("species")] for row in cells]
    expected = [np.mean([one == true for one, true in zip(said, truth, strict=True)]) for said in answers]
    assert found.values == pytest.approx(expected)
    assert "30 given rows" in found.said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("5.1,3.5,1.4,0.2,tulip", "line 3, column species: 'tulip' is no class of the model, which knows 'setosa'"),
        ("5.1,x,1.4,0.2,setosa", "revision 3 cannot read the rows: line 3, column sepal_width: 'x' is not a number"),
    ],
)
def test_a_row_that_cannot_be_judged_is_named(
    line: str, words: str, third: Model, fourth: Model, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("".join([*ROWS[:2], f"{line}\n"]))
    with pytest.raises((NotComparableError, ValueError), match=words):
        of_file(third, fourth, file)


def test_a_row_of_no_weight_may_hold_any_target(third: Model, fourth: Model, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = [f"{row.rstrip()},{1 + place % 2}" for place, row in enumerate(ROWS[1:61:2])]
    file.write_text("\n".join([f"{ROWS[0].rstrip()},w", *rows, "5.1,3.5,1.4,0.2,tulip,0"]))
    found = of_file(third, fourth, file, data=DATA.model_copy(update={"sample_weight": "w"}))
    assert (found.rows, found.dropped) == (30, 1)


def test_rows_without_the_truth_are_refused(third: Model, fourth: Model, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("".join([ROWS[0], ROWS[1].rpartition(",")[0] + ",\n"]))
    with pytest.raises(NotComparableError, match="no row of --data has a value in species"):
        of_file(third, fourth, file)
    file.write_text("\n".join(row.rpartition(",")[0] for row in "".join(ROWS[:3]).splitlines()))
    with pytest.raises(DataError, match="the table has no column 'species'"):
        of_file(third, fourth, file)


def test_what_answers_another_question_is_refused_by_name(root: Root, third: Model) -> None:
    two = "".join(row for row in ROWS if "virginica" not in row).encode()
    fewer = model(root, 9, two, epochs=1)
    with pytest.raises(
        NotComparableError, match=r"the task differs, .*: Multiclass of revision 3, Binary of revision 9"
    ):
        of_file(third, fewer)
    renamed = "".join([ROWS[0].replace("species", "kind"), *ROWS[1:]]).encode()
    other = model(root, 10, renamed, epochs=1, target="kind")
    with pytest.raises(NotComparableError, match=r"the target differs, .*: species of revision 3, kind of revision 10"):
        of_file(third, other)
    others = "".join(ROWS).replace("virginica", "other").encode()
    classes = model(root, 11, others, epochs=1)
    with pytest.raises(
        NotComparableError, match=r"the classes differ, .* virginica of revision 3, .* versicolor of revision 11"
    ):
        of_file(third, classes)


def test_what_was_packed_is_refused(third: Model) -> None:
    artifact = third.artifact
    contents = {name: content for name, content in artifact.contents.items() if name != METRICS_FILE}
    packed: Any = SimpleNamespace(manifest=artifact.manifest, contents=contents)
    with pytest.raises(NotComparableError, match="revision 2 was packed, not trained"):
        revision(2, packed)


def test_numbers_are_compared_by_r2_and_their_errors(root: Root) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 2))
    y = x @ [2.0, -1.0] + generator.normal(size=120) * 0.1
    table = "a,b,y\n" + "".join(f"{a:.4f},{b:.4f},{value:.4f}\n" for (a, b), value in zip(x, y, strict=True))
    (root / "numbers.csv").write_text(table)
    first = model(root, 12, table.encode(), epochs=1, target="y")
    second = model(root, 13, table.encode(), epochs=30, target="y")
    data = train_work(target="y").data
    found = of_file(first, second, root / "numbers.csv", data=data)
    assert (found.metric, found.tested, found.better) == ("r2", True, 13)
    assert found.values == pytest.approx((recorded(first, "r2"), recorded(second, "r2")), rel=1e-3)
    errors = of_file(first, second, root / "numbers.csv", data=data, metric=KnownMetric.RMSE)
    assert errors.high < 0
    (root / "more.csv").write_text("a,b,y\n1,0,2\n0,1,-1\n2,1,3\n")
    assert not of_file(first, second, root / "more.csv", data=data).tested


def test_images_are_compared_by_their_arrays(root: Root) -> None:
    generator = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = generator.integers(0, 100, size=(60, 6, 6)).astype(np.uint8)
    x[y == 1, :3, :3] += 150
    content = io.BytesIO()
    np.savez(content, X=x, y=np.array([f"side{label}" for label in y]))
    (root / "images.npz").write_bytes(content.getvalue())
    work: dict[str, Any] = {"target": "y", "file": "images.npz"}
    first = model(root, 14, content.getvalue(), **work, model={"cnn": {"channels": [2]}}, epochs=1)
    second = model(root, 15, content.getvalue(), **work, model={"cnn": {"channels": [4]}}, epochs=8)
    data = train_work(target="y", file="images.npz").data
    assert of_file(first, second, root / "images.npz", data=data).tested
    np.savez(root / "some.npz", X=x[:9], y=np.array([f"side{label}" for label in y[:9]]))
    found = of_file(first, second, root / "some.npz", data=data)
    assert (found.tested, found.rows) == (False, 9)
    np.savez(root / "weighed.npz", X=x[:9], y=np.array([f"side{label}" for label in y[:9]]), w=np.ones(8))
    weighed = data.model_copy(update={"sample_weight": "w"})
    with pytest.raises(DataError, match="array w has 8 values, and y has 9: give one value for each") as refused:
        of_file(first, second, root / "weighed.npz", data=weighed)
    assert refused.value.field == "spec.data.sampleWeight"


def test_texts_are_compared_word_by_word(root: Root) -> None:
    words = {"good": ("fine", "great", "lovely"), "bad": ("poor", "awful", "broken")}
    lines = [
        f"the {kind[place % 3]} thing number {place},{label}" for place in range(40) for label, kind in words.items()
    ]
    table = "t,y\n" + "\n".join(lines) + "\n"
    (root / "texts.csv").write_text(table)
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", "text": {"column": "t", "maxLength": 8}})
    models = []
    for number, hidden in ((16, 4), (17, 8)):
        work = train_work(model={"rnn": {"units": hidden, "embedding": 4}}).model_copy(update={"data": data})
        models.append(revision(number, load_artifact(store(produce(work, table.encode()), root / str(number)))))
    found = of_file(models[0], models[1], root / "texts.csv", data=data)
    assert found.tested
    assert found.rows == models[0].tested.rows


def test_each_model_decides_by_its_own_threshold() -> None:
    """0.4 is an answer of the second, and none of the first."""
    raw = np.array([[0.6, 0.4], [0.1, 0.9], [0.7, 0.3]], np.float32)
    first: Any = SimpleNamespace(task=BinaryThreshold(0.8))
    second: Any = SimpleNamespace(task=BinaryThreshold(0.35))
    rows = Answered(values=np.array([1, 1, 0]), raw=(raw, raw), weights=None, tested=True, dropped=0)
    task, judged = judge(first, second, rows, KnownMetric.ACCURACY)
    values = [task.measure(KnownMetric.ACCURACY, one, rows.values) for one in judged]
    assert values == pytest.approx([2 / 3, 1])
    plain: Any = SimpleNamespace(task=BINARY)
    task, judged = judge(plain, second, rows, KnownMetric.RECALL_POSITIVE)
    assert [task.measure(KnownMetric.RECALL_POSITIVE, one, rows.values) for one in judged] == pytest.approx([0.5, 1])
    # Ranks and probabilities know no threshold.
    task, judged = judge(first, second, rows, KnownMetric.LOG_LOSS)
    assert judged[0] is judged[1] is raw


def test_a_comparison_is_plain_json(third: Model, fourth: Model) -> None:
    found = json.loads(json.dumps(of_file(third, fourth)._asdict()))
    assert found["revisions"] == [3, 4]
    assert found["rows"] == third.tested.rows
