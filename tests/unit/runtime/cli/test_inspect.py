"""``modelservice inspect`` as a user calls it."""

import json
from pathlib import Path

import pytest

from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode


def test_inspecting_shows_what_there_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "out/iris"]) == ExitCode.DONE
    shown = capsys.readouterr().out
    for words in (
        "petal_width",
        "Number",
        "model.onnx",
        "weights.safetensors",
        "sha256:",
        "predicted class",
        "key ",
        "probabilities",
        "model card out/iris/MODEL_CARD.md; beside it data-report.json, baseline.json, ",
    ):
        assert words in shown


def test_inspecting_as_json_is_json(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "out/iris", "--json"]) == ExitCode.DONE
    shown = json.loads(capsys.readouterr().out)
    assert shown["digest"].startswith("sha256:")
    assert shown["manifest"]["data"]["rows"] == 150
    assert shown["signature"]["outputs"][1]["labels"] == ["setosa", "versicolor", "virginica"]
    assert shown["metrics"]["test"]["rows"] > 0
    assert shown["reports"][0] == "out/iris/MODEL_CARD.md"
    assert all(Path(report).is_file() for report in shown["reports"])


def test_inspecting_a_damaged_artifact_fails(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trained / "out/iris/extra").touch()
    assert main(["inspect", "out/iris"]) == ExitCode.ORDER_INVALID
    assert "'extra'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("out", "is missing in out: name the folder that train or pack wrote; did you mean out/iris?"),
        ("out/iris/model.onnx", "is not a folder; did you mean out/iris?"),
        ("iris.yaml", "iris.yaml is not a folder; by itself train writes to out/NAME"),
    ],
)
def test_inspecting_beside_an_artifact_says_where_it_is(
    trained: Path, capsys: pytest.CaptureFixture[str], address: str, words: str
) -> None:
    assert main(["inspect", address]) == ExitCode.ORDER_INVALID
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "words"), [("out/no", "there is no artifact in out/no"), ("ftp://x", "not under ftp")]
)
def test_inspecting_what_is_not_there_fails(
    home: Path, capsys: pytest.CaptureFixture[str], address: str, words: str
) -> None:
    assert main(["inspect", address]) == ExitCode.ORDER_INVALID
    assert words in capsys.readouterr().err
