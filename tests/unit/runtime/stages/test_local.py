"""The same ModelService without a cluster."""

import base64
import gzip
import inspect
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from tests.unit.runtime.training.pipelines import IRIS

import modelservice
from modelservice.contract.keys import content_digest, train_key
from modelservice.contract.resource import ModelServiceSpec
from modelservice.data.errors import DataError
from modelservice.training.documents import ResourceError, read_resource
from modelservice.training.local import train_local
from modelservice.training.metrics import MetricsDocument


def service(**spec: Any) -> dict[str, Any]:
    spec = {
        "data": {"configMap": {"name": "iris"}, "target": "species"},
        "model": {"mlp": {"hiddenLayers": [8]}},
        "training": {"epochs": 2},
        **spec,
    }
    metadata = {"name": "iris", "labels": {"team": "a"}}
    return {"apiVersion": "modelservice.dev/v1alpha1", "kind": "ModelService", "metadata": metadata, "spec": spec}


def config_map(name: str = "iris", **content: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **content}


def write(path: Path, *documents: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_the_table_may_stand_in_the_same_file(tmp_path: Path) -> None:
    path = write(tmp_path / "iris.yaml", service(), config_map(data={"iris.csv": IRIS.read_text()}))
    predictor = modelservice.train(path, output=tmp_path / "model")
    spec = ModelServiceSpec.model_validate(service()["spec"])
    assert predictor.manifest.key == train_key(spec, content_digest(IRIS.read_bytes()))
    assert modelservice.load(tmp_path / "model").digest == predictor.digest


@pytest.mark.parametrize("source", ["gzip in binaryData", "--data", "--data gzip"])
def test_the_same_table_from_elsewhere_is_the_same_model(tmp_path: Path, source: Any) -> None:
    content = IRIS.read_bytes()
    plain = config_map(data={"iris.csv": content.decode()})
    expected = modelservice.train(write(tmp_path / "a.yaml", service(), plain), output=tmp_path / "a").digest
    packed = gzip.compress(content)
    (tmp_path / "iris.csv.gz").write_bytes(packed)
    data, documents = None, [service()]
    if source == "gzip in binaryData":
        documents.append(config_map(binaryData={"iris.csv.gz": base64.b64encode(packed).decode()}))
    else:
        data = IRIS if source == "--data" else str(tmp_path / "iris.csv.gz")
    assert modelservice.train(write(tmp_path / "b.yaml", *documents), data, tmp_path / "b").digest == expected


def test_a_frame_gives_the_metrics_of_its_file(tmp_path: Path) -> None:
    resource = read_resource(service())

    def metrics(data: Any, name: str) -> MetricsDocument:
        return train_local(resource, data=data, output=tmp_path / name, observe=lambda _: None).metrics

    assert metrics(pd.read_csv(IRIS), "frame") == metrics(IRIS, "file")


def test_the_default_output_and_a_second_training_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = modelservice.train(service(), IRIS)
    again = modelservice.train(service(training={"epochs": 1}), IRIS)
    assert first.digest != again.digest
    assert modelservice.load("out/iris").digest == again.digest
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["iris"]


def test_a_training_that_fails_leaves_the_model_that_was_there(tmp_path: Path) -> None:
    first = modelservice.train(service(), IRIS, tmp_path / "m")
    with pytest.raises(DataError):
        modelservice.train(service(data={"configMap": {"name": "x"}, "target": "no"}), IRIS, tmp_path / "m")
    assert modelservice.load(tmp_path / "m").digest == first.digest


@pytest.mark.parametrize(
    ("frame", "labels"),
    [
        (pd.DataFrame({"sepal_length": [5.1], "sepal_width": [3.5], "petal_length": [1.4], "petal_width": [0.2]}), 1),
        (pd.read_csv(IRIS), 150),
        ([[5.1, 3.5, 1.4, 0.2]] * 2, 2),
        ([{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": None}], 1),
    ],
)
def test_frames_and_rows_are_predicted(tmp_path: Path, frame: Any, labels: Any) -> None:
    predictor = modelservice.train(service(), IRIS, tmp_path / "m")
    assert len(predictor.predict(frame)) == labels
    assert predictor.predict_proba(frame).shape == (labels, 3)


def test_blanks_around_column_names_do_not_matter_to_either_side(tmp_path: Path) -> None:
    frame = pd.read_csv(IRIS).rename(columns={"petal_width": " petal_width "})
    assert len(modelservice.train(service(), frame, tmp_path / "m").predict(frame)) == 150


def test_a_frame_without_a_column_is_refused(tmp_path: Path) -> None:
    predictor = modelservice.train(service(), IRIS, tmp_path / "m")
    with pytest.raises(ValueError, match="petal_width: is missing"):
        predictor.predict(pd.read_csv(IRIS).drop(columns="petal_width"))


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({"training": {"epochs": 0}}, ["spec.training.epochs: 0: Input should be greater than or equal to 1"]),
        ({"training": {"epoch": 3}}, ["spec.training.epoch: there is no such field; did you mean epochs?"]),
        ({"model": {"mlp": {"hidden": 3}}}, ["spec.model.mlp.hidden: there is no such field"]),
        ({"data": {"configMap": {"name": "x"}}}, ["spec.data.target: must be set"]),
        ({"model": {}}, ["spec.model: mlp must be set"]),
        ({"model": {"mlp": {"hiddenLayers": [8, 0]}}}, ["spec.model.mlp.hiddenLayers[1]: 0: "]),
        ({"suspend": 3, "training": {"seed": -1}}, ["spec.suspend: 3: ", "spec.training.seed: -1: "]),
    ],
)
def test_each_error_of_a_resource_is_one_line_with_its_path(spec: Any, lines: Any) -> None:
    with pytest.raises(ResourceError) as caught:
        read_resource(service(**spec))
    found = str(caught.value).splitlines()
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert line.startswith(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no documents of kind ModelService"),
        ("kind: ModelService\n---\nkind: ModelService\n", "2 documents of kind ModelService"),
        ("a: [", "is not YAML"),
        ("a: 2026-13-45", "is not YAML: month must be"),
        ("kind: ConfigMap\nmetadata: {generateName: x}", "no documents of kind ModelService"),
        ("kind: ModelService\napiVersion: modelservice.dev/v9\n", "use modelservice.dev/v1alpha1"),
    ],
)
def test_files_without_one_resource(tmp_path: Path, text: Any, words: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ResourceError, match=words):
        read_resource(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="No such file"):
        read_resource(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    ("source", "documents", "words"),
    [
        ({"configMap": {"name": "iris"}}, [], "no ConfigMap 'iris' stands in the same file"),
        ({"configMap": {"name": "iris"}}, [config_map("other", data={"a": ""})], "no ConfigMap 'iris'"),
        ({"configMap": {"name": "iris"}}, [{"kind": "ConfigMap", "metadata": {}}], "no ConfigMap 'iris'"),
        ({"configMap": {"name": "iris"}}, [config_map(data={"a": "", "b": ""})], "configMap.key: must be set"),
        ({"configMap": {"name": "iris"}}, [config_map()], "configMap.key: must be set"),
        ({"configMap": {"name": "iris", "key": "c"}}, [config_map(data={"a": ""})], "'c' is not there, but a"),
        ({"configMap": {"name": "iris"}}, [config_map(binaryData={"a": "%"})], "not base64"),
        ({"persistentVolumeClaim": {"claimName": "c", "path": "a.csv"}}, [], "with --data"),
    ],
)
def test_data_that_is_not_there_says_where_it_was_looked_for(
    tmp_path: Path, source: Any, documents: Any, words: str
) -> None:
    path = write(tmp_path / "a.yaml", service(data={**source, "target": "species"}), *documents)
    with pytest.raises(ResourceError, match=words):
        modelservice.train(path, output=tmp_path / "m")


def test_the_key_picks_one_of_several_files(tmp_path: Path) -> None:
    data = {"configMap": {"name": "iris", "key": "iris.csv"}, "target": "species"}
    maps = config_map(data={"readme": "x", "iris.csv": IRIS.read_text()})
    assert modelservice.train(write(tmp_path / "a.yaml", service(data=data), maps), output=tmp_path / "m")


def test_the_public_names_are_documented() -> None:
    assert "DataFrame" in str(inspect.getdoc(modelservice.train))
    with pytest.raises(AttributeError, match="nothing_like_it"):
        modelservice.nothing_like_it  # noqa: B018
