"""What a search came to: a picture that leaves nothing out in silence, and the best trials in the card."""

from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.search_report import Outcome, SearchReport, Trial
from modelservice.reports.search import MAX_ROWS, search_picture, search_section

SVG = "{http://www.w3.org/2000/svg}"


def trial(number: int, value: float | None, outcome: Outcome = Outcome.FINISHED) -> Trial:
    failed: dict[str, Any] = (
        {"outcome": Outcome.FAILED, "reason": "Diverged"} if value is None else {"outcome": outcome}
    )
    return Trial(number=number, parameters={"model.mlp.dropout": number / 100}, epochs=5, value=value, **failed)


def report(*trials: Trial, best: int = 0, metric: str = "accuracy") -> SearchReport:
    return SearchReport(metric=KnownMetric(metric), rows=30, asked=len(trials), best=best, trials=trials)


MANY = report(*(trial(n, 0.5 + n / 400) for n in range(100)), best=99)
HALVED = report(
    trial(0, 0.5),
    trial(1, 0.3, Outcome.STOPPED),
    trial(2, None),
    trial(3, 0.4),
    trial(4, 0.2, Outcome.STOPPED),
    best=3,
    metric="logLoss",
)


def parts(content: bytes | None, name: str) -> list[Xml.Element]:
    assert content is not None
    return list(Xml.fromstring(content).iter(f"{SVG}{name}"))  # noqa: S314 - our own


def test_a_picture_has_a_dot_for_each_trial_with_a_value_and_one_for_the_best() -> None:
    assert len(parts(search_picture(HALVED), "circle")) == 4 + 1
    assert len(parts(search_picture(MANY), "circle")) == 100 + 1
    assert search_picture(MANY) == search_picture(MANY)
    assert len(search_picture(MANY) or b"") < 200 * 1024


def test_a_picture_says_in_words_what_it_shows() -> None:
    (said,) = parts(search_picture(HALVED), "desc")
    assert said.text == "Trial 3 of 5 has the best logLoss, 0.4. 2 were stopped early. 1 failed."
    (said,) = parts(search_picture(MANY), "desc")
    assert said.text == "Trial 99 of 100 has the best accuracy, 0.7475."


def test_the_line_follows_the_best_so_far_of_those_with_all_epochs() -> None:
    line = next(one for one in parts(search_picture(HALVED), "polyline") if one.get("class") == "line b dashed")
    heights = [float(point.partition(",")[2]) for point in str(line.get("points")).split()]
    assert len(heights) == 2
    assert heights[0] < heights[1]  # less is better, and is drawn lower


def test_one_value_is_no_picture() -> None:
    assert search_picture(report(trial(0, 0.5), trial(1, None))) is None


def rows_of(found: SearchReport) -> list[list[str]]:
    table = [line for line in search_section(found) if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_the_card_shows_the_best_first_then_those_that_were_stopped_then_those_that_failed() -> None:
    assert [row[0] for row in rows_of(HALVED)] == ["**3**", "0", "4", "1", "2"]
    assert rows_of(HALVED)[0] == ["**3**", "dropout 0.03", "5", "0.4", "Finished"]
    assert rows_of(HALVED)[-1] == ["2", "dropout 0.02", "5", "", "Diverged"]


@pytest.mark.parametrize("found", [MANY, HALVED], ids=["many", "halved"])
def test_the_card_shows_no_more_than_the_best_and_says_where_all_are(found: SearchReport) -> None:
    assert len(rows_of(found)) == min(MAX_ROWS, len(found.trials))
    text = "\n".join(search_section(found))
    assert f"{len(found.trials)} trials were made" in text
    assert "`search.json` has all trials" in text
