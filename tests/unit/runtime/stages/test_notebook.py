"""``modelservice.train`` in a notebook, in a kernel as Jupyter starts it."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import nbformat
import pytest
from nbclient import NotebookClient

CELL = """
import numpy as np, pandas as pd
import modelservice

numbers = np.random.default_rng(0).normal(size=(60, 2))
frame = pd.DataFrame({"a": numbers[:, 0], "b": numbers[:, 1], "y": np.where(numbers[:, 0] > 0, "yes", "no")})
modelservice.train(
    {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "shown"},
        "spec": {
            "data": {"configMap": {"name": "shown"}, "target": "y"},
            "model": {"mlp": {"hiddenLayers": [4]}},
            "training": {"epochs": 5},
        },
    },
    data=frame,
)
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    assert (Path(folder) / "out" / "shown" / "manifest.json").exists()
    return [output["data"]["text/html"] for output in notebook.cells[0]["outputs"] if "data" in output]


def test_the_bar_ends_where_the_training_does(outputs: list[str]) -> None:
    bar = outputs[0]
    assert "<progress value='5' max='5'></progress> 100%" in bar
    assert re.search(r"loss \d\.\d+  accuracy \d\.\d+", bar)


def test_what_was_trained_shows_its_curves(outputs: list[str]) -> None:
    shown = outputs[-1]
    assert "shown: predicts y" in shown
    pictures = [base64.b64decode(one) for one in re.findall(r"<img src='data:image/svg\+xml;base64,([^']+)'>", shown)]
    assert any("epoch" in "".join(Xml.fromstring(picture).itertext()) for picture in pictures)  # noqa: S314 - our own
