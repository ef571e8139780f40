"""Keys of all samples, as they were when each was written: a change here would train everybody's models again."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.support.samples import SAMPLES, model_service, sample_files, sample_table

from modelservice.contract.keys import content_digest, train_key
from modelservice.contract.resource import ModelService

GOLDEN: dict[str, str] = json.loads((Path(__file__).parent / "golden_keys.json").read_text(encoding="utf-8"))


def key_of(document: dict[str, Any], table: bytes) -> str:
    return train_key(ModelService.model_validate(document).spec, content_digest(table))


def with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every default written out."""
    spec: BaseModel = ModelService.model_validate(document).spec
    return {**document, "spec": spec.model_dump(mode="json", exclude_none=True)}


def test_every_sample_has_a_golden_key() -> None:
    assert {str(path.relative_to(SAMPLES)) for path in sample_files()} == GOLDEN.keys()


@pytest.mark.parametrize("path", sample_files(), ids=lambda path: path.stem)
class TestKey:
    def test_never_changes(self, path: Path) -> None:
        assert key_of(model_service(path), sample_table(path)) == GOLDEN[str(path.relative_to(SAMPLES))]

    def test_does_not_change_with_explicit_defaults(self, path: Path) -> None:
        document = with_defaults(model_service(path))
        assert document["spec"]["training"]["epochs"] == 60
        assert key_of(document, sample_table(path)) == GOLDEN[str(path.relative_to(SAMPLES))]

    def test_does_not_change_with_how_it_runs(self, path: Path) -> None:
        document = copy.deepcopy(model_service(path))
        document["metadata"]["name"] = "renamed"
        document["spec"]["data"]["configMap"] = {"name": "renamed", "key": "other.csv"}
        document["spec"].setdefault("training", {}).update(
            {"resources": {"limits": {"memory": "8Gi"}}, "nodeSelector": {"a": "b"}, "timeoutSeconds": 60}
        )
        document["spec"]["serving"] = {"replicas": 3}
        document["spec"]["suspend"] = True
        assert key_of(document, sample_table(path)) == GOLDEN[str(path.relative_to(SAMPLES))]

    @pytest.mark.parametrize(
        ("part", "change"),
        [
            ("training", {"epochs": 61}),
            ("training", {"seed": 1}),
            ("training", {"optimizer": {"sgd": {}}}),
            ("model", {"mlp": {"hiddenLayers": [7]}}),
        ],
        ids=str,
    )
    def test_changes_with_what_decides_the_result(self, path: Path, part: str, change: dict[str, Any]) -> None:
        document = copy.deepcopy(model_service(path))
        document["spec"].setdefault(part, {}).update(change)
        assert key_of(document, sample_table(path)) != GOLDEN[str(path.relative_to(SAMPLES))]

    def test_changes_with_the_data(self, path: Path) -> None:
        assert key_of(model_service(path), sample_table(path) + b"1") != GOLDEN[str(path.relative_to(SAMPLES))]
