"""The same ModelService without a cluster."""

import base64
import gzip
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.support.samples import SAMPLES, model_service, objects, sample_rows
from tests.unit.runtime.inference.graphs import linear
from tests.unit.runtime.stages.pipelines import IRIS, QUANTIZE
from tests.unit.runtime.stages.test_train import images

import modelservice
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.stores import folder
from modelservice.contract.failure import DataError, StageError
from modelservice.contract.keys import compress_key, content_digest, train_key
from modelservice.contract.resource import ModelServiceSpec
from modelservice.families import FAMILIES, ensemble
from modelservice.packing.pack import pack
from modelservice.packing.settings import PackSettings
from modelservice.stages.documents import ResourceError, read_resource
from modelservice.stages.local import run_locally
from modelservice.tasks.metrics_document import MetricsDocument

MODELS = (*(one.name for one in FAMILIES[:-1]), "artifact", "pretrained", FAMILIES[-1].name)
"""What ``spec.model`` may be: what is trained, and what was."""


def service(**spec: Any) -> dict[str, Any]:
    spec = {
        "data": {"configMap": {"name": "iris"}, "target": "species"},
        "model": {"mlp": {"hiddenLayers": [8]}},
        "training": {"epochs": 2},
        **spec,
    }
    metadata = {"name": "iris", "labels": {"team": "a"}}
    return {"apiVersion": "modelservice.dev/v1alpha1", "kind": "ModelService", "metadata": metadata, "spec": spec}


def config_map(name: str = "iris", **content: Any) -> dict[str, Any]:
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
        return run_locally(resource, data=data, output=tmp_path / name, observe=lambda _: None).produced.metrics

    assert metrics(pd.read_csv(IRIS), "frame") == metrics(IRIS, "file")


@pytest.mark.parametrize("sample", ["excel.yaml", "json-lines.yaml", "parquet.yaml", "decimal-comma.yaml"])
def test_the_samples_of_formats_give_the_metrics_of_the_same_table_as_csv(tmp_path: Path, sample: str) -> None:
    described = model_service(SAMPLES / sample)
    described["spec"]["training"] = {"epochs": 2}
    documents = [one for one in objects(SAMPLES / sample) if one["kind"] == "ConfigMap"]
    path = write(tmp_path / sample, described, *documents)
    plain = {name: value for name, value in described["spec"]["data"].items() if name not in {"csv", "excel"}}
    plain["configMap"] = {"name": plain["configMap"]["name"]}
    other = {**described, "spec": {**described["spec"], "data": plain}}
    rows = pd.DataFrame(sample_rows(SAMPLES / sample)).to_csv(index=False, sep=";")
    csv = write(tmp_path / "csv.yaml", other, config_map(plain["configMap"]["name"], data={"a.csv": rows}))

    def metrics(file: Path, name: str) -> MetricsDocument:
        finished = run_locally(read_resource(file), data=None, output=tmp_path / name, observe=lambda _: None)
        return finished.produced.metrics

    assert metrics(path, "sample") == metrics(csv, "csv")


def test_the_sample_of_a_test_file_tests_with_its_rows(tmp_path: Path) -> None:
    sample = SAMPLES / "test-file.yaml"
    (content,) = (one["data"] for one in objects(sample) if one["kind"] == "ConfigMap")
    paths = {name: tmp_path / name for name in content}
    for name, path in paths.items():
        path.write_text(content[name])
    frames = {name: pd.read_csv(path) for name, path in paths.items()}

    def metrics(name: str, given: dict[str, Any]) -> MetricsDocument:
        data, others = given.get("train.csv"), {"test": given["test.csv"]} if given else {}
        folder = tmp_path / name
        finished = run_locally(read_resource(sample), data=data, given=others, output=folder, observe=lambda _: None)
        return finished.produced.metrics

    expected = metrics("map", {})
    assert expected.confusion_matrix is not None
    assert sum(map(sum, expected.confusion_matrix.counts)) == 45
    assert metrics("files", paths) == metrics("frames", frames) == expected


@pytest.mark.parametrize(
    ("files", "given", "words"),
    [
        (
            {"test": "t.csv"},
            {"data": IRIS},
            "spec.data.split.files.test names t.csv: give a copy of it with --test-data",
        ),
        (
            {"test": "t.csv"},
            {"data": IRIS, "test": IRIS, "validation": IRIS},
            "spec.data.split.files.validation is not set: set it to what the cluster is to read, or leave",
        ),
        ({"test": "t.csv"}, {"test": IRIS}, "goes with --data"),
        ({"test": "t.csv"}, {"data": IRIS, "test": pd.DataFrame()}, "data and test must be paths all, or tables all"),
        ({"test": "t.csv"}, {"data": pd.DataFrame(), "test": IRIS}, "data and test must be paths all, or tables all"),
    ],
)
def test_files_of_sides_are_given_where_the_cluster_would_read_them(
    tmp_path: Path, files: dict[str, str], given: dict[str, Any], words: str
) -> None:
    data = {"configMap": {"name": "iris", "key": "iris.csv"}, "target": "species", "split": {"files": files}}
    with pytest.raises(ResourceError, match=words):
        modelservice.train(service(data=data), output=tmp_path / "m", **given)


def test_the_sample_of_a_rare_class_finds_it(tmp_path: Path) -> None:
    path = SAMPLES / "imbalanced.yaml"
    predictor = modelservice.train(path, output=tmp_path / "model")
    rows = pd.DataFrame(sample_rows(path))
    answers = np.array(predictor.predict(rows.drop(columns="outcome")))
    failed = (rows["outcome"] == "failed").to_numpy()
    assert failed.mean() < 0.15
    assert (answers[failed] == "failed").mean() > 0.5
    assert (answers[~failed] == "failed").mean() < 0.3
    chances = predictor.predict_proba(rows.drop(columns="outcome"))[:, 1]
    assert chances.mean() == pytest.approx(failed.mean(), abs=0.03)


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


def test_blanks_around_column_names_do_not_matter_to_either_side(tmp_path: Path) -> None:
    frame = pd.read_csv(IRIS).rename(columns={"petal_width": " petal_width "})
    assert len(modelservice.train(service(), frame, tmp_path / "m").predict(frame)) == 150


def test_a_compression_that_is_asked_for_follows_the_training(tmp_path: Path) -> None:
    spec = {"model": {"mlp": {"hiddenLayers": [32, 32]}}, "training": {"epochs": 20}}
    predictor = modelservice.train(service(**spec, compression=QUANTIZE), IRIS, tmp_path / "m")
    settings = ModelServiceSpec.model_validate(service(**spec)["spec"])
    parent = train_key(settings, content_digest(IRIS.read_bytes()))
    assert predictor.manifest.stage == "compress"
    asked = ModelServiceSpec.model_validate(service(**spec, compression=QUANTIZE)["spec"])
    assert predictor.manifest.key == compress_key(parent, asked)
    trained = modelservice.load(tmp_path / "m.trained")
    assert predictor.manifest.parent is not None
    assert (predictor.manifest.parent.key, predictor.manifest.parent.digest) == (parent, trained.digest)
    assert modelservice.train(service(**spec), IRIS, tmp_path / "n").digest == trained.digest


def test_compressing_a_trained_model_is_the_compression_that_follows_its_training(tmp_path: Path) -> None:
    spec = {"model": {"mlp": {"hiddenLayers": [32, 32]}}, "training": {"epochs": 20}, "compression": QUANTIZE}
    at_once = modelservice.train(service(**spec), IRIS, tmp_path / "m")
    apart = modelservice.compress(service(**spec), tmp_path / "m.trained", IRIS, tmp_path / "small")
    assert apart.digest == at_once.digest
    assert modelservice.load(tmp_path / "m.trained").manifest.stage == "train"


def test_what_cannot_be_compressed_is_refused(tmp_path: Path) -> None:
    spec = {"model": {"mlp": {"hiddenLayers": [32, 32]}}, "training": {"epochs": 20}, "compression": QUANTIZE}
    modelservice.train(service(**spec), IRIS, tmp_path / "m")
    for trained, asked, words in (
        ("m.trained", service(), r"spec\.compression is not set"),
        ("m", service(**spec), "holds a model that was compressed before"),
        ("small", service(**spec), "is where the trained model lies"),
    ):
        with pytest.raises(ResourceError, match=words):
            modelservice.compress(asked, tmp_path / trained, IRIS, tmp_path / "small")
    assert not (tmp_path / "small").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"--input .*empty is not the folder of a trained model: manifest\.json is"):
        modelservice.compress(service(**spec), tmp_path / "empty", IRIS, tmp_path / "small")
    with pytest.raises(ResourceError, match="--input s3://bucket/m: a model is read from a folder here: copy it"):
        modelservice.compress(service(**spec), "s3://bucket/m", IRIS, tmp_path / "small")
    other = tmp_path / "other.csv"
    other.write_text("\n".join(IRIS.read_text().splitlines()[:-1]))
    with pytest.raises(ResourceError, match=r"m\.trained holds a model that was not trained on this data"):
        modelservice.compress(service(**spec), tmp_path / "m.trained", other, tmp_path / "small")
    (tmp_path / "m.onnx").write_bytes(linear().SerializeToString())
    packed = pack(tmp_path / "m.onnx", PackSettings())
    folder.write(tmp_path / "packed", packed.manifest, packed.files)
    with pytest.raises(StageError, match="does not say on what it was trained"):
        modelservice.compress(service(**spec), tmp_path / "packed", IRIS, tmp_path / "small")


def test_a_compression_that_fails_leaves_the_model_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "_EPOCHS", 4)
    first = modelservice.train(service(), IRIS, tmp_path / "m")
    two: dict[str, Any] = {"model": {"mlp": {"ensemble": 2}}, "training": {}}
    steps = {"steps": [{"lowRank": {"share": 0.9}}]}
    with pytest.raises(StageError, match=r"works on one network, and mlp made an ensemble"):
        modelservice.train(service(**two, compression=steps), IRIS, tmp_path / "m")
    assert modelservice.load(tmp_path / "m").digest == first.digest


def test_images_from_a_file_and_from_memory_are_the_same_model(tmp_path: Path) -> None:
    content = images()
    (tmp_path / "corners.npz").write_bytes(content)
    data = {"persistentVolumeClaim": {"claimName": "c", "path": "corners.npz"}, "target": "y"}
    spec = {"data": data, "model": {"cnn": {"channels": [4], "hiddenLayers": []}}, "training": {"epochs": 10}}
    from_file = modelservice.train(service(**spec), tmp_path / "corners.npz", tmp_path / "a")
    with np.load(tmp_path / "corners.npz") as arrays:
        given = dict(arrays)
        from_memory = modelservice.train(service(**spec), given, tmp_path / "b")
        assert np.mean(np.array(from_file.predict(given["X"])) == given["y"]) > 0.8
    assert from_file.manifest.modality == "Image"
    assert from_file.manifest.files["model.onnx"] == from_memory.manifest.files["model.onnx"]


def test_images_in_a_config_map_are_told_by_the_name_of_their_key(tmp_path: Path) -> None:
    data = {"configMap": {"name": "corners"}, "target": "y"}
    spec = {"data": data, "model": {"mlp": {"hiddenLayers": [8]}}, "training": {"epochs": 2}}
    packed = config_map("corners", binaryData={"corners.npz": base64.b64encode(images()).decode()})
    predictor = modelservice.train(write(tmp_path / "a.yaml", service(**spec), packed), output=tmp_path / "m")
    assert predictor.manifest.modality == "Image"


def test_a_regression_is_trained_from_a_frame(tmp_path: Path) -> None:
    data = {"configMap": {"name": "x"}, "target": "petal_width"}
    predictor = modelservice.train(service(data=data, training={"epochs": 30}), pd.read_csv(IRIS), tmp_path / "m")
    assert predictor.signature.task == "Regression"
    assert np.corrcoef(predictor.predict(pd.read_csv(IRIS)), pd.read_csv(IRIS)["petal_width"])[0, 1] > 0.8


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({"training": {"epochs": 0}}, ["spec.training.epochs: 0: Input should be greater than or equal to 1"]),
        ({"training": {"epoch": 3}}, ["spec.training.epoch: there is no such field; did you mean epochs?"]),
        ({"model": {"mlp": {"hidden": 3}}}, ["spec.model.mlp.hidden: there is no such field"]),
        ({"data": {"configMap": {"name": "x"}}}, ["spec.data.target: must be set"]),
        ({"model": {}}, [f"spec.model: exactly one of {', '.join(MODELS)} must be set"]),
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
        ("spec: {training: {epochs: 5, epochs: 50}}", "the key 'epochs' is there twice: leave one of them out in"),
        ("a: 2026-13-45", "is not YAML: month must be"),
        ("a: !!bool x", "is not YAML"),
        ("[" * 2_000, "is not YAML: maximum recursion depth"),
        ('"\\UFFFFFFFF"', "is not YAML"),
        ("kind: ModelService\napiVersion: [modelservice.dev/v1alpha1]\n", "apiVersion: a list is not known"),
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
        ({"configMap": {"name": "iris", "key": "c"}}, [config_map(data={"a": ""})], "has no key 'c', but a"),
        ({"configMap": {"name": "iris"}}, [config_map(binaryData={"a": "%"})], "not base64"),
        ({"configMap": {"name": "iris"}}, [config_map(binaryData={"a": "é"})], "not base64"),
        ({"configMap": {"name": "iris"}}, [config_map(data=["a"])], "data of ConfigMap 'iris' must be an object"),
        ({"configMap": {"name": "iris"}}, [config_map(data={"a": 3})], "data.'a' of ConfigMap 'iris' must be a text"),
        ({"configMap": {"name": "iris"}}, [config_map(data={3: "a"})], "data.3 of ConfigMap 'iris' must be a text"),
        ({"configMap": {"name": "iris"}}, [config_map(data={"a": "\ud800"})], "must be a text"),
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
        modelservice.nothing_like_it  # type: ignore[attr-defined]  # noqa: B018
