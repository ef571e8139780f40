"""Commands of the documents that a laptop is enough for, typed into one shell as they stand there."""

import re
from collections.abc import Iterator
from pathlib import Path

import onnx
import yaml
from onnx import helper
from tests.bench.serving_processes import free_port
from tests.support.document_runs import LAPTOP
from tests.support.documents import Command, File, typed_by
from tests.support.samples import SAMPLES
from tests.support.typed import lacking
from tests.support.typing_in import checkout, without_comment
from tests.unit.runtime.families.berts import write_bert
from tests.unit.runtime.inference.graphs import model, value

import modelservice

PAGES = ("README.md", "docs/elsewhere.md", "docs/serving.md", "docs/shared-encoders.md")
SERVE = "modelservice serve"
READY = "until curl -sf -o /dev/null localhost:{port}/v2/health/ready; do kill -0 $!; sleep 0.1; done"


def test_commands_of_a_laptop_are_done() -> None:
    with checkout() as shell:
        what_one_has(shell.folder)
        ports = {SERVE: free_port(), "--port 8081": free_port(), "--encoder": free_port()}
        answers = shell.type(
            steps(ports),
            instead={
                "http://iris.team-a.svc": f"http://localhost:{ports[SERVE]}",
                "http://localhost:8081": f"http://localhost:{ports['--port 8081']}",
            },
        )
    said = {without_comment(command): answer for command, answer in answers.items()}
    assert said["modelservice inspect iris"] == said["modelservice inspect out/iris"].replace("out/iris", "iris")
    for command, answer in said.items():
        if command.startswith("modelservice explain"):
            assert '"contributions"' in answer
    for step in typed_by(LAPTOP, "docs/elsewhere.md"):
        if isinstance(step, Command):
            # Numbers are those of another file.
            shown = tuple(line for line in step.shown if re.search(r"\d", line) is None)
            assert lacking(said[without_comment(step.text)], shown) == []
    assert said["echo '[[5.1, 3.5, 1.4, 0.2]]' | modelservice predict out/packed -"].startswith('{"predictions":[')


def steps(ports: dict[str, int]) -> Iterator[Command | File]:
    """What is typed, each once: the documents begin with the same training. A server stays while the others go on."""
    done = set()
    for page in PAGES:
        for step in typed_by(LAPTOP, page):
            command = without_comment(step.text) if isinstance(step, Command) else ""
            if isinstance(step, File) or command in done:
                continue
            done.add(command)
            if command.startswith(SERVE):
                port = next(port for words, port in reversed(ports.items()) if words in command)
                typed = re.sub(r" --port \d+", "", command) + f" --port {port}"
                # Who asks for the artifact is let have it.
                typed += """ --access '{"artifact": {}}'""" if port == ports[SERVE] else ""
                yield step._replace(text=f"{typed} &\n{READY.format(port=port)}")
            else:
                yield step


def what_one_has(folder: Path) -> None:
    """Files that the documents take for granted."""
    modelservice.train(SAMPLES / "decision-tree.yaml", output=folder / "out" / "iris-tree")
    for name in ("m.onnx", "iris.onnx"):
        onnx.save(classes(), folder / name)
    tickets = [*yaml.safe_load_all((SAMPLES / "shared-encoder.yaml").read_text(encoding="utf-8"))]
    pretrained = {"uri": write_bert(folder / "bert"), "maxLength": 16}
    minilm = {**tickets[0], "metadata": {"name": "minilm"}, "spec": {"model": {"pretrained": pretrained}}}
    for name, objects in {"minilm.yaml": [minilm], "tickets.yaml": tickets}.items():
        (folder / name).write_text(yaml.safe_dump_all(objects), encoding="utf-8")


def classes() -> onnx.ModelProto:
    """Probabilities of three classes, and the word for the most probable one, as of scikit-learn."""
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=[tenth / 10 for tenth in range(12)],
        intercepts=[0.0, 0.0, 0.0],
        classlabels_strings=["setosa", "versicolor", "virginica"],
        post_transform="SOFTMAX",
    )
    outputs = [value("label", ["n"], onnx.TensorProto.STRING), value("probabilities", ["n", 3])]
    made = model([node], inputs=[value("x", ["n", 4])], outputs=outputs, domains=("", "ai.onnx.ml"))
    made.opset_import[1].version = 3
    return made
