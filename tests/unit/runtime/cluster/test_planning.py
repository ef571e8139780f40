"""``plan``: what a file would come to, told by keys that are the operator's own."""

import base64
from typing import Any

import pytest
from tests.support.samples import SAMPLES, model_service, sample_table

from modelservice.cluster.planning import changes, data_digest, final_keys, known_keys, plan, with_encoder
from modelservice.contract.resource import ModelService, ModelServiceSpec
from modelservice.contract.serving import Serving
from modelservice_operator.domain.data import declared_data
from modelservice_operator.domain.encoders import encoder_state, settle
from modelservice_operator.domain.stages import pipeline


def spec_of(sample: str, **more: Any) -> ModelServiceSpec:
    document = model_service(SAMPLES / sample)
    return ModelService.model_validate({**document, "spec": {**document["spec"], **more}}).spec


def plain(spec: ModelServiceSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True, exclude_unset=True)


@pytest.mark.parametrize(
    "sample", ["iris.yaml", "compression.yaml", "object-storage.yaml", "artifact.yaml", "minilm.yaml", "cnn.yaml"]
)
def test_keys_are_those_of_the_operator(sample: str) -> None:
    spec = spec_of(sample)
    declared = declared_data(spec)
    digest = "sha256:" + "ab" * 32 if declared is None else declared.digest
    assert digest is not None
    assert list(final_keys(spec, digest).items()) == [(one.stage.name, one.key) for one in pipeline(spec, digest)]
    if declared is not None:
        assert data_digest(spec, None) == digest


def test_what_is_pinned_from_elsewhere_is_fetched_and_not_compressed() -> None:
    pin = {"pinRevision": {"uri": "s3://models/staging/iris/qp2iu6b5", "digest": f"sha256:{'a' * 64}"}}
    spec = spec_of("compression.yaml", serving=pin)
    keys = final_keys(spec, "sha256:1")
    assert list(keys) == ["fetch"]
    assert list(keys.items()) == [(one.stage.name, one.key) for one in pipeline(spec, "sha256:1")]


def test_a_head_has_the_key_of_what_its_encoder_is() -> None:
    spec, digest = spec_of("shared-encoder.yaml"), f"sha256:{'a' * 64}"
    service = spec.shared_encoder
    assert service is not None
    found = {"spec": {"model": {"pretrained": {}}}, "metadata": {}, "status": {"digest": digest}}
    settled = settle(spec, encoder_state(service, found, head="tickets-head"))
    asked = with_encoder(spec, found)
    assert asked is not None
    assert list(final_keys(asked, "sha256:1").values()) == [one.key for one in pipeline(settled, "sha256:1")]
    assert with_encoder(spec, None) is with_encoder(spec, {"status": {}}) is None
    assert with_encoder(spec_of("iris.yaml"), None) == spec_of("iris.yaml")
    missing = "the encoder that model.encoder.service names does not answer"
    (step,) = plan(None, plain(spec), None, frozenset(), missing=missing)
    assert step.said == f"what would be trained is not known: {missing}"


def test_the_digest_of_a_config_map_is_that_of_its_content_however_it_is_written() -> None:
    spec, table = spec_of("iris.yaml"), sample_table(SAMPLES / "iris.yaml")
    text = {"data": {"iris.csv": table.decode()}}
    packed = {"binaryData": {"iris.csv": base64.b64encode(table).decode()}}
    assert data_digest(spec, text) == data_digest(spec, packed)
    assert data_digest(spec, None) is None
    assert data_digest(spec, {"data": {"a": "1", "b": "2"}}) is None


def test_changes_are_named_by_their_path() -> None:
    found = changes({"a": {"b": 1, "c": 2}, "gone": 1}, {"a": {"b": 1, "c": 3}, "new": [1]})
    assert [tuple(one) for one in found] == [("a.c", 2, 3), ("new", None, [1]), ("gone", 1, None)]


def live(spec: ModelServiceSpec, key: str) -> dict[str, Any]:
    return {"spec": plain(spec), "status": {"key": key, "revisions": [{"key": key}]}}


def said(
    before: Any, after: ModelServiceSpec, digest: str | None = "sha256:1", known: tuple[str, ...] = ()
) -> list[str]:
    keys = None if digest is None else final_keys(after, digest)
    return [one.said for one in plan(before, plain(after), keys, frozenset(known))]


def test_a_new_one_trains_and_is_rolled_out() -> None:
    spec = spec_of("compression.yaml")
    train, compress = final_keys(spec, "sha256:1").values()
    assert said(None, spec) == [
        f"trains a model ({train})",
        f"compresses it ({compress})",
        "rolls the new model out, where its promotion allows",
    ]


@pytest.mark.parametrize(
    ("sample", "what"), [("artifact.yaml", "the artifact"), ("minilm.yaml", "the pretrained model")]
)
def test_what_was_trained_elsewhere_is_fetched(sample: str, what: str) -> None:
    spec = spec_of(sample)
    keys = final_keys(spec, "sha256:1")
    assert said(None, spec)[0] == f"fetches {what} ({keys['fetch']})"


def test_what_would_train_again_says_why() -> None:
    before = spec_of("iris.yaml")
    (key,) = final_keys(before, "sha256:1").values()
    after = spec_of("iris.yaml", training={"epochs": 7})
    (new,) = final_keys(after, "sha256:1").values()
    assert said(live(before, key), after, known=(key,)) == [
        f"trains a model ({new}), since training.epochs changed",
        "rolls the new model out, where its promotion allows",
    ]
    assert said(live(after, new), after, "sha256:2", known=(new,))[0].endswith(", since the data changed")


def test_what_is_new_is_compared_with_what_serves() -> None:
    gate: dict[str, Any] = {
        "require": [{"metric": {"name": name, "notWorseThanCurrent": {}}} for name in ("logLoss", "accuracy")]
    }
    before = spec_of("iris.yaml", promotion=gate)
    (key,) = final_keys(before, "sha256:1").values()
    after = spec_of("iris.yaml", promotion=gate, training={"epochs": 7})
    (new,) = final_keys(after, "sha256:1").values()
    served = live(before, key)
    served["status"] |= {"revision": 4, "revisions": [{"key": "older", "number": 3}, {"key": key, "number": 4}]}
    words = f"compares {new} with revision 4 by accuracy, logLoss, unless it did before"
    assert words in said(served, after, known=(key,))
    assert words in said(served, after, known=(key, new))
    pinned = after.model_copy(update={"serving": Serving.model_validate({"pinRevision": {"number": 3}})})
    assert [one for one in said(served, pinned, known=(key,)) if "compares" in one] == []
    assert [one for one in said(None, after) if "compares" in one] == []
    bounds = spec_of(
        "iris.yaml", promotion={"require": [{"metric": {"name": "f1", "min": 0.5}}]}, training={"epochs": 7}
    )
    assert [one for one in said(served, bounds, known=(key,)) if "compares" in one] == []


def test_what_was_trained_before_serves_again() -> None:
    before, after = spec_of("iris.yaml", training={"epochs": 7}), spec_of("iris.yaml")
    (old,), (new,) = (final_keys(one, "sha256:1").values() for one in (before, after))
    assert said(live(before, old), after, known=(old, new)) == [f"trains nothing: {new} is kept, and serves again"]


def test_serving_is_scaled_or_replaced_and_other_fields_restart_nothing() -> None:
    before = spec_of("iris.yaml", serving={"replicas": 1})
    (key,) = final_keys(before, "sha256:1").values()
    same = f"trains nothing: {key} is what was asked for before"
    found = live(before, key)
    assert said(found, spec_of("iris.yaml", serving={"replicas": 3}), known=(key,)) == [
        same,
        "scales: serving.replicas 1 → 3",
    ]
    batching = spec_of("iris.yaml", serving={"replicas": 1, "batching": {"maxSize": 8}})
    assert said(found, batching, known=(key,)) == [
        same,
        "may replace serving pods, one by one: serving.batching.maxSize unset → 8",
    ]
    assert said(found, spec_of("iris.yaml", serving={"replicas": 1}, suspend=True), known=(key,)) == [
        same,
        "restarts nothing: suspend unset → True",
    ]
    assert said(found, before, known=(key,)) == ["nothing changes"]


def test_where_the_data_is_not_there_yet_that_is_said() -> None:
    (found,) = said(None, spec_of("iris.yaml"), None)
    assert "the ConfigMap with the data is neither in the file nor there" in found


def test_keys_that_are_known_are_those_of_revisions_and_of_records() -> None:
    record = {"metadata": {"labels": {"modelservice.dev/key": "trained"}}}
    assert known_keys(live(spec_of("iris.yaml"), "served"), [record, {"metadata": {}}]) == {"served", "trained"}
    assert known_keys(None, []) == frozenset()
