"""How benches write what they found."""

import json
from pathlib import Path

import pytest
from tests.bench import record as module
from tests.bench.record import at_least, at_most, excerpt, figure, markdown, record, replace_block


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "FOLDER", tmp_path / "bench")
    monkeypatch.setattr(module, "BENCHMARKS", tmp_path / "benchmarks.md")
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


def marked(name: str, content: str) -> str:
    return f"<!-- bench:{name} -->\n{content}\n<!-- /bench:{name} -->\n"


HEAD = "| figure | value | unit | limit | holds |\n|---|--:|---|---|---|\n"


def test_the_table_goes_between_its_marks_and_the_readme_follows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = (("y", "rate"), ("x", "p99"))
    monkeypatch.setattr(module, "SHOWN", ((folder / "README.md", "figures", shown),))
    other = marked("y", f"How.\n\n{HEAD}| rate | 1 | requests/s |  |  |")
    (folder / "README.md").write_text("before\n" + marked("figures", "old") + "after\n")
    (folder / "benchmarks.md").write_text("before\n" + marked("x", "old") + other)
    record("x", [at_most("p99", 12.345, "ms", 20)], caption="one process", readme=True)
    mine = marked("x", f"One process.\n\n{HEAD}| p99 | 12.35 | ms | <= 20 | yes |")
    assert (folder / "benchmarks.md").read_text() == f"before\n{mine}{other}"
    short_head = "| bench | figure | value | unit | limit | holds |\n|---|---|--:|---|---|---|\n"
    short = f"{short_head}| y | rate | 1 | requests/s |  |  |\n| x | p99 | 12.35 | ms | <= 20 | yes |"
    assert (folder / "README.md").read_text() == "before\n" + marked("figures", short) + "after\n"


def test_a_figure_that_no_bench_measured_yet_is_left_out() -> None:
    measured = marked("x", f"{HEAD}| p99 | 1 | ms |  |  |")
    assert excerpt(measured, (("x", "p50"), ("x", "p99"))).splitlines()[2:] == ["| x | p99 | 1 | ms |  |  |"]


def test_a_document_without_the_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="must hold <!-- bench:x --> and <!-- /bench:x --> exactly once"):
        replace_block("nothing", "x", markdown([], caption="here"))
