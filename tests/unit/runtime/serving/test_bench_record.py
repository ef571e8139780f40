"""How benches write what they found."""

import json
from pathlib import Path

import pytest
from tests.bench import record as module
from tests.bench.record import at_least, at_most, figure, markdown, record, replace_block


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "FOLDER", tmp_path / "bench")
    monkeypatch.setattr(module, "README", tmp_path / "README.md")
    return tmp_path


def test_figures_are_recorded_and_a_missed_limit_fails(folder: Path) -> None:
    good = [figure("rate", 12345.6, "requests/s"), at_least("share", 0.5, "ratio", 0.45)]
    assert record("x", good, caption="here", readme=False) == 0
    assert json.loads((folder / "bench" / "x.json").read_text()) == [
        {"figure": "rate", "value": 12345.6, "unit": "requests/s", "limit": None, "holds": None},
        {"figure": "share", "value": 0.5, "unit": "ratio", "limit": ">= 0.45", "holds": True},
    ]
    assert record("x", [at_least("share", 0.44, "ratio", 0.45)], caption="here", readme=False) == 1
    assert record("x", [at_most("writes", 1, "", 0)], caption="here", readme=False) == 1
    assert not (folder / "README.md").exists()


def test_the_readme_gets_the_table_between_its_marks(folder: Path) -> None:
    readme = folder / "README.md"
    readme.write_text("before\n<!-- bench:x -->\nold\n<!-- /bench:x -->\n<!-- bench:y -->kept<!-- /bench:y -->\n")
    record("x", [at_most("p99", 12.345, "ms", 20)], caption="one process", readme=True)
    assert readme.read_text() == (
        "before\n<!-- bench:x -->\nOne process.\n\n"
        "| figure | value | unit | limit | holds |\n|---|--:|---|---|---|\n"
        "| p99 | 12.35 | ms | <= 20 | yes |\n"
        "<!-- /bench:x -->\n<!-- bench:y -->kept<!-- /bench:y -->\n"
    )


def test_a_readme_without_the_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="must hold <!-- bench:x --> and <!-- /bench:x --> exactly once"):
        replace_block("nothing", "x", markdown([], caption="here"))
