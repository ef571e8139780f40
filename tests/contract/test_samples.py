"""Every sample is good: for a laptop, for the CRD, and with the very data that its comment names."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from tests.support.helm import ROOT
from tests.support.mutations import Schema, spec_schema, visit
from tests.support.samples import (
    SAMPLES,
    model_service,
    objects,
    sample_files,
    sample_format,
    sample_rows,
    sample_table,
    trained_samples,
)

from modelservice.contract.data import Format
from modelservice.contract.resource import ModelService


def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a sample's table, as texts."""
    return sample_rows(SAMPLES / name)


def pictures_of(path: Path) -> dict[str, NDArray[np.uint8]]:
    """The pictures of a sample's archive by their paths."""
    with tarfile.open(fileobj=io.BytesIO(sample_table(path)), mode="r:gz") as archive:
        read = {member.name: archive.extractfile(member) for member in archive}
        return {name: np.asarray(Image.open(file)) for name, file in read.items() if file is not None}


def numbers(rows: Sequence[dict[str, str]], columns: Sequence[str]) -> list[list[float]]:
    """Cells as the numbers that they spell."""
    return [[float(row[column]) for column in columns] for row in rows]


@pytest.mark.parametrize("path", sample_files(), ids=lambda path: path.stem)
class TestSample:
    def test_parses(self, path: Path) -> None:
        assert ModelService.model_validate(model_service(path)).metadata.name

    def test_names_only_fields_of_the_crd(self, path: Path) -> None:
        # visit() raises KeyError at a field that the schema does not have.
        assert len(list(visit(spec_schema(), model_service(path)["spec"], ()))) > 1

    def test_brings_the_secrets_that_it_names(self, path: Path) -> None:
        spec = ModelService.model_validate(model_service(path)).spec
        opened = (spec.artifacts, spec.data, spec.fetched)
        named = {one.secret_ref.name for one in opened if one is not None and one.secret_ref}
        auth = spec.serving.auth
        callers = {auth.api_keys.secret_ref.name} if auth is not None and auth.api_keys is not None else set()
        secrets = [one for one in objects(path) if one["kind"] == "Secret"]
        encryption = spec.artifacts.encryption if spec.artifacts is not None else None
        encrypting = {encryption.secret_ref.name} if encryption is not None else set()
        image = spec.artifacts.image if spec.artifacts is not None else None
        pushing = {one.name for one in (image.push_secret_ref, image.pull_secret_ref) if one} if image else set()
        variables = model_service(path)["spec"].get("training", {}).get("env", [])
        read = {
            one["valueFrom"]["secretKeyRef"]["name"] for one in variables if "secretKeyRef" in one.get("valueFrom", {})
        }
        assert {one["metadata"]["name"] for one in secrets} == named | callers | encrypting | pushing | read
        # A placeholder, never somebody's key.
        whole = callers | encrypting
        keys = {
            value
            for one in secrets
            for key, value in one["stringData"].items()
            if "KEY" in key or one["metadata"]["name"] in whole
        }
        assert keys <= {"replace-me"}

    def test_is_an_example_of_the_readme(self, path: Path) -> None:
        link = path.relative_to(ROOT) if path.parent == SAMPLES else path.parent.relative_to(ROOT)
        assert f"({link})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", trained_samples(), ids=lambda path: path.stem)
def test_a_sample_brings_its_own_data_with_the_target(path: Path) -> None:
    data = ModelService.model_validate(model_service(path)).spec.known_data
    config_maps = [one for one in objects(path) if one["kind"] == "ConfigMap"]
    named = set() if data.config_map is None else {data.config_map.name}
    assert {one["metadata"]["name"] for one in config_maps} <= named
    assert named or data.uri is not None  # of which the file lies beside
    if sample_format(path) is Format.NPZ:
        arrays = np.load(io.BytesIO(sample_table(path)), allow_pickle=False)
        assert len(arrays[data.target]) >= 100
    elif sample_format(path) is Format.IMAGE_FOLDER:
        assert len(pictures_of(path)) >= 100
    else:
        rows = sample_rows(path)
        assert len(rows) >= 100
        assert data.target in rows[0]


def test_samples_have_names_of_their_own() -> None:
    names = [model_service(path)["metadata"]["name"] for path in sample_files()]
    assert len(set(names)) == len(names)


def test_minimal_is_the_smallest_and_what_the_readme_begins_with() -> None:
    minimal = model_service(SAMPLES / "minimal.yaml")
    assert minimal["spec"] == {
        "data": {"configMap": {"name": "churn"}, "target": "churned"},
        "model": {"mlp": {}},
    }
    first = (ROOT / "README.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(first) == minimal


def test_rows_of_the_test_file_are_the_others_of_iris() -> None:
    (config_map,) = (one for one in objects(SAMPLES / "test-file.yaml") if one["kind"] == "ConfigMap")
    lines = {name: text.splitlines() for name, text in config_map["data"].items()}
    header, *iris = sample_table(SAMPLES / "iris.yaml").decode().splitlines()
    assert {one.pop(0) for one in lines.values()} == {header}
    assert sorted(lines["train.csv"] + lines["test.csv"]) == sorted(iris)
    assert len(lines["test.csv"]) == 45


IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.mark.parametrize(
    "name",
    [
        "iris.yaml",
        "decision-tree.yaml",
        "object-storage.yaml",
        "encrypted.yaml",
        "guarded.yaml",
        "kustomize/modelservice.yaml",
        "bucket/modelservice.yaml",
        "json-lines.yaml",
        "excel.yaml",
    ],
)
def test_iris_is_the_whole_table(name: str) -> None:
    rows, iris = rows_of(name), load_iris()
    assert list(rows[0]) == [*IRIS, "species"]
    assert numbers(rows, IRIS) == iris.data.tolist()
    assert [row["species"] for row in rows] == [iris.target_names[label] for label in iris.target]


@pytest.mark.parametrize(
    "name",
    [
        "auto.yaml",
        "auto-budget.yaml",
        "autoscaling.yaml",
        "svm.yaml",
        "compression.yaml",
        "prune.yaml",
        "distill.yaml",
        "compress-auto.yaml",
        "random-forest.yaml",
        "parquet.yaml",
        "search.yaml",
    ],
)
def test_wine_is_the_whole_table(name: str) -> None:
    rows, wine = rows_of(name), load_wine()
    columns = [column.replace("od280/od315_of_diluted_wines", "absorbance_ratio") for column in wine.feature_names]
    assert list(rows[0]) == [*columns, "cultivar"]
    # The package says 9.899999 where its source has 9.9.
    np.testing.assert_allclose(numbers(rows, columns), wine.data, rtol=0, atol=2e-6)
    assert [row["cultivar"] for row in rows] == ["ABC"[label] for label in wine.target]


@pytest.mark.parametrize(("name", "measures"), [("gpu.yaml", 10), ("logistic.yaml", 5), ("gradient-boosting.yaml", 5)])
def test_diagnoses_are_those_of_all_tumours(name: str, measures: int) -> None:
    rows, tumours = rows_of(name), load_breast_cancer()
    columns = [column for column in rows[0] if column != "diagnosis"]
    names = [str(column).replace(" ", "_") for column in tumours.feature_names]
    assert len(columns) == measures
    assert set(columns) <= {column for column in names if column.startswith("mean_")}
    chosen = tumours.data[:, [names.index(column) for column in columns]]
    assert sorted(map(str, _labelled(numbers(rows, columns), [row["diagnosis"] for row in rows]))) == sorted(
        map(str, _labelled(chosen.tolist(), [tumours.target_names[label] for label in tumours.target]))
    )


def _labelled(rows: list[list[float]], labels: Sequence[str]) -> list[tuple[list[float], str]]:
    return [(row, str(label)) for row, label in zip(rows, labels, strict=True)]


@pytest.mark.parametrize("name", ["regression.yaml", "decimal-comma.yaml", "kernel-ridge.yaml"])
def test_progressions_are_those_of_all_patients(name: str) -> None:
    rows, diabetes = rows_of(name), load_diabetes(scaled=False)
    rows = [{column: cell.replace(",", ".") for column, cell in row.items()} for row in rows]
    columns = [column for column in rows[0] if column != "progression"]
    assert numbers(rows, columns) == diabetes.data.tolist()
    assert [float(row["progression"]) for row in rows] == diabetes.target.tolist()


def test_digits_are_the_first_images() -> None:
    arrays, digits = np.load(io.BytesIO(sample_table(SAMPLES / "cnn.yaml")), allow_pickle=False), load_digits()
    assert set(arrays) == {"X", "y"}
    assert (arrays["X"].dtype, arrays["X"].shape) == (np.uint8, (500, 8, 8))
    assert np.array_equal(arrays["X"], digits.images[:500])
    assert np.array_equal(arrays["y"], digits.target[:500])


def test_pictures_are_the_first_of_four_digits() -> None:
    found, digits = pictures_of(SAMPLES / "image-folder.yaml"), load_digits()
    for name, digit in (("zero", 0), ("one", 1), ("four", 4), ("seven", 7)):
        own = [pixels for path, pixels in sorted(found.items()) if path.startswith(f"{name}/")]
        assert np.array_equal(own, digits.images[digits.target == digit][:30] * 15)


def test_kustomize_knows_where_names_stand() -> None:
    folder = SAMPLES / "kustomize"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    (generator,) = kustomization["configMapGenerator"]
    assert generator["name"] == model_service(folder / "modelservice.yaml")["spec"]["data"]["configMap"]["name"]
    for reference in yaml.safe_load((folder / "namereference.yaml").read_text(encoding="utf-8"))["nameReference"]:
        for spec in reference["fieldSpecs"]:
            schema: Schema = {"properties": {"spec": spec_schema()}}
            for step in spec["path"].split("/"):
                schema = schema.get("items", schema)["properties"][step]
            assert schema["type"] == "string"
