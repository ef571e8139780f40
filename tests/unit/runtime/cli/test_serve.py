"""``modelservice serve`` as a user and the operator call it, up to where the server begins."""

import base64
import errno
import os
import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.cli.resource import RESOURCE
from tests.unit.runtime.stages.pipelines import IRIS

from modelservice.cli import main
from modelservice.cli.serve import _cache, _folder, _loaded
from modelservice.contract.access import Access
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.history import PastRevision
from modelservice.contract.places import ACCESS_PATH, ENCRYPTION_KEYS_ENV
from modelservice.contract.server_flags import ServerFlags, server_arguments
from modelservice.contract.serving import Batching, Engine, Inputs, MissingColumns, UnknownColumns
from modelservice.inference.predictor import Predictor


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
    words = "error: spec.promotion.require[0].metric: a metric needs a bound: set min, max or notWorseThanCurrent\n"
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
        history=(PastRevision(number=12, digest="sha256:" + "0" * 64),) if grpc_port else (),
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
    assert (call["sources"][0].revision, call["sources"][0].history) == (12, flags.history)
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


def test_to_serve_the_servers_extra_is_enough(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, served: Any
) -> None:
    monkeypatch.setitem(sys.modules, "modelservice.inference.onnx_engine", None)
    assert main(["serve", "--model", "m", "--name", "n"]) == ExitCode.ORDER_INVALID
    assert "the extra `server` (pip install '.[server]')" in capsys.readouterr().err
    assert not served
