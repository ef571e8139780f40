"""Two things side by side: both end, and what failed is told."""

import sys
from pathlib import Path

import pytest
from tests.cluster.pipeline import side_by_side, tell_outcomes


@pytest.mark.parametrize("yields", [False, True])
@pytest.mark.parametrize(("first", "second", "code"), [(0, 0, 0), (2, 0, 2), (0, 3, 3), (2, 3, 2)])
def test_what_runs_beside_is_shown_and_its_failure_counts(
    first: int, second: int, code: int, yields: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    script = f"import sys; print('printed meanwhile'); sys.exit({second})"
    assert side_by_side(lambda: first, [sys.executable, "-S", "-c", script], yields=yields) == code
    assert "printed meanwhile" in capsys.readouterr().err


@pytest.mark.parametrize("yields", [False, True])
def test_an_interrupt_ends_both(yields: bool) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(interrupted, [sys.executable, "-S", "-c", "import signal; signal.pause()"], yields=yields)


def test_what_failed_is_told_at_the_end_of_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        ("tests.unit.test_a", "test_good"): "",
        ("tests.unit.test_a", "test_skipped"): '<skipped message="why"/>',
        ("tests.wiring.test_b", "test_bad[1]"): '<failure message="assert 1 == 2&#10;more">deep down</failure>',
        ("tests.wiring.test_b", "test_broken"): '<error message="no cluster">deep down</error>',
    }
    inner = "".join(f'<testcase classname="{at}" name="{name}">{end}</testcase>' for (at, name), end in cases.items())
    (tmp_path / "all.xml").write_text(f"<testsuites><testsuite>{inner}</testsuite></testsuites>")
    assert tell_outcomes(tmp_path) == "1 passed, 2 failed, 1 skipped"
    assert [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()] == [
        "failed: wiring.test_b::test_bad[1]: assert 1 == 2",
        "failed: wiring.test_b::test_broken: no cluster",
        "unit 1 passed, 0 failed, 1 skipped",
        "wiring 0 passed, 2 failed, 0 skipped",
    ]
