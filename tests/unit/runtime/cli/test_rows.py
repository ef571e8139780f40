"""``modelservice predict`` and ``explain``: rows of files are answered as a server would."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.inference.predictor import Predictor

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, None]]


HEADER = "sepal_length,sepal_width,petal_length,petal_width\n"


def test_rows_of_files_are_answered_as_a_server_would(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CSV with a column too many and a gap, a request, and a list from stdin: the same rows, the same answers."""
    lines = ["species,sepal_length,sepal_width,petal_length,petal_width", "setosa,5.1,3.5,1.4,0.2", "?,6.3,2.9,5.6,"]
    (trained / "rows.csv").write_text("\ufeff" + "\n".join(lines) + "\n")
    (trained / "request.json").write_text(json.dumps({"instances": ROWS}))
    printed = []
    for name in ("rows.csv", "request.json", "-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(ROWS).encode())))
        assert main(["predict", "out/iris", name]) == ExitCode.DONE
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
    answers = json.loads(printed[0])["predictions"]
    assert [answer["label"] for answer in answers] == Predictor.load("out/iris").predict(ROWS)


def test_rows_of_files_are_explained(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trained / "request.json").write_text(json.dumps({"instances": ROWS, "label": "virginica"}))
    assert main(["explain", "out/iris", "request.json"]) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)["explanations"]
    expected = Predictor.load("out/iris").explain(ROWS, label="virginica")
    for one, said in zip(found, expected, strict=True):
        assert one["contributions"] == pytest.approx(said["contributions"], abs=1e-6)
        assert one["base"] + sum(one["contributions"].values()) == pytest.approx(one["value"])


def test_a_method_is_asked_for_and_torch_computes(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trained / "rows.json").write_text(json.dumps(ROWS))
    assert main(["explain", "out/iris", "rows.json", "--method", "Occlusion"]) == ExitCode.ORDER_INVALID
    assert "error: method: the text 'Occlusion'; expected Shapley; Occlusion is of images" in capsys.readouterr().err
    assert main(["explain", "out/iris", "rows.json", "--engine", "torch"]) == ExitCode.DONE
    by_torch = json.loads(capsys.readouterr().out)["explanations"]
    for one, said in zip(by_torch, Predictor.load("out/iris").explain(ROWS), strict=True):
        assert one["contributions"] == pytest.approx(said["contributions"], abs=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("no.json", None, ExitCode.DATA_INVALID, "no.json cannot be read: No such file or directory"),
        ("x.json", "{", ExitCode.ORDER_INVALID, "error: the body is not JSON"),
        ("x.json", "[[1, 2, 3]]", ExitCode.ORDER_INVALID, "instances[0]: has 3 values, expected 4"),
        ("x.json", json.dumps([[1] * 4] * 70 + [["x"] * 4]), ExitCode.ORDER_INVALID, "instances[70].sepal_length: 'x'"),
        (
            "x.csv",
            "sepal_length\n1\n",
            ExitCode.ORDER_INVALID,
            "x.csv has no column 'sepal_width'; leave its cells empty",
        ),
        (
            "x.csv",
            HEADER.replace("sepal_width", "sepal_wdth"),
            ExitCode.ORDER_INVALID,
            "x.csv has no column 'sepal_width'; did you mean its column 'sepal_wdth'?",
        ),
        (
            "x.csv",
            HEADER.replace(",", ";"),
            ExitCode.ORDER_INVALID,
            "its header is sepal_length;sepal_width;petal_length;petal_width, where ';' separates: cells have to be",
        ),
        ("x.csv", f"{HEADER}1,2,3,inf\n", ExitCode.ORDER_INVALID, "instances[0].petal_width: 'inf' is not a number"),
        ("x.csv", f"{HEADER}1,2,3,1_0\n", ExitCode.ORDER_INVALID, "instances[0].petal_width: '1_0' is not a number"),
        ("x.csv", f"{HEADER}1,2,3,4\n1,2,3\n", ExitCode.DATA_INVALID, "ends in line 3 has fewer cells than the header"),
        ("x.csv", f"{HEADER}1,2,3,4,5\n", ExitCode.DATA_INVALID, "ends in line 2 has more cells than the header"),
        ("x.csv", f"sepal_width,{HEADER}9,1,2,3,4\n", ExitCode.DATA_INVALID, "has the column 'sepal_width' twice"),
        ("x.csv", "x" * 200_000, ExitCode.DATA_INVALID, "x.csv cannot be read: field larger than field limit"),
    ],
)
def test_wrong_rows_of_files_are_said(
    trained: Path, capsys: pytest.CaptureFixture[str], *, name: str, content: str | None, code: int, words: str
) -> None:
    if content is not None:
        (trained / name).write_text(content)
    assert main(["predict", "out/iris", name]) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_a_model_that_answers_too_few_rows_is_said(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (trained / "rows.json").write_text(json.dumps(ROWS))
    run = OnnxEngine.run
    monkeypatch.setattr(OnnxEngine, "run", lambda self, features: run(self, features)[:1])
    assert main([command, "out/iris", "rows.json"]) == ExitCode.ORDER_INVALID
    assert "error: out/iris cannot be asked: the model answers" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(trained: Path) -> None:
    command = f"{sys.executable} -m modelservice inspect out/iris --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
