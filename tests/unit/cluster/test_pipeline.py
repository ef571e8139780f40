"""Stages in a row and beside each other: all is shown, and what failed is told."""

import sys

import pytest
from tests.cluster.meanwhile import Meanwhile
from tests.cluster.pipeline import Stage, run


def script(code: int) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", f"import sys; print('printed'); sys.exit({code})")


@pytest.mark.parametrize("code", [0, 3])
def test_what_runs_beside_is_shown_and_its_failure_is_known(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    beside = Meanwhile(script(code))
    assert beside.end() == code
    assert beside.is_well == (code == 0)
    assert "printed" in capsys.readouterr().err


def test_stages_end_with_the_first_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert run((Stage("first", script(0)), Stage("second", script(2)), Stage("third", script(0)))) == 2
    said = capsys.readouterr().err
    assert "second: failed with 2" in said
    assert "3/3" not in said


def test_no_stage_is_begun_once_what_runs_beside_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    going = iter([True, False])
    stages = (Stage("first", script(0)), Stage("second", script(0)))
    assert run(stages, go_on=lambda: next(going)) == 1
    assert "second: not begun" in capsys.readouterr().err
