"""Two things side by side: both end, and what failed is told."""

import sys

import pytest
from tests.cluster.pipeline import side_by_side


@pytest.mark.parametrize(("first", "second", "code"), [(0, 0, 0), (2, 0, 2), (0, 3, 3), (2, 3, 2)])
def test_what_runs_beside_is_shown_and_its_failure_counts(
    first: int, second: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    script = f"import sys; print('printed meanwhile'); sys.exit({second})"
    assert side_by_side(lambda: first, [sys.executable, "-S", "-c", script]) == code
    assert "printed meanwhile" in capsys.readouterr().err


def test_an_interrupt_ends_both() -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(interrupted, [sys.executable, "-S", "-c", "import signal; signal.pause()"])
