"""The clients of docs/examples, run against a served model: a row, a batch, turns that are waited for, refusals."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import httpx
import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from tests.support.helm import ROOT
from tests.support.server import server

from modelservice.contract.resource import ModelService

EXAMPLES = ROOT / "docs" / "examples"
NOTEBOOKS = ("first-model.ipynb", "small-model.ipynb", "why.ipynb")
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
COMMANDS = {
    "predict.py": ("python",),
    "predict.mjs": ("node",),
    "predict.go": ("go", "run"),
    # It compiles itself for half a second, and not for what runs longer.
    "Predict.java": ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
}
LABELS = {"row:": ["setosa"], "batch:": ["setosa", "virginica", "versicolor"]}
KEY = "a-key-of-32-characters-0123456789"

clients = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture(scope="module")
def address(iris_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a server of iris."""
    with server(iris_model, tmp_path_factory.mktemp("examples") / "log", name="iris") as (_, found):
        yield found


class Busy(ThreadingHTTPServer):
    """Stands before a server and is busy twice before it lets a request through; it notes who comes back too early."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.refusals = [(429, {"Retry-After": "1"}), (503, {})]
        self.not_before = 0.0
        self.early = 0
        self.keys: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: Busy
    protocol_version = "HTTP/1.1"
    """Connections stay open: Java's client may write into one that is being closed, and is not told to try again."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers["Authorization"])
        self.server.early += time.monotonic() < self.server.not_before
        if self.server.refusals:
            code, headers = self.server.refusals.pop(0)
            self.server.not_before = time.monotonic() + float(headers.get("Retry-After", 0))
            self._answer(code, b'{"error": "busy"}', headers)
        else:
            answer = httpx.post(f"http://{self.server.behind}{self.path}", content=body)
            self._answer(answer.status_code, answer.content, {})

    def _answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def busy(address: str) -> Iterator[Busy]:
    """A server that is busy at first."""
    with Busy(address) as found:
        Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def run(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run an example as its first line says."""
    program, *more = COMMANDS[name]
    found = shutil.which(program, path=PATH)
    if found is None:
        pytest.skip(f"{program} is not on PATH, which docs/examples/{name} is run by")
    return subprocess.run(
        [found, *more, str(EXAMPLES / name), *arguments],
        env={**os.environ, "PATH": PATH, "GOTOOLCHAIN": "local", **variables},
        capture_output=True,
        text=True,
        timeout=300,  # the first build of Go's own libraries
        check=False,
    )


def labels(printed: str) -> dict[str, list[str]]:
    """What each line says, in whatever way its language prints it."""
    known = ("setosa", "versicolor", "virginica")
    found = {}
    for line in printed.splitlines():
        first, *words = line.replace('"label":"', " ").replace('","probabilities', " ").split()
        found[first] = [word.strip("[]{}") for word in words if word.strip("[]{}") in known]
    return found


@clients
def test_a_row_and_a_batch_are_answered(address: str, name: str) -> None:
    done = run(name, f"http://{address}", "iris")
    assert (done.returncode, done.stderr) == (0, "")
    assert labels(done.stdout) == LABELS


@clients
def test_a_turn_is_waited_for_as_the_server_says(busy: Busy, name: str) -> None:
    done = run(name, f"http://127.0.0.1:{busy.server_port}", "iris", API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert labels(done.stdout) == LABELS
    assert (busy.refusals, busy.early) == ([], 0)
    assert set(busy.keys) == {f"Bearer {KEY}"}
    assert len(busy.keys) == 4


@clients
def test_who_is_busy_for_ever_is_given_up(busy: Busy, name: str) -> None:
    busy.refusals = [(503, {"Retry-After": "0"})] * 100
    done = run(name, f"http://127.0.0.1:{busy.server_port}", "iris")
    assert done.returncode != 0
    assert "503" in done.stderr
    assert len(busy.keys) == 5


@clients
def test_a_refusal_is_said(address: str, name: str) -> None:
    done = run(name, f"http://{address}", "wine")
    assert done.returncode != 0
    assert "no model named 'wine' here; this server serves 'iris'" in done.stderr


class Executed(NamedTuple):
    """A notebook that was run: the folder that it was run in, and what its cells show."""

    folder: Path
    shown: list[str]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Executed]:
    """All notebooks, by name; the committed ones show nothing.

    One kernel runs them after each other, since each imports gigabytes; each begins without any name, in a new folder.
    """
    together, found = nbformat.v4.new_notebook(), {}  # type: ignore[no-untyped-call]
    for name in NOTEBOOKS:
        notebook = nbformat.read(EXAMPLES / name, as_version=4)  # type: ignore[no-untyped-call]
        committed = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [(cell.outputs, cell.execution_count) for cell in committed] == [([], None)] * len(committed)
        folder = tmp_path_factory.mktemp("notebook")
        together.cells += [nbformat.v4.new_code_cell(f"%reset -f\n%cd -q {folder}"), *committed]  # type: ignore[no-untyped-call]
        found[name] = folder, committed
    NotebookClient(together, timeout=600, kernel_name="python3").execute()
    return {name: Executed(folder, [*map(_shown, cells)]) for name, (folder, cells) in found.items()}


def _shown(cell: nbformat.NotebookNode) -> str:
    return "".join(str(one.get("text") or one.get("data")) for one in cell.outputs)


def test_a_small_model_is_made_served_and_asked_in_a_notebook(executed: dict[str, Executed]) -> None:
    shown = executed["small-model.ipynb"].shown
    before, after = (
        int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:bytes before|after)", shown[2])
    )
    assert after < before / 3
    assert "serving diagnosis (sha256:" in shown[3]
    assert float(re.findall(r"569 answers, of which ([\d.]+)%", shown[4])[0]) > 95
    assert shown[5] == "{'text/plain': '0'}"


def test_a_notebook_says_why_and_what_drifts(executed: dict[str, Executed]) -> None:
    shown = executed["why.ipynb"].shown
    condition = r"\n +\d+ have \w+ (<=|>) [\d.]+ \(here [\d.]+\)"
    assert re.search(rf"(first|second|third), since of \d+ rows of training{condition}", shown[1])
    for method in ("Shapley", "TreePaths"):
        value, base, others = map(float, re.findall(rf"{method}: \w+ ([\d.]+) = ([\d.]+) \+ (-?[\d.]+)", shown[2])[0])
        assert value == pytest.approx(base + others, abs=2e-3)
    column, index = re.findall(r"'text/plain': '(\w+) +([\d.]+)", shown[3])[0]
    assert column == "proline"
    assert float(index) > 0.25
    mended, moved = map(float, re.findall(r"(?:mended|moved) +([\d.]+)", shown[4])[:2])
    assert moved < mended


def test_the_notebook_does_what_it_says(executed: dict[str, Executed]) -> None:
    folder, shown = executed["first-model.ipynb"]
    assert "predicts diagnosis, mlp, Binary" in shown[1]
    assert "accuracy" in shown[2]
    assert "malignant" in shown[3]
    value, base, others = map(float, re.findall(r"[01]\.\d{3}", shown[4])[:3])
    assert value == pytest.approx(base + others, abs=2e-3)
    resource, table = yaml.safe_load_all((folder / "diagnosis.yaml").read_text(encoding="utf-8"))
    assert ModelService.model_validate(resource).metadata.name == table["metadata"]["name"]
    assert len(table["data"]["diagnosis.csv"].splitlines()) == 1 + 569
    assert (folder / "out" / "diagnosis" / "manifest.json").is_file()


def test_examples_are_short_and_linked() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {*COMMANDS, *NOTEBOOKS}
    serving = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in NOTEBOOKS if f"(docs/examples/{name})" not in readme] == []
    for name in COMMANDS:
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 60
        assert f"(examples/{name})" in serving
