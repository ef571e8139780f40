"""The report on the data: what each column is, and what in the data makes metrics too good to be true."""

import numpy as np
import pytest
from tests.unit.runtime.reports.subjects import subject_of

from modelservice.contract.data_report import DataReport
from modelservice.contract.task import Task
from modelservice.modalities.base import Features, Variable
from modelservice.reports.alone import SUSPECT, score_alone
from modelservice.reports.data import report_data
from modelservice.reports.findings import examine
from modelservice.tasks.base import Array

REGRESSION = Task.model_validate({"regression": {}})
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(size=300)
ANSWER = RANDOM.integers(0, 2, size=300)


def mean_of(features: Features) -> Array:
    return np.zeros((len(features), 1), np.float32)


def classes(**columns: list[object]) -> DataReport:
    """A table of noise and an answer that nothing but ``columns`` tells."""
    rows = [
        ",".join([f"{NOISE[n]:.6f}", *(str(values[n]) for values in columns.values()), "pq"[ANSWER[n]]])
        for n in range(len(NOISE))
    ]
    return report_data(subject_of(rows, header=",".join(["noise", *columns, "y"])))


def alone(report: DataReport, name: str) -> float | None:
    return next(column.alone for column in report.columns if column.name == name)


def test_columns_and_classes_are_counted() -> None:
    report = classes(colour=["" if n % 10 == 0 else "red" if n % 3 else "blue" for n in range(300)])
    assert [(one.name, one.column_kind, one.missing) for one in report.columns] == [
        ("noise", "Number", 0),
        ("colour", "Category", 30),
    ]
    assert report.columns[1].distinct == 2
    assert report.classes is not None
    assert [one.label for one in report.classes] == ["p", "q"]
    counted = [sum((one.rows.train, one.rows.validation, one.rows.test)) for one in report.classes]
    assert counted == np.bincount(ANSWER).tolist()
    assert report.rows.train + report.rows.validation + report.rows.test == 300
    assert report.suspects == ()
    assert DataReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    "leak",
    [
        [f"{answer + RANDOM.normal() / 50:.6f}" for answer in ANSWER],
        [f"{np.exp(9 * answer) * (1 + RANDOM.random()):.6f}" for answer in ANSWER],
        [("paid", "overdue", "sold")[answer * (1 + n % 2)] for n, answer in enumerate(ANSWER)],
        ["" if answer else n % 9 for n, answer in enumerate(ANSWER)],
        [f"2024-{1 + answer:02d}-{1 + n % 28:02d}" for n, answer in enumerate(ANSWER)],
    ],
    ids=["number", "skewed", "category", "missing", "date"],
)
def test_a_column_that_gives_the_answer_away_is_flagged(leak: list[object]) -> None:
    report = classes(leak=leak)
    [suspect] = report.suspects
    assert suspect.column == "leak"
    assert "column leak alone predicts y nearly perfectly" in suspect.message
    assert "leave it out of spec.data.features" in suspect.message
    assert (alone(report, "leak") or 0) >= SUSPECT


def test_many_columns_that_give_the_answer_away_take_little_room() -> None:
    rows = [f"{NOISE[n]:.6f},{','.join(['ab'[ANSWER[n]]] * 9)},{'pq'[ANSWER[n]]}" for n in range(300)]
    names = ",".join(f"leak{n}" for n in range(9))
    findings = examine(subject_of(rows, header=f"noise,{names},y"))
    assert len(findings.data.suspects) == 9
    assert len(findings.notes) == 4
    assert findings.notes[-1] == "6 more columns predict y alone: see data-report.json"


def test_a_good_column_is_no_suspect() -> None:
    """One row in ten is told wrong."""
    report = classes(good=[answer if n % 10 else 1 - answer for n, answer in enumerate(ANSWER)])
    assert report.suspects == ()
    assert alone(report, "good") == pytest.approx(0.8, abs=0.1)
    assert (alone(report, "noise") or 0) < 0.3


def test_a_copy_of_a_number_is_flagged_whatever_its_scale() -> None:
    y = np.exp(NOISE * 2)
    rows = [f"{np.log(value) * 1.8 + 32:.6f},{RANDOM.normal():.6f},{value:.6f}" for value in y]
    report = report_data(subject_of(rows, header="fahrenheit,other,y", predict=mean_of, task=REGRESSION))
    assert [suspect.column for suspect in report.suspects] == ["fahrenheit"]
    assert report.numbers is not None
    assert (report.numbers.low, report.numbers.high) == pytest.approx((y.min(), y.max()), abs=1e-5)
    assert report.classes is None


def test_too_few_rows_and_one_class_tell_nothing() -> None:
    assert score_alone(Variable(np.arange(19.0)), np.arange(19) % 2, classes=2) is None
    assert score_alone(Variable(np.arange(30.0)), np.zeros(30, np.int64), classes=2) is None


def test_an_empty_column_answers_as_the_best_constant() -> None:
    variable = Variable(np.full(40, np.nan))
    assert score_alone(variable, np.arange(40) % 2, classes=2) == pytest.approx(0, abs=0.3)


def test_texts_that_other_rows_do_not_have_tell_nothing() -> None:
    """A key of the rows would predict them all by itself, if each were looked up in itself."""
    names = Variable(np.arange(100, dtype=np.int32), tuple(f"n{n}" for n in range(100)))
    score = score_alone(names, ANSWER[:100], classes=2)
    assert score is not None
    assert score <= 0


def test_rows_that_come_twice_do_not_predict_each_other() -> None:
    score = score_alone(Variable(np.repeat(NOISE, 2)), np.repeat(ANSWER, 2), classes=2)
    assert score is not None
    assert score < 0.3


def test_rows_of_a_group_do_not_predict_each_other() -> None:
    """By the name of the group, or by numbers that are near each other in it."""
    groups = np.repeat(np.arange(100), 3)
    answers, near = np.repeat(ANSWER[:100], 3), np.repeat(NOISE[:100], 3) + np.arange(300) * 1e-9
    names = Variable(groups.astype(np.int32), tuple(f"n{n}" for n in range(100)))
    for variable in (names, Variable(near), Variable(np.repeat(NOISE[:100], 3))):
        score = score_alone(variable, answers, classes=2, groups=groups)
        assert score is not None
        assert score < 0.3
    assert (score_alone(Variable(answers.astype(float)), answers, classes=2, groups=groups) or 0) > SUSPECT
    assert score_alone(names, answers, classes=2, groups=np.zeros(300, np.int64)) is None


def test_rows_that_come_again_under_other_identifiers_are_found() -> None:
    rows = [f"{1000 + 7 * n},{NOISE[n // 2]:.6f},{NOISE[n // 2 + 150]:.6f},{'pq'[ANSWER[n // 2]]}" for n in range(300)]
    report = report_data(subject_of(rows, header="id,a,b,y"))
    found = report.duplicates
    assert found.identifiers == ("id",)
    assert found.rows == 150
    assert 0 < found.test_copies == found.test_rows
    assert not report.suspects  # half of the rows differ, and no more
    once = [*rows[::2], *rows[1:60:2]]
    report = report_data(subject_of(once, header="id,a,b,y"))
    [suspect] = report.suspects
    assert suspect.column is None
    assert (
        f"{report.duplicates.test_copies} test rows equal rows that were learned from in all but id" in suspect.message
    )


def test_equal_rows_without_identifiers_are_on_one_side() -> None:
    rows = [f"{NOISE[n % 100]:.6f},{'pq'[ANSWER[n % 100]]}" for n in range(200)]
    report = report_data(subject_of(rows, header="a,y"))
    assert (report.duplicates.rows, report.duplicates.contradicting) == (100, 0)
    assert (report.duplicates.test_rows, report.duplicates.test_copies) == (0, 0)
    assert report.suspects == ()


def test_rows_that_contradict_each_other_are_counted() -> None:
    rows = [f"{NOISE[n % 100]:.6f},{'pq'[(ANSWER[n % 100] + (n == 150)) % 2]}" for n in range(200)]
    report = report_data(subject_of(rows, header="a,y"))
    assert report.duplicates.contradicting == 1


def test_a_few_categories_come_again_by_themselves() -> None:
    rows = [f"{n},{'abc'[n % 3]},{'pq'[ANSWER[n]]}" for n in range(300)]
    report = report_data(subject_of(rows, header="id,kind,y"))
    assert report.duplicates.test_rows > 0
    assert report.suspects == ()
