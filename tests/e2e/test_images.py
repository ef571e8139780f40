"""Samples that need nothing of a cluster but its images: one trains them in one pod, the other one answers.

One process imports once what each training would import in a pod of its own; test_samples.py has those whose Jobs,
volumes and Services are what is looked at.
"""

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, r2_score
from tests.cluster.images import recorded
from tests.support.e2e import Object, Space, eventually
from tests.support.pods import build_container, build_pod
from tests.support.samples import SAMPLES, model_service, sample_rows, sample_table

from modelservice_operator.kinds import POD

pytestmark = pytest.mark.cluster

TRAIN: Final = """
import json, pathlib, modelservice
for path in sorted(pathlib.Path("/samples").glob("*.yaml")):
    model = modelservice.train(path, output=f"/models/{path.stem}")
    print(json.dumps({"sample": path.name, **model.description}), flush=True)
"""
ANSWER: Final = """
import json, pathlib, sys, modelservice
for path in sorted(pathlib.Path("/rows").glob("*.json")):
    model, rows = modelservice.load(f"/models/{path.stem}"), json.loads(path.read_text())
    columns = {one.name for one in model.signature.inputs}
    if isinstance(rows[0], dict):  # identifiers and constants are no columns of a model
        rows = [{name: cell for name, cell in row.items() if name in columns} for row in rows]
    answers = model.outputs(model.run(model.encode(rows)))
    shown = {name: answer if isinstance(answer, list) else answer.tolist() for name, answer in answers.items()}
    print(json.dumps({"sample": f"{path.stem}.yaml", **shown}), flush=True)
assert not {"torch", "sklearn", "pyarrow"} & set(sys.modules)
"""
SECONDS: Final = 500


class Learned(NamedTuple):
    """What a sample comes to: its family, the least of a metric of its test rows, and how well it answers its table."""

    family: str
    metric: str
    least: float
    agrees: float


LEARNED: Final[Mapping[str, Learned]] = {
    "auto.yaml": Learned("auto", "accuracy", 0.8, 0.85),
    "auto-budget.yaml": Learned("auto", "accuracy", 0.8, 0.85),
    "boolean.yaml": Learned("logistic", "accuracy", 0.6, 0.7),
    "compress-auto.yaml": Learned("mlp", "accuracy", 0.8, 0.85),
    "compression.yaml": Learned("mlp", "accuracy", 0.8, 0.85),
    "date.yaml": Learned("mlp", "r2", 0.6, 0.7),
    "decimal-comma.yaml": Learned("mlp", "r2", 0.2, 0.3),
    "decision-tree.yaml": Learned("decisionTree", "accuracy", 0.8, 0.85),
    "distill.yaml": Learned("randomForest", "accuracy", 0.8, 0.85),
    "excel.yaml": Learned("mlp", "accuracy", 0.8, 0.85),
    "gradient-boosting.yaml": Learned("gradientBoosting", "accuracy", 0.8, 0.85),
    "image-folder.yaml": Learned("cnn", "accuracy", 0.8, 0.85),
    "imbalanced.yaml": Learned("mlp", "recallPositive", 0.5, 0.75),
    "json-lines.yaml": Learned("mlp", "accuracy", 0.8, 0.85),
    "kernel-ridge.yaml": Learned("kernelRidge", "r2", 0.2, 0.3),
    "logistic.yaml": Learned("logistic", "accuracy", 0.8, 0.85),
    "parquet.yaml": Learned("mlp", "accuracy", 0.8, 0.85),
    "prune.yaml": Learned("mlp", "accuracy", 0.8, 0.85),
    "random-forest.yaml": Learned("randomForest", "accuracy", 0.8, 0.85),
    "regression.yaml": Learned("mlp", "r2", 0.2, 0.3),
    "rnn.yaml": Learned("rnn", "accuracy", 0.6, 0.7),
    "search.yaml": Learned("mlp", "accuracy", 0.8, 0.85),
    "share-weights.yaml": Learned("mlp", "accuracy", 0.8, 0.85),
    "svm.yaml": Learned("svm", "accuracy", 0.8, 0.85),
    "test-file.yaml": Learned("logistic", "accuracy", 0.8, 0.85),
    "text.yaml": Learned("logistic", "accuracy", 0.6, 0.7),
    "transformer.yaml": Learned("transformer", "accuracy", 0.6, 0.7),
}
COMPRESSED: Final = ("compress-auto.yaml", "compression.yaml", "distill.yaml", "prune.yaml", "share-weights.yaml")


def numbers(cell: str) -> float | str:
    """A cell as JSON says it."""
    try:
        return float(cell)
    except ValueError:
        return cell


def asked_and_truth(file: str) -> tuple[list[Any], list[str]]:
    """What the model is asked, and the truth."""
    sample = SAMPLES / file
    spec = model_service(sample)["spec"]["data"]
    if "image" in spec:
        return pictures(sample_table(sample))
    rows = sample_rows(sample)
    targets = [row.pop(spec["target"]) for row in rows]
    plain = "csv" not in spec and file not in {"boolean.yaml", "date.yaml"}
    return [{name: numbers(cell) if plain else cell for name, cell in row.items()} for row in rows][::3], targets[::3]


def pictures(archive: bytes) -> tuple[list[Any], list[str]]:
    """The pixels of the pictures in an archive, and the folder of each."""
    rows, folders = [], []
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            if member.isfile() and (content := packed.extractfile(member)) is not None:
                rows.append(np.asarray(Image.open(io.BytesIO(content.read())).convert("L"))[..., np.newaxis].tolist())
                folders.append(member.name.split("/")[-2])
    return rows, folders


def build_images(trainer: str, server: str) -> Object:
    """A pod that trains with one image, and then answers with the other one."""
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("samples", "rows", "models", "tmp")]

    def container(name: str, image: str, code: str) -> Object:
        made = build_container(
            name,
            image,
            "python",
            "-c",
            code,
            workingDir="/models",
            env=[{"name": "OMP_NUM_THREADS", "value": "1"}],  # others use the CPUs, too
            resources={"requests": {"cpu": "500m"}},  # or all others go before it
            volumeMounts=mounts,
        )
        made["securityContext"]["readOnlyRootFilesystem"] = True
        return made

    return build_pod(
        "images",
        container("answer", server, ANSWER),
        initContainers=[container("train", trainer, TRAIN)],
        restartPolicy="Never",
        automountServiceAccountToken=False,
        volumes=[
            {"name": "samples", "configMap": {"name": "samples"}},
            {"name": "rows", "configMap": {"name": "rows"}},
            {"name": "models", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    )


def files(name: str, contents: Mapping[str, str]) -> Object:
    """A ConfigMap of files."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(contents)}


def said(space: Space, container: str) -> dict[str, Object]:
    """What a container logged of each sample."""
    lines = space.kubectl("logs", "images", "-c", container).splitlines()
    return {one["sample"]: one for one in (json.loads(line) for line in lines if line.startswith('{"sample"'))}


def ended(space: Space) -> bool:
    pod = space.api.get(POD, space.name, "images")
    phase = "" if pod is None else pod["status"].get("phase", "")
    if phase == "Failed":
        raise AssertionError(space.kubectl("logs", "images", "--all-containers", "--tail=60"))
    return phase == "Succeeded"


@pytest.mark.apart(120)
def test_samples_are_trained_by_one_image_and_answered_by_the_other(space: Space) -> None:
    asked = {file: asked_and_truth(file) for file in LEARNED}
    space.kubectl(
        "create",
        "-f",
        "-",
        input=json.dumps(files("samples", {file: (SAMPLES / file).read_text() for file in LEARNED})),
    )
    rows = {f"{file.removesuffix('.yaml')}.json": json.dumps(asked[file][0]) for file in LEARNED}
    space.kubectl("create", "-f", "-", input=json.dumps(files("rows", rows)))
    space.apply(build_images(recorded()["trainer"], recorded()["server"]))
    eventually(lambda: ended(space), what="the end of the pod", seconds=SECONDS)
    trained, answered = said(space, "train"), said(space, "answer")
    assert trained.keys() == answered.keys() == LEARNED.keys()
    for file, learned in LEARNED.items():
        manifest, metrics = trained[file]["manifest"], trained[file]["metrics"]
        assert manifest["family"] == learned.family, file
        (measured,) = [one["value"] for one in metrics["test"]["metrics"] if one["name"] == learned.metric]
        assert measured > learned.least, (file, learned.metric, measured)
        truth = asked[file][1]
        if learned.metric == "r2":
            right = r2_score([float(one.replace(",", ".")) for one in truth], answered[file]["value"])
        else:
            right = accuracy_score(truth, answered[file]["label"])
            totals = np.sum(answered[file]["probabilities"], axis=1)
            assert totals == pytest.approx(np.ones(len(truth)), abs=1e-5), file
        assert right > learned.agrees, (file, right)
    assert "search: the best of 12 trials is " in " ".join(trained["search.yaml"]["manifest"]["data"]["notes"])
    for file in COMPRESSED:
        assert trained[file]["manifest"]["compression"]["applied"] is True, file
