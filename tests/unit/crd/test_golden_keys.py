"""Keys of all samples, as they were when each was written: a change here would train everybody's models again."""

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.samples import SAMPLES, model_service, sample_files, sample_table, trained_samples

from modelservice.contract.keys import (
    GZIP_MAGIC,
    compare_key,
    compress_key,
    content_digest,
    fetch_key,
    pretrained_key,
    train_key,
)
from modelservice.contract.model import GRADIENT_FAMILIES
from modelservice.contract.resource import ModelService, ModelServiceSpec
from modelservice.contract.training import OF_ANY_FAMILY, Hyperparameters

GOLDEN: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "golden_keys.json").read_text(encoding="utf-8"))
FETCHED = [path for path in sample_files() if path not in trained_samples()]
COMPRESSED = [path for path in sample_files() if "compression" in model_service(path)["spec"]]
STEPPED = {"epochs", "optimizer", "initialize", "teacher", "temperature"}
"""Changes below that say how to step."""
STEPS = {str(field.alias) for name, field in Hyperparameters.model_fields.items() if name not in OF_ANY_FAMILY}
"""Settings of training by gradient steps, which the other families refuse."""

CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"training": {"seed": 1}},
    "epochs": {"training": {"epochs": 61}},
    "initialize": {
        "training": {"initialize": {"artifact": {"uri": "s3://models/b", "digest": f"sha256:{'1' * 64}"}}},
    },
    "teacher": {"training": {"teacher": {"artifact": {"uri": "s3://models/b", "digest": f"sha256:{'1' * 64}"}}}},
    "temperature": {
        "training": {
            "teacher": {"artifact": {"uri": "s3://models/b", "digest": f"sha256:{'1' * 64}"}, "temperature": 3},
        },
    },
    "optimizer": {"training": {"optimizer": {"sgd": {}}}},
    "model": {"model": {"mlp": {"hiddenLayers": [7]}}},
    "format": {"data": {"format": "NPZ", "csv": None, "excel": None, "image": None}},
    "csv": {"data": {"csv": {"decimal": ","}}},
    "excel": {"data": {"excel": {"sheet": "2024"}}},
    "image": {"data": {"image": {"height": 9, "width": 8}}},
    "missing": {"data": {"missing": ["?"]}},
    "missing numbers": {"data": {"missingNumbers": "Median"}},
    "scaling": {"data": {"scaling": "Robust"}},
    "columns": {"data": {"columns": {"zip": {"type": "Category"}}}},
    "encoder": {"data": {"encoder": {"uri": "file:///models/other"}, "columns": {"zip": {"type": "Encoded"}}}},
    "split": {"data": {"split": {"seed": 1}}},
    "weights": {"data": {"sampleWeight": "w"}},
    "groups": {"data": {"split": {"groupBy": "customer"}}},
    "folds": {"data": {"split": {"folds": 5}}},
    "times": {"data": {"split": {"timeColumn": "day"}}},
    "sides": {"data": {"split": {"column": "side"}}},
    "files": {"data": {"split": {"files": {"validation": "validation.csv"}}}},
}


def named(path: Path) -> str:
    return str(path.relative_to(SAMPLES))


def spec_of(document: dict[str, Any]) -> ModelServiceSpec:
    return ModelService.model_validate(document).spec


def key_of(document: dict[str, Any], table: bytes) -> str:
    return train_key(spec_of(document), content_digest(table))


def with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every default written out that it may say."""
    spec = spec_of(document)
    written = spec.model_dump(mode="json", exclude_none=True)
    if spec.model.choice not in GRADIENT_FAMILIES:
        written["training"] = {name: value for name, value in written["training"].items() if name not in STEPS}
    if spec.shared_encoder is not None and "text" in written["data"]:  # which reads texts as it does
        written["data"]["text"] = {"column": written["data"]["text"]["column"]}
    return {**document, "spec": written}


def changed(document: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The document with a part of its spec changed; another model replaces the one before."""
    document = copy.deepcopy(document)
    for part, values in change.items():
        kept = {} if part == "model" else document["spec"].get(part, {})
        document["spec"][part] = {**kept, **values}
    return document


def test_every_sample_has_a_golden_key() -> None:
    assert {named(path) for path in trained_samples()} == GOLDEN["train"].keys()
    assert {named(path) for path in FETCHED} == GOLDEN["fetch"].keys()
    assert {named(path) for path in COMPRESSED} == GOLDEN["compress"].keys()


@pytest.mark.parametrize("path", FETCHED, ids=lambda path: path.stem)
def test_the_key_of_what_is_fetched_is_its_digest_alone(path: Path) -> None:
    document = model_service(path)
    spec = spec_of(document)
    if spec.pretrained is not None:
        changed = spec.pretrained.model_copy(update={"max_length": 65})
        assert pretrained_key(spec.pretrained) == GOLDEN["fetch"][named(path)] != pretrained_key(changed)
        return
    source = spec.fetched
    assert source is not None
    assert fetch_key(source) == GOLDEN["fetch"][named(path)]
    moved = source.model_copy(update={"uri": "https://elsewhere/iris", "secret_ref": None})
    assert fetch_key(moved) == fetch_key(source)
    assert len({fetch_key(source, digest) for digest in (None, "sha256:a", "sha256:b")}) == 3


def test_the_key_of_a_comparison_is_that_of_the_pair_and_the_metrics() -> None:
    key = compare_key("sha256:a", "sha256:b", ["logLoss", "accuracy"])
    assert key == GOLDEN["compare"]["logLoss, accuracy"] == compare_key("sha256:a", "sha256:b", ["accuracy", "logLoss"])
    assert key == compare_key("sha256:a", "sha256:b", ["logLoss", "accuracy", "logLoss"]), "each once"
    others = (("sha256:b", "sha256:a", ["logLoss", "accuracy"]), ("sha256:a", "sha256:b", ["logLoss"]))
    assert key not in {compare_key(*other) for other in others}


def test_another_encoder_is_another_model() -> None:
    path = SAMPLES / "shared-encoder.yaml"
    spec, digest = spec_of(model_service(path)), f"sha256:{'a' * 64}"
    keys = {
        train_key(one, "sha256:0") for one in (spec, spec.with_encoder(digest), spec.with_encoder(digest[:-1] + "b"))
    }
    assert len(keys) == 3
    written = model_service(path)
    written["spec"]["model"]["encoder"]["service"]["digest"] = digest
    assert train_key(spec_of(written), "sha256:0") == train_key(spec.with_encoder(digest), "sha256:0")


@pytest.mark.parametrize("named_by", ["initialize", "teacher"])
def test_of_what_was_trained_before_the_digest_alone_decides(named_by: str) -> None:
    path = SAMPLES / f"{named_by}.yaml"
    moved, table = model_service(path), sample_table(path)
    moved["spec"]["training"][named_by]["artifact"]["uri"] = "file:///models/iris"
    assert key_of(moved, table) == GOLDEN["train"][named(path)]


@pytest.mark.parametrize("path", trained_samples(), ids=lambda path: path.stem)
class TestTrainKey:
    def test_never_changes(self, path: Path) -> None:
        assert key_of(model_service(path), sample_table(path)) == GOLDEN["train"][named(path)]

    def test_does_not_change_with_explicit_defaults(self, path: Path) -> None:
        document = with_defaults(model_service(path))
        assert document["spec"]["data"]["split"]["seed"] == 0
        assert key_of(document, sample_table(path)) == GOLDEN["train"][named(path)]

    def test_does_not_change_with_how_it_runs_is_stored_compressed_or_served(self, path: Path) -> None:
        document = changed(
            model_service(path),
            {"training": {"resources": {"limits": {"memory": "8Gi"}}, "nodeSelector": {"a": "b"}, "timeoutSeconds": 9}},
        )
        if spec_of(document).model.choice in GRADIENT_FAMILIES and "search" not in document["spec"].get("training", {}):
            document["spec"]["training"] |= {"workers": 3, "parallelism": "Sharded"}
        document["metadata"]["name"] = "renamed"
        if "configMap" in document["spec"]["data"]:  # an address and its version stand for the content
            document["spec"]["data"]["configMap"] = {"name": "renamed", "key": "other.csv"}
        document["spec"]["serving"] = {"replicas": 3, "grpc": {}}
        encryption = {"secretRef": {"name": "keys", "key": "new"}}
        document["spec"]["artifacts"] = {"uri": "s3://elsewhere", "encryption": encryption}
        document["spec"]["compression"] = {"steps": [{"distill": {"student": {"layers": {}}}}]}
        if spec_of(model_service(path)).known_data.encoder is not None:  # of which all else is refused
            document["spec"]["compression"] = {"steps": [{"quantize": {}}]}
        if spec_of(model_service(path)).shared_encoder is not None:  # whose head is small already
            del document["spec"]["compression"]
        document["spec"]["suspend"] = True
        assert key_of(document, sample_table(path)) == GOLDEN["train"][named(path)]

    def test_changes_with_what_decides_the_result(self, path: Path) -> None:
        document, table = model_service(path), sample_table(path)
        spec = spec_of(document)
        unfit = set() if spec.model.choice in GRADIENT_FAMILIES else STEPPED
        unfit |= {"columns", "encoder"} if spec.known_data.text is not None else set()  # it names the only one
        unfit |= {"columns"} if spec.known_data.encoder is not None else set()  # it needs one of its type
        unfit |= {"encoder"} if spec.compression is not None else set()  # of which most is refused beside it
        before = (spec.training.initialize, spec.training.teacher)
        unfit |= {"folds"} if any(one is not None for one in before) else set()
        mixed = spec.training.augmentation is not None and spec.training.augmentation.mixup is not None
        unfit |= {"teacher", "temperature"} if mixed else set()
        unfit |= {"files"} if spec.known_data.config_map is None else set()
        unfit |= {"optimizer"} if spec.training.search is not None else set()  # it names what is searched
        changes = {name: change for name, change in CHANGES.items() if name not in unfit}
        keys = {name: key_of(changed(document, change), table) for name, change in changes.items()}
        assert len({*keys.values(), GOLDEN["train"][named(path)]}) == len(keys) + 1, keys

    def test_changes_with_the_task(self, path: Path) -> None:
        document, table = model_service(path), sample_table(path)
        document["spec"]["task"] = {"classification": {}}
        assert key_of(document, table) != GOLDEN["train"][named(path)]

    def test_changes_with_the_data(self, path: Path) -> None:
        table = sample_table(path)
        more = gzip.compress(b"1") if table.startswith(GZIP_MAGIC) else b"1"
        assert key_of(model_service(path), table + more) != GOLDEN["train"][named(path)]


@pytest.mark.parametrize("change", [{"uri": "s3://models/other"}, {"digest": f"sha256:{'1' * 64}"}, {"maxLength": 33}])
def test_another_encoder_of_columns_trains_again(change: dict[str, Any]) -> None:
    path = SAMPLES / "text-beside-columns.yaml"
    document, table = model_service(path), sample_table(path)
    document["spec"]["data"]["encoder"] |= change
    assert key_of(document, table) != GOLDEN["train"][named(path)]
    document["spec"] |= {"model": {"randomForest": {}}, "compression": {"steps": [{"quantize": {}}]}}
    assert spec_of(document).compression, "the encoder has weights, whatever learns from its numbers"


@pytest.mark.parametrize("path", COMPRESSED, ids=lambda path: path.stem)
class TestCompressKey:
    def test_never_changes(self, path: Path) -> None:
        assert self.key(model_service(path), path) == GOLDEN["compress"][named(path)]

    def test_does_not_change_with_explicit_defaults(self, path: Path) -> None:
        assert self.key(with_defaults(model_service(path)), path) == GOLDEN["compress"][named(path)]

    def test_changes_with_the_parent_and_with_the_budget(self, path: Path) -> None:
        document = model_service(path)
        assert compress_key("other", spec_of(document)) != GOLDEN["compress"][named(path)]
        document["spec"]["compression"] |= {"maxAccuracyDrop": 0.25, "maxDrop": None}
        assert self.key(document, path) != GOLDEN["compress"][named(path)]

    @staticmethod
    def key(document: dict[str, Any], path: Path) -> str:
        return compress_key(GOLDEN["train"][named(path)], spec_of(document))


def test_what_compresses_an_artifact_of_elsewhere_changes_with_how_its_data_is_read() -> None:
    """Of what is trained here the key of the training tells it."""
    document = model_service(SAMPLES / "artifact.yaml")
    document["spec"] |= {
        "data": {"configMap": {"name": "iris"}, "target": "species"},
        "compression": {"steps": [{"quantize": {}}]},
    }
    changes: list[dict[str, Any]] = [
        {},
        {"task": {"classification": {"imbalance": "ClassWeight"}}},
        {"task": {"classification": {"loss": {"focal": {}}}}},
        {"data": {"split": {"seed": 1}}},
        {"data": {"sampleWeight": "w"}},
    ]
    assert len({compress_key("parent", spec_of(changed(document, one))) for one in changes}) == len(changes)
    moved = changed(document, {"data": {"configMap": {"name": "flowers"}}})
    assert compress_key("parent", spec_of(moved)) == compress_key("parent", spec_of(document))
