"""The server as a process: a real artifact, real clients, signals and exit codes."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
from tests.support.client import keep_asking
from tests.support.e2e import eventually
from tests.support.server import DEADLINE, server
from tritonclient.utils import np_to_triton_dtype

import modelservice
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.manifest import MODEL_FILE
from modelservice.inference.predictor import Predictor

RESOURCE: dict[str, Any] = {
    "apiVersion": "modelservice.dev/v1alpha1",
    "kind": "ModelService",
    "metadata": {"name": "churn"},
    "spec": {
        "data": {"persistentVolumeClaim": {"claimName": "d", "path": "d.csv"}, "target": "churned"},
        "model": {"mlp": {"hiddenLayers": [8]}},
        "training": {"epochs": 5},
    },
}
ROWS: list[dict[str, Any]] = [
    {"age": 21.0, "city": "Basel"},
    {"age": 70.0, "city": "Köln"},
    {"age": None, "city": "Nowhere"},
]


TABLE = {
    "age": [float(20 + number % 60) for number in range(120)],
    "city": [("Basel", "Köln", "Bern")[number % 3] for number in range(120)],
    "churned": ["yes" if number % 60 > 30 else "no" for number in range(120)],
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving") / "churn"
    modelservice.train(RESOURCE, data=TABLE, output=folder)
    return folder


def get(host: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://{host}{path}", data=data), timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def started(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server of HTTP alone, and its address."""
    with server(artifact, tmp_path_factory.mktemp("log") / "log") as found:
        yield found


@pytest.fixture
def host(started: tuple[subprocess.Popen[bytes], str]) -> str:
    return started[1]


def test_the_server_answers_as_the_library_does(artifact: Path, host: str) -> None:
    expected = Predictor.load(artifact).predict_proba(ROWS)
    status, answer = get(host, "/v1/models/churn:predict", {"instances": ROWS})
    assert status == 200
    for prediction, row in zip(answer["predictions"], expected, strict=True):
        assert [prediction["probabilities"][label] for label in ("no", "yes")] == pytest.approx(row.tolist(), abs=1e-6)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_tritonclient_infers(artifact: Path, host: str, binary: bool, compression: str | None) -> None:
    rows = [row for row in ROWS if row["age"] is not None]
    client = triton.InferenceServerClient(host)
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("churn")
        assert [tensor["name"] for tensor in client.get_model_metadata("churn")["inputs"]] == ["age", "city"]
        age = triton.InferInput("age", [2, 1], "FP32")
        age.set_data_from_numpy(np.array([[row["age"]] for row in rows], dtype=np.float32), binary_data=binary)
        city = triton.InferInput("city", [2], "BYTES")
        city.set_data_from_numpy(np.array([row["city"] for row in rows], dtype=object), binary_data=binary)
        outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label")]
        for wanted in (None, outputs):
            result = client.infer(
                "churn", [age, city], outputs=wanted, request_id="7", request_compression_algorithm=compression
            )
            assert result.get_response()["id"] == "7"
            expected = Predictor.load(artifact).predict_proba(rows)
            np.testing.assert_allclose(result.as_numpy("probabilities"), expected, atol=1e-6)
            labels = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label")]
            assert labels == Predictor.load(artifact).predict(rows)
        with pytest.raises(triton.InferenceServerException, match=r"inputs: city is missing"):
            client.infer("churn", [age])
    finally:
        client.close()


@pytest.mark.parametrize(
    ("dtype", "binary"),
    [
        *((dtype, binary) for dtype in ("bool", "int8", "int64", "uint16", "float64") for binary in (True, False)),
        ("float16", True),  # Triton's client itself has no FP16 in JSON
    ],
)
def test_tritonclient_sends_every_number_type(host: str, dtype: str, binary: bool) -> None:
    city = triton.InferInput("city", [2], "BYTES")
    city.set_data_from_numpy(np.array(["Basel", "Bern"], dtype=object), binary_data=binary)
    with triton.InferenceServerClient(host) as client:
        answers = []
        for values in (np.array([1, 0], dtype=np.float32), np.array([1, 0], dtype=dtype)):
            age = triton.InferInput("age", [2], np_to_triton_dtype(values.dtype))
            age.set_data_from_numpy(values, binary_data=binary)
            answers.append(client.infer("churn", [age, city]).as_numpy("probabilities"))
    np.testing.assert_array_equal(answers[0], answers[1])


@pytest.fixture(scope="module")
def both(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of one server's HTTP and gRPC."""
    log = tmp_path_factory.mktemp("log") / "log"
    with server(artifact, log, "--grpc-port", "0") as (_, host):
        yield host, grpc_address(log)


def grpc_address(log: Path) -> str:
    found = re.search(r"serving gRPC on 127\.0\.0\.1 port (\d+)", log.read_text())
    assert found is not None, log.read_text()
    return f"127.0.0.1:{found[1]}"


def test_grpc_and_http_give_the_same_answers(artifact: Path, both: tuple[str, str]) -> None:
    host, address = both
    rows = [row for row in ROWS if row["age"] is not None]
    answers = []
    for library, where in ((triton, host), (triton_grpc, address)):
        with library.InferenceServerClient(where) as client:
            age = library.InferInput("age", [2], "FP64")
            age.set_data_from_numpy(np.array([row["age"] for row in rows]))
            city = library.InferInput("city", [2], "BYTES")
            city.set_data_from_numpy(np.array([row["city"] for row in rows], dtype=object))
            answers.append(client.infer("churn", [age, city]))
            with pytest.raises(library.InferenceServerException, match=r"inputs: city is missing"):
                client.infer("churn", [age])
    for output in ("label", "probabilities"):
        np.testing.assert_array_equal(answers[0].as_numpy(output), answers[1].as_numpy(output))
    expected = Predictor.load(artifact).predict_proba(rows)
    np.testing.assert_allclose(answers[1].as_numpy("probabilities"), expected, atol=1e-6)


def test_sigterm_ends_grpc_in_order(artifact: Path, tmp_path: Path) -> None:
    with server(artifact, tmp_path / "log", "--grpc-port", "0") as (process, _):
        with triton_grpc.InferenceServerClient(grpc_address(tmp_path / "log")) as client:
            assert client.is_server_ready()
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + DEADLINE
            while client.is_server_ready():
                assert time.monotonic() < deadline
            assert client.is_server_live()  # and answers on, while other pods take over
            assert process.wait(DEADLINE) == ExitCode.DONE
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_without_a_port_grpc_is_not_loaded(started: tuple[subprocess.Popen[bytes], str]) -> None:
    process, host = started
    assert get(host, "/v1/models/churn:predict", {"instances": ROWS})[0] == 200
    loaded = Path(f"/proc/{process.pid}/maps").read_text()
    assert "onnxruntime" in loaded
    for name in ("grpc", "torch", "obstore", "PIL", "pyarrow", "sklearn"):
        assert f"/site-packages/{name}/" not in loaded, name


@pytest.mark.parametrize(
    ("setup", "url"),
    [
        ("ip address del 127.0.0.1/8 dev lo", "http://[::1]:18080"),
        ("sysctl -qw net.ipv6.conf.all.disable_ipv6=1", "http://127.0.0.1:18080"),
    ],
)
def test_a_pod_of_either_family_is_answered(artifact: Path, tmp_path: Path, setup: str, url: str) -> None:
    """Every address, in a network that has only one of the two families."""
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("network namespaces need root")
    serve = f"{sys.executable} -m modelservice serve --model {artifact} --name churn --host=:: --port=18080"
    ask = (
        f"until curl -gsf {url}/v2/health/ready; do sleep 0.1; kill -0 $pid || exit 3; done; kill -INT $pid; wait $pid"
    )
    script = f"ip link set lo up && {setup} && {{ {serve} & }} && pid=$! && {ask}"
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout == '{"ready":true}', done.stderr
    assert done.returncode == ExitCode.DONE, done.stderr


def test_sigterm_is_not_ready_answers_on_and_ends_with_0(artifact: Path, tmp_path: Path) -> None:
    with server(artifact, tmp_path / "log") as (process, host):
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + DEADLINE
        while get(host, "/v2/health/ready")[0] == 200:
            assert time.monotonic() < deadline
        assert get(host, "/v2/health/ready") == (503, {"ready": False})
        assert get(host, "/v2/health/live")[0] == 200
        assert get(host, "/v1/models/churn:predict", {"instances": ROWS})[0] == 200
        assert process.wait(DEADLINE) == ExitCode.DONE
        assert "Traceback" not in (tmp_path / "log").read_text()


def digest_of(host: str) -> Any:
    return get(host, "/v2/models/churn")[1]["parameters"]["digest"]


def test_a_model_that_is_trained_again_takes_over_under_load(artifact: Path, tmp_path: Path) -> None:
    """Trained again into the same folder while clients ask, and then broken: none of their requests fails."""
    folder, log = tmp_path / "churn", tmp_path / "log"
    shutil.copytree(artifact, folder)
    first = Predictor.load(folder).digest
    again = {**RESOURCE, "spec": {**RESOURCE["spec"], "training": {"epochs": 1}}}
    with (
        server(folder, log) as (_, host),
        keep_asking(host, "churn", ROWS, pause=0.005, most=10**5, threads=4) as asked,
    ):
        assert digest_of(host) == first
        second = modelservice.train(again, data=TABLE, output=folder).digest
        eventually(lambda: digest_of(host) == second, what="the second model", seconds=DEADLINE, poll=0.1)
        (folder / MODEL_FILE).chmod(0o644)
        (folder / MODEL_FILE).write_bytes(b"torn")
        eventually(lambda: "another artifact cannot be served" in log.read_text(), what="a refusal", seconds=DEADLINE)
        assert digest_of(host) == second
        before = asked.answers[200]
        eventually(lambda: asked.answers[200] > before + 100, what="answers after all that", seconds=DEADLINE)
    assert (asked.failures, set(asked.answers)) == ([], {200})
    assert f"{second} serves on: {MODEL_FILE} has 4 bytes" in log.read_text()


def test_an_interrupt_ends_it_with_0(artifact: Path, tmp_path: Path) -> None:
    with server(artifact, tmp_path / "log") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == ExitCode.DONE
        assert "Traceback" not in (tmp_path / "log").read_text()


def refused(*arguments: str) -> str:
    command = [sys.executable, "-m", "modelservice", "serve", "--name", "churn", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == ExitCode.ORDER_INVALID
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_an_artifact_that_does_not_verify_is_refused(artifact: Path, tmp_path: Path) -> None:
    said = refused("--model", str(artifact), "--digest", f"sha256:{'0' * 64}", "--port", "0")
    assert said.startswith("error: churn cannot be served: ")
    assert "expected sha256:0000" in said
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in artifact.iterdir():
        content = file.read_bytes()
        (damaged / file.name).write_bytes(content[:-1] + b"\1" if file.name == MODEL_FILE else content)
    assert f"{MODEL_FILE} in {damaged} is not what the manifest lists" in refused("--model", str(damaged))


def test_a_port_that_is_taken_is_said(artifact: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("--model", str(artifact), "--port", str(port))
        grpc_said = refused("--model", str(artifact), "--port", "0", "--grpc-port", str(port))
    what = f"error: cannot listen on 127.0.0.1 port {port}: Address already in use; name another one by"
    assert said == f"{what} --port, or 0 for a free one\n"
    assert grpc_said == f"{what} --grpc-port, or 0 for a free one\n"
