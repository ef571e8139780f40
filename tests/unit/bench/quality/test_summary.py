"""What stored fits come to, and the limits."""

import statistics

import pytest
from tests.bench.quality.limits import auto_figures, autogluon_figures, mlp_figures, time_figures
from tests.bench.quality.report import markdown
from tests.bench.quality.store import Fit, FitName
from tests.bench.quality.summary import Standing, Standings, best_of, compare, standing_of
from tests.bench.record import Figure

RIVALS = ("logistic", "svm")
NAMES = [FitName(table="iris", candidate="svm", repeat=0, fold=fold) for fold in range(3)]


def fit(name: FitName, *, key: str = "k", error: str | None = None) -> Fit:
    scores = {} if error else {"accuracy": 0.9 + 0.01 * name.fold, "log_loss": 0.1}
    return Fit(name=name, key=key, train_rows=1, classes=("a",), scores=scores, seconds=3, cpu_seconds=2, error=error)


def standing(
    table: str,
    candidate: str,
    main: tuple[float, ...],
    *,
    loss: float | None = 0.5,
    wanted: int | None = None,
    cpu_seconds: float = 1,
) -> Standing:
    scores = {"r2": main} if loss is None else {"accuracy": main, "log_loss": (loss,) * len(main)}
    return Standing(
        table=table,
        candidate=candidate,
        key="k",
        scores=scores,
        cpu_seconds=cpu_seconds,
        seconds=1,
        wanted=len(main) if wanted is None else wanted,
    )


def standings(*found: Standing) -> Standings:
    return {(one.table, one.candidate): one for one in found}


def by_name(figures: list[Figure]) -> dict[str, Figure]:
    return {one.figure: one for one in figures}


MEASURED = standings(
    standing("iris", "auto", (0.97, 0.99), loss=0.2),
    standing("iris", "mlp", (0.97, 0.98), loss=0.3),
    standing("iris", "logistic", (0.95, 0.96), loss=0.4),
    standing("iris", "svm", (0.96, 0.97), loss=0.9),
    standing("wine", "auto", (0.95, 0.95), loss=0.2),
    standing("wine", "mlp", (0.99, 0.99), loss=0.2),
    standing("wine", "logistic", (0.97, 0.97), loss=0.1),
    standing("wine", "svm", (0.9, 0.9), loss=0.1),
    standing("diabetes", "auto", (0.5, 0.5), loss=None),
    standing("diabetes", "mlp", (0.5, 0.5), loss=None),
    standing("diabetes", "logistic", (0.49, 0.52), loss=None),
    standing("diabetes", "svm", (0.2, 0.2), loss=None),
)
TABLES = ("iris", "wine", "diabetes")


def test_only_fits_of_the_key_count_and_errors_are_kept() -> None:
    fits = {NAMES[0]: fit(NAMES[0]), NAMES[1]: fit(NAMES[1], key="old"), NAMES[2]: fit(NAMES[2], error="no")}
    found = standing_of(NAMES, fits, key="k")
    assert (found.main, found.wanted, found.complete, found.errors) == ((0.9,), 3, False, ("no",))
    whole = standing_of(NAMES, {name: fit(name) for name in NAMES}, key="k")
    assert whole.main == pytest.approx((0.9, 0.91, 0.92))
    assert whole.complete
    assert (whole.seconds, whole.cpu_seconds) == (3, 2)


def test_the_best_is_known_only_when_all_rivals_are_there() -> None:
    best = best_of(MEASURED, "iris", RIVALS)
    assert best is not None
    assert best.candidate == "svm"
    assert best_of(MEASURED, "iris", (*RIVALS, "forest")) is None
    unfinished = {**MEASURED, ("iris", "logistic"): standing("iris", "logistic", (0.95,), wanted=2)}
    assert best_of(unfinished, "iris", RIVALS) is None


def test_ours_is_compared_with_the_best_of_each_table() -> None:
    found = compare(MEASURED, "auto", RIVALS)
    assert [(one.table, one.best) for one in found] == [("iris", "svm"), ("wine", "logistic"), ("diabetes", "logistic")]
    assert [one.difference for one in found] == pytest.approx([0.015, -0.02, -0.005])
    assert found[1].p_value == pytest.approx(0, abs=1e-12)  # both always differ by the same


def test_limits_of_auto() -> None:
    found = by_name(auto_figures(MEASURED, TABLES, RIVALS))
    assert found["auto: tables with all fits of it and of the others"].holds
    mean = found["auto: mean over the tables, minus the best's"]
    assert mean.value == pytest.approx(100 * statistics.fmean([0.015, -0.02, -0.005]))
    assert mean.holds is False
    points = found["auto: furthest below the best, accuracy"]
    assert points.value == pytest.approx(2)
    assert (points.limit, points.holds) == ("<= 1.5", False)
    numbers = found["auto: furthest below the best, R2"]
    assert numbers.value == pytest.approx(0.005)
    assert (numbers.limit, numbers.holds) == ("<= 0.03", True)
    loss = found["auto: mean log loss, by that of logistic regression"]
    assert loss.value == pytest.approx(0.4 / 0.5)
    assert (loss.limit, loss.holds) == ("<= 0.85", True)
    typical = found["auto: log loss by that of logistic regression, geometric mean of the tables"]
    assert typical.value == pytest.approx((0.5 * 2) ** 0.5)
    assert typical.limit is None


def test_a_mean_that_is_equal_is_not_above() -> None:
    equal = standings(*(standing("iris", who, (0.9, 0.8)) for who in ("auto", *RIVALS)))
    mean = by_name(auto_figures(equal, ["iris"], RIVALS))["auto: mean over the tables, minus the best's"]
    assert (mean.value, mean.limit, mean.holds) == (0, "> 0", False)


def test_limits_of_the_network_alone() -> None:
    found = by_name(mlp_figures(MEASURED, TABLES, RIVALS, first=("iris", "wine")))
    first = found["mlp: mean over the first five, minus the best's"]
    assert first.value == pytest.approx(100 * (0.01 + 0.02) / 2)
    assert (first.limit, first.holds) == (">= 0", True)
    missing = by_name(mlp_figures(MEASURED, (*TABLES, "zoo"), RIVALS, first=("iris", "zoo")))
    assert "mlp: mean over the first five, minus the best's" not in missing
    assert missing["mlp: tables with all fits of it and of the others"].holds is False


def test_autogluon_is_compared_on_the_first_repeat() -> None:
    mine = standing("iris", "auto", (0.9, 0.9, 0.9, 0.9, 0.9, 0.1), cpu_seconds=10)
    found = autogluon_figures(standings(mine, standing("iris", "autogluon", (0.88,) * 5, cpu_seconds=60)))
    assert [one.holds for one in found] == [None, True, True]
    assert found[1].value == pytest.approx(2)
    assert found[2].value == pytest.approx(1 / 6)
    assert autogluon_figures(standings(mine)) == []


def test_time_is_that_of_the_candidates_named() -> None:
    (found,) = time_figures(MEASURED, ("auto", "mlp"))
    assert found.value == pytest.approx(12 / 3600)
    assert found.limit == "<= 4"


def test_the_report_names_what_is_missing_and_what_failed() -> None:
    failed = Standing(
        table="zoo", candidate="mlp", key="k", scores={}, cpu_seconds=0, seconds=0, wanted=2, errors=("it broke",)
    )
    text = markdown([], {**MEASURED, ("zoo", "mlp"): failed}, ["mlp", *RIVALS], RIVALS)
    assert "Fits of mlp on zoo failed: it broke" in text
    assert "| wine | mlp | logistic | +2.0 | 0.00 |" in text
    assert "| diabetes | auto | logistic | -0.005 |" in text
