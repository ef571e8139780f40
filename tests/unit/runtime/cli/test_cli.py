"""The command as a user calls it; one process for what only a process can show, the rest in this one."""

import base64
import errno
import gc
import io
import json
import os
import subprocess
import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from tests.support.samples import SAMPLES
from tests.unit.runtime.stages.pipelines import IRIS, order_of, train_work

from modelservice import __version__
from modelservice.artifact.stores import folder as folder_module
from modelservice.cli import main
from modelservice.cli.serve import _cache, _folder, _loaded
from modelservice.contract.access import Access
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.places import ACCESS_PATH, CPU_LIMIT_ENV, ENCRYPTION_KEYS_ENV
from modelservice.contract.server_flags import ServerFlags, server_arguments
from modelservice.contract.serving import Batching, Engine, Inputs, MissingColumns, UnknownColumns
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.inference.predictor import Predictor
from modelservice.serving import main as serving
from modelservice.serving.switching import Source
from modelservice.stages import local
from modelservice.stages import run as run_module
from modelservice.stages.documents import ResourceError

RESOURCE = """\
apiVersion: modelservice.dev/v1alpha1
kind: ModelService
metadata: {name: iris}
spec:
  data: {configMap: {name: iris}, target: species}
  model: {mlp: {hiddenLayers: [8]}}
  training: {epochs: 2}
  serving: {batching: {maxSize: 7}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris.yaml").write_text(RESOURCE)
    return tmp_path


@pytest.fixture
def trained(home: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.DONE
    capsys.readouterr()
    return home


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def serve(*sources: Source, **arguments: Any) -> int:
        calls.append({"sources": sources, **arguments})
        return ExitCode.DONE

    monkeypatch.setattr(serving, "serve", serve)
    return calls


@pytest.mark.parametrize("command", ["train", "compress"])
def test_files_of_single_sides_are_named_beside_the_data(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def run(_: Any, **arguments: Any) -> None:
        asked.update(arguments)
        raise ResourceError("enough")

    monkeypatch.setattr(local, f"{'run' if command == 'train' else command}_locally", run)
    named = ["--data", "a.csv", "--test-data", "t.csv", "--validation-data", "v.csv"]
    more = ["--input", "in", "--output", "out"] if command == "compress" else []
    file = str(SAMPLES / "test-file.yaml")
    assert main([command, "-f", file, *named, *more]) == ExitCode.ORDER_INVALID
    assert (asked["data"], asked["given"]) == (Path("a.csv"), {"validation": Path("v.csv"), "test": Path("t.csv")})


def test_training_prints_metrics_and_what_to_do_next(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.DONE
    printed = capsys.readouterr()
    for words in ("150 rows, 4 features, 3 classes", "precision", "predicted class", "95 % interval", "out/iris"):
        assert words in printed.out
    assert "  modelservice serve -f iris.yaml\n" in printed.out
    events = [json.loads(line) for line in printed.err.splitlines()]
    assert [(event["stage"], event["done"], event["total"]) for event in events] == [("train", 1, 2), ("train", 2, 2)]


def test_training_elsewhere_says_how_to_serve_from_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS), "--output", "models/1"]) == ExitCode.DONE
    assert "  modelservice serve --model models/1 --name iris\n" in capsys.readouterr().out
    assert (home / "models/1/manifest.json").exists()


def test_what_was_encrypted_is_served_and_inspected_with_its_key(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, "")
    (home / "key").write_bytes(base64.b64encode(b"k" * 32))
    asked = ["train", "-f", "iris.yaml", "--data", str(IRIS), "--encryption-key", "key"]
    assert main(asked) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert "  modelservice serve -f iris.yaml --encryption-key key\n" in shown
    assert "  modelservice inspect out/iris --encryption-key key\n" in shown


@pytest.mark.parametrize(
    ("resource", "data", "code", "words"),
    [
        (RESOURCE.replace("epochs: 2", "epochs: 0"), IRIS, ExitCode.ORDER_INVALID, "spec.training.epochs: 0: "),
        (RESOURCE.replace("species", "kind"), IRIS, ExitCode.DATA_INVALID, "no column 'kind'"),
        (RESOURCE, "missing.csv", ExitCode.DATA_INVALID, "missing.csv cannot be read"),
        (RESOURCE, None, ExitCode.ORDER_INVALID, "no ConfigMap 'iris'"),
        (
            RESOURCE.replace("epochs: 2", "epochs: 60, l2: 1, optimizer: {sgd: {learningRate: 10, momentum: 0.99}}"),
            IRIS,
            ExitCode.ORDER_INVALID,
            "lower spec.training.optimizer.sgd.learningRate",
        ),
    ],
)
def test_errors_are_a_line_on_stderr_and_an_exit_code(
    home: Path, capsys: pytest.CaptureFixture[str], *, resource: Any, data: Any, code: int, words: str
) -> None:
    (home / "iris.yaml").write_text(resource)
    assert main(["train", "-f", "iris.yaml", *(["--data", str(data)] if data else [])]) == code
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if not line.startswith("{")]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert words in errors[0]
    assert printed.out == ""
    assert not (home / "out" / "iris").exists()


def test_a_folder_of_something_else_is_not_overwritten(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "out/iris").mkdir(parents=True)
    (home / "out/iris/thesis.tex").touch()
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.ORDER_INVALID
    assert "--output" in capsys.readouterr().err
    assert (home / "out/iris/thesis.tex").exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [("s3://models/iris", "trained into a folder here"), ("", "is no folder"), ("/", "is no folder")],
)
def test_an_output_that_is_no_folder(
    home: Path, capsys: pytest.CaptureFixture[str], *, output: str, words: str
) -> None:
    before = sorted(home.iterdir())
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS), "--output", output]) == ExitCode.ORDER_INVALID
    assert words in capsys.readouterr().err
    assert sorted(home.iterdir()) == before


def test_an_empty_folder_that_one_is_in_becomes_the_artifact(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "empty").mkdir()
    monkeypatch.chdir(home / "empty")
    assert main(["train", "-f", "../iris.yaml", "--data", str(IRIS), "--output", "."]) == ExitCode.DONE
    assert main(["inspect", str(home / "empty")]) == ExitCode.DONE


def test_a_full_disk_at_home_names_no_field_of_a_cluster(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _content: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(folder_module, "_write_file", full)
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.TRY_AGAIN
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: No space left on device: out/")
    assert "spec" not in error


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


def test_a_compression_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compression = "  compression: {maxAccuracyDrop: 1, steps: [{quantize: {}}]}\n"
    (home / "iris.yaml").write_text(RESOURCE.replace("[8]", "[64, 64]") + compression)
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert "compression:" in shown
    assert "and may fall by 1" in shown
    assert main(["inspect", "out/iris"]) == ExitCode.DONE
    assert "stage compress, from " in capsys.readouterr().out


def test_a_trained_model_is_compressed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = "prune: {structured: {ratio: 0.5}, fineTuneEpochs: 1}"
    (trained / "iris.yaml").write_text(RESOURCE + f"  compression: {{maxAccuracyDrop: 1, steps: [{{{step}}}]}}\n")
    asked = ["compress", "-f", "iris.yaml", "--data", str(IRIS), "--input", "out/iris", "--output", "small"]
    assert main(asked) == ExitCode.DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert "compression:" in shown
    assert "modelservice serve --model small --name iris" in shown
    assert (Predictor.load("out/iris").manifest.parameters, Predictor.load("small").manifest.parameters) == (67, 35)
    assert main([*asked[:-1], "out/iris"]) == ExitCode.ORDER_INVALID
    assert "name another folder" in capsys.readouterr().err


def test_serving_a_resource_takes_address_name_and_batching_from_it(home: Path, served: Any) -> None:
    assert main(["serve", "-f", "iris.yaml", "--batch-max-delay-milliseconds", "3"]) == ExitCode.DONE
    (call,) = served
    assert loaded_by(call) == ("out/iris", None, "load_onnx_engine")
    assert (call["sources"][0].name, call["host"], call["ports"]) == ("iris", "127.0.0.1", {"http": 8080})
    assert call["batching"] == Batching(max_size=7, max_delay_milliseconds=3)


def test_several_models_are_served_by_name(served: Any) -> None:
    addresses = {"iris": "models/1", "wine": "s3://models/team=a/wine"}
    assert main(["serve", *(f"--model={name}={address}" for name, address in addresses.items())]) == ExitCode.DONE
    (call,) = served
    assert {source.name: source.load.args[0] for source in call["sources"]} == addresses


def loaded_by(call: dict[str, Any]) -> tuple[str, str | None, str]:
    """Address, digest and engine of what `serve` was given to load."""
    load = call["sources"][0].load
    assert load.func == _loaded
    return str(load.args[0]), load.keywords["digest"], load.keywords["engine"].__name__


@pytest.mark.parametrize(
    ("spec", "flags", "engine", "grpc_port"),
    [
        ("{}", [], "load_onnx_engine", None),
        ("{engine: Torch, grpc: {}}", [], "load_torch_engine", 9000),
        ("{engine: Torch, grpc: {}}", ["--engine", "onnx", "--grpc-port", "0"], "load_onnx_engine", 0),
        ("{}", ["--engine=torch", "--grpc-port=7"], "load_torch_engine", 7),
    ],
)
def test_flags_go_before_what_the_resource_says(
    home: Path, served: Any, *, spec: str, flags: list[str], engine: str, grpc_port: int | None
) -> None:
    (home / "iris.yaml").write_text(RESOURCE.replace("{batching: {maxSize: 7}}", spec))
    assert main(["serve", "-f", "iris.yaml", *flags]) == ExitCode.DONE
    (call,) = served
    assert (loaded_by(call)[2], call["ports"].get("grpc")) == (engine, grpc_port)


def test_a_resource_that_is_none_is_not_served(home: Path, capsys: pytest.CaptureFixture[str], served: Any) -> None:
    (home / "iris.yaml").write_text(RESOURCE.replace("epochs: 2", "epoch: 2"))
    assert main(["serve", "-f", "iris.yaml"]) == ExitCode.ORDER_INVALID
    assert capsys.readouterr().err == "error: spec.training.epoch: there is no such field; did you mean epochs?\n"
    assert not served


def test_a_list_with_a_wrong_item_is_not_said_to_be_empty(
    home: Path, capsys: pytest.CaptureFixture[str], served: Any
) -> None:
    (home / "iris.yaml").write_text(f"{RESOURCE}  promotion: {{require: [{{metric: {{name: f1}}}}]}}\n")
    assert main(["serve", "-f", "iris.yaml"]) == ExitCode.ORDER_INVALID
    words = "error: spec.promotion.require[0].metric: a metric needs a bound: set min, max or both\n"
    assert capsys.readouterr().err == words
    assert not served


def test_a_server_without_torch_says_where_torch_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, served: Any
) -> None:
    monkeypatch.delitem(sys.modules, "modelservice.families.torch_engine", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["serve", "--model", "m", "--name", "n", "--engine", "torch"]) == ExitCode.ORDER_INVALID
    assert "this command needs the trainer's image" in capsys.readouterr().err
    assert not served


def in_the_servers_image(code: str) -> subprocess.CompletedProcess[str]:
    """A process that has neither the trainer's libraries nor the trainer's packages of ours."""
    missing = ("torch", "sklearn", "onnx", "pyarrow", "safetensors", "pandas")
    packages = ("stages", "families", "training", "compression")
    code = (
        "import sys\n"
        f"for name in {missing!r}: sys.modules[name] = None\n"
        f"for name in {packages!r}: sys.modules['modelservice.' + name] = None\n"
        f"{code}"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_server_needs_nothing_of_the_trainer(trained: Path) -> None:
    done = in_the_servers_image(
        "from modelservice.serving import main as serving\n"
        "serving.serve = lambda source, **given: print(source.load().predict([[5.1, 3.5, 1.4, 0.2]])) or 0\n"
        "from modelservice.cli import main\n"
        "sys.exit(main(['serve', '--model', 'out/iris', '--name', 'iris']))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["inspect", "out/iris"], ExitCode.DONE, "predicted class"),
        (["train", "-f", "iris.yaml"], ExitCode.ORDER_INVALID, "this command needs the trainer's image"),
        (["stage"], ExitCode.ORDER_INVALID, "this command needs the trainer's image"),
    ],
)
def test_the_servers_image_inspects_and_says_what_it_has_not(
    trained: Path, command: list[str], code: int, words: str
) -> None:
    done = in_the_servers_image(f"from modelservice.cli import main; sys.exit(main({command!r}))")
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr


def test_a_notebook_with_the_servers_extra_is_told_which_one_trains() -> None:
    code = "sys.modules['pyarrow'] = None; import modelservice; modelservice.train('iris.yaml')"
    done = subprocess.run([sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith(
        "ModuleNotFoundError: modelservice.train needs the extra `trainer` (pip install '.[trainer]'): "
    )
    assert "pyarrow" in said


def test_a_disk_that_fails_is_not_taken_for_an_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Predictor, "load", fail)
    command = ["serve", "--model", "m", "--name", "n", "--port", "0"]
    assert main(command) == ExitCode.ORDER_INVALID
    assert capsys.readouterr().err == "error: n cannot be served: [Errno 5] Input/output error\n"


@pytest.mark.usefixtures("served")
def test_a_server_that_ends_while_it_loads_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    command, may = ["serve", "--model", "m", "--name", "n"], threading.Event()
    assert main(command) == ExitCode.DONE
    loading = threading.Thread(target=may.wait, args=(10,), name="load")
    loading.start()
    with pytest.raises(SystemExit) as left:
        main(command)
    may.set()
    loading.join()
    assert left.value.code == ExitCode.DONE


GUARDED = Access.model_validate(
    {
        "auth": {"jwt": {"issuer": "https://a", "audience": "iris", "jwks": {"uri": "https://a/keys"}}},
        "tls": {"secretRef": {"name": "tls"}},
        "limits": {"perCaller": {"requestsPerSecond": 5}},
    }
)


@pytest.mark.parametrize("grpc_port", [None, 9000])
@pytest.mark.parametrize("engine", list(Engine))
def test_serving_as_the_operator_writes_it(served: Any, engine: Engine, grpc_port: int | None) -> None:
    flags = ServerFlags(
        model="s3://models/default/iris/abc",
        name="iris",
        digest="sha256:" + "0" * 64,
        grpc_port=grpc_port,
        engine=engine,
        batching=Batching(max_size=32, max_delay_milliseconds=1, max_queue_milliseconds=50),
        revision=12,
        access=GUARDED if grpc_port else Access(),
        secrets="/secrets" if grpc_port else None,
        status_port=8082 if grpc_port else None,
        inputs=Inputs(unknown_columns=UnknownColumns.IGNORE) if grpc_port else Inputs(),
        cache="/cache" if grpc_port else None,
        cache_size="1500m" if grpc_port else None,
        encoder="http://minilm-0123456789.team.svc" if grpc_port else None,
    )
    assert main(server_arguments(flags)) == ExitCode.DONE
    (call,) = served
    assert loaded_by(call) == (flags.model, flags.digest, f"load_{engine.value.lower()}_engine")
    assert (call["sources"][0].name, call["host"], call["ports"]["http"]) == (flags.name, flags.host, flags.port)
    assert (call["ports"].get("grpc"), call["batching"]) == (flags.grpc_port, flags.batching)
    assert call["sources"][0].revision == 12
    assert call["access"] == flags.access
    assert call["inputs"] == flags.inputs
    assert call["secrets"] == Path(flags.secrets or ACCESS_PATH)
    assert call["ports"].get("status") == flags.status_port
    assert call["sources"][0].load.keywords["encoder"] == flags.encoder
    cache = call["sources"][0].load.keywords["cache"]
    assert (None if cache is None else cache._limit) == (2 if grpc_port else None)


def test_a_cache_is_a_folder(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    with pytest.raises(SystemExit):
        main(["serve", "--model", "s3://a/b", "--name", "n", "--cache", "file"])
    assert "argument --cache: 'file' is a file: name a folder" in capsys.readouterr().err
    monkeypatch.setenv("HOME", str(home))
    assert _folder("~/cache") == home / "cache"
    parsed = Namespace(cache=home, cache_size=1)
    assert _cache(parsed, "out/iris") is None
    assert "note: --cache is not used: out/iris is a folder" in capsys.readouterr().err
    assert _cache(parsed, "s3://a/b") is not None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("size", "words"),
    [("much", "'much' is not a quantity such as 500m, 2 or 1Gi"), ("0", "'0' holds nothing: name at least 1 byte")],
)
def test_a_cache_has_a_size(capsys: pytest.CaptureFixture[str], size: str, words: str) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--model", "s3://a/b", "--name", "n", "--cache", "cache", "--cache-size", size])
    assert f"argument --cache-size: {words}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "unknown", "missing", "keeps"),
    [
        ([], "Ignore", "Error", True),
        (["--unknown-columns", "Error", "--missing-columns=Missing"], "Error", "Missing", True),
        (["--access", "{}"], "Ignore", "Error", False),
    ],
)
def test_what_requests_may_get_wrong_and_whether_files_are_kept(
    home: Path, served: list[dict[str, Any]], flags: list[str], unknown: str, missing: str, *, keeps: bool
) -> None:
    serving = "serving: {inputs: {unknownColumns: Ignore}, artifact: {}}"
    (home / "iris.yaml").write_text(RESOURCE.replace("serving: {batching: {maxSize: 7}}", serving))
    assert main(["serve", "-f", "iris.yaml", *flags]) == ExitCode.DONE
    (call,) = served
    assert call["inputs"] == Inputs(unknown_columns=UnknownColumns(unknown), missing_columns=MissingColumns(missing))
    assert call["sources"][0].load.keywords["keep_files"] is keeps


@pytest.mark.usefixtures("home")
def test_keys_that_nothing_asks_for_are_not_served_openly(
    served: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "-f", "iris.yaml", "--secrets", "secrets"]) == ExitCode.ORDER_INVALID
    assert capsys.readouterr().err == (
        "error: --secrets is given, and nothing asks for what is in it: set spec.serving.auth or spec.serving.tls in"
        " the ModelService (or --access), or leave it out to serve everybody\n"
    )
    assert served == []


def test_who_may_call_is_said_by_the_file_and_overruled_by_the_flag(served: Any, tmp_path: Path) -> None:
    said = "auth: {apiKeys: {secretRef: {name: keys}}}"
    file = tmp_path / "a.yaml"
    file.write_text(
        "apiVersion: modelservice.dev/v1alpha1\nkind: ModelService\nmetadata: {name: iris}\n"
        f"spec: {{data: {{configMap: {{name: t}}, target: y}}, model: {{mlp: {{}}}}, serving: {{{said}}}}}\n"
    )
    assert main(["serve", "-f", str(file)]) == ExitCode.DONE
    assert main(["serve", "-f", str(file), "--access", '{"audit": {}}']) == ExitCode.DONE
    keys, audit = (call["access"] for call in served)
    assert keys.auth.api_keys.secret_ref.name == "keys"
    assert audit == Access.model_validate({"audit": {}})


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["serve", "--model", "m"], "--model m: has no name; write --model NAME=m, or --name beside a lone address"),
        (["serve", "--model", "a=m", "--model", "n", "--name", "b"], "--name names one model, and 2 are given"),
        (["serve", "--model", "a=m", "--model", "n"], "--model n: has no name"),
        (["serve", "--model", "a=m", "--model", "a=n"], "--model a=n: there is another model of this name"),
        (
            ["serve", "--model", "a=m", "--model", "b=n", "--digest", f"sha256:{64 * '0'}"],
            "--digest is that of one model, and 2 are given",
        ),
        (["serve", "--model", "a=m", "--model", "b=n", "--revision", "2"], "--revision is that of one model"),
        (["serve", "--model", "m", "--name", "n", "--batch-max-size", "0"], "--batch-max-size: Input should be"),
        (["serve", "-f", "a", "--model", "m"], "not allowed with"),
        (["serve", "-f", "a", "--port", "65536"], "'65536' is not a port: 0 to 65535"),
        (["serve", "--model", "m", "--name", "n", "--revision", "0"], "'0' is not the number of a revision: 1 to"),
        (
            ["serve", "--model", "m", "--name", "n", "--digest", "sha256:1234"],
            "'sha256:1234' is no digest: sha256: and",
        ),
        (["serve"], "is required"),
        (
            ["serve", "--model", "m", "--name", "n", "--access", '{"auth": {}}'],
            "exactly one of apiKeys, jwt must be set",
        ),
        (
            ["serve", "--model", "m", "--name", "n", "--access", "access.json"],
            "expected an object of auth, tls, limits",
        ),
        (["serve", "--model", "m", "--name", "n", "--access", '{"keys": 1}'], "keys: there is no such field; expected"),
        (["train"], "arguments are required: -f"),
        (["serve", "--model", "m", "--name", "n", "--engine", "tpu"], "invalid choice: 'tpu'"),
        ([], "COMMAND"),
    ],
)
def test_wrong_commands_are_explained(capsys: pytest.CaptureFixture[str], command: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_an_order_that_is_not_there_ends_with_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", "--order", str(tmp_path / "order.json")]) == ExitCode.ORDER_INVALID
    assert '"reason": "OrderNotFound"' in capsys.readouterr().out


@pytest.mark.parametrize(("said", "threads"), [(None, "3"), ("1", "1")])
def test_a_stage_uses_the_cpus_that_it_may_unless_the_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, threads: str
) -> None:
    """Set before torch and scikit-learn are imported, which read it then."""
    monkeypatch.setattr(os, "environ", {CPU_LIMIT_ENV: "3", **({} if said is None else {"OMP_NUM_THREADS": said})})
    calls: list[dict[str, Any]] = []

    def run_stage(**given: Any) -> int:
        calls.append(given)
        return ExitCode.DONE

    monkeypatch.setattr(run_module, "run_stage", run_stage)
    order = tmp_path / "order.json"
    order.write_text(order_of(train_work()).model_dump_json())
    assert main(["stage", "--order", str(order)]) == ExitCode.DONE
    assert (os.environ["OMP_NUM_THREADS"], calls[0]["where"].order) == (threads, order)


@pytest.mark.parametrize(
    "command", [[], ["train"], ["compress"], ["serve"], ["inspect"], ["predict"], ["explain"], ["stage"]]
)
def test_help_has_examples_and_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys; from modelservice.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'fastapi', 'rich', 'yaml', 'onnxruntime', 'obstore'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if command:
        assert f"modelservice {command[0]} " in done.stdout.split("examples:")[1]


def test_the_package_is_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelservice", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"modelservice {__version__}\n"


def test_sigterm_is_handled_from_the_first_import_on() -> None:
    """As process 1 of a container has to; without a handler the code would be -15, and nothing at all there."""
    code = (
        "import os, runpy, signal, modelservice.cli as cli\n"
        "cli.main = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
        "runpy.run_module('modelservice', run_name='__main__')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == ExitCode.TERMINATED


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import modelservice, sys; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_training_looks_for_garbage_less_often(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    thresholds: list[int] = []
    monkeypatch.setattr(gc, "set_threshold", thresholds.append)
    assert main(["train", "-f", str(tmp_path / "none.yaml")]) == ExitCode.ORDER_INVALID
    assert thresholds == [50_000]
