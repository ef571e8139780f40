"""Every sample is good: for a laptop, for the CRD, and as the table it claims to be."""

import csv
import io
from pathlib import Path

import pytest
import yaml
from sklearn.datasets import load_iris
from tests.support.mutations import Schema, spec_schema, visit
from tests.support.samples import SAMPLES, model_service, objects, sample_files, sample_table

from modelservice.contract.resource import ModelService


@pytest.mark.parametrize("path", sample_files(), ids=lambda path: path.stem)
class TestSample:
    def test_parses(self, path: Path) -> None:
        assert ModelService.model_validate(model_service(path)).metadata.name

    def test_names_only_fields_of_the_crd(self, path: Path) -> None:
        # visit() raises KeyError at a field that the schema does not have.
        assert len(list(visit(spec_schema(), model_service(path)["spec"], ()))) > 1

    def test_brings_its_own_table_with_the_target(self, path: Path) -> None:
        data = ModelService.model_validate(model_service(path)).spec.data
        rows = list(csv.DictReader(io.StringIO(sample_table(path).decode())))
        assert len(rows) >= 100
        assert data.target in rows[0]
        assert 2 <= len({row[data.target] for row in rows}) <= 3
        assert data.config_map is not None
        names = {one["metadata"]["name"] for one in objects(path) if one["kind"] == "ConfigMap"}
        assert names <= {data.config_map.name}


def test_minimal_is_the_smallest() -> None:
    assert model_service(SAMPLES / "minimal.yaml")["spec"] == {
        "data": {"configMap": {"name": "churn"}, "target": "churned"},
        "model": {"mlp": {}},
    }


@pytest.mark.parametrize(
    "path", [SAMPLES / "iris.yaml", SAMPLES / "kustomize" / "modelservice.yaml"], ids=lambda p: p.name
)
def test_iris_is_the_whole_table(path: Path) -> None:
    header, *rows = list(csv.reader(io.StringIO(sample_table(path).decode())))
    assert header == ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    iris = load_iris()
    wanted = [[*map(float, row), iris.target_names[label]] for row, label in zip(iris.data, iris.target, strict=True)]
    assert [[*map(float, row[:-1]), row[-1]] for row in rows] == wanted


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
