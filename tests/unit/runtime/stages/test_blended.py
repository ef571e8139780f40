"""A ModelService without a model is trained as a blend, whose report has a line for each model."""

import pytest
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.contract.keys import train_key
from modelservice.contract.resource import ModelServiceSpec
from modelservice.families import ensemble

SMALLEST = {"data": {"configMap": {"name": "flowers"}, "target": "species"}}


def test_no_model_is_auto_and_has_its_key() -> None:
    left_out = ModelServiceSpec.model_validate(SMALLEST)
    written = ModelServiceSpec.model_validate({**SMALLEST, "model": {"auto": {}}})
    assert left_out == written
    assert left_out.model.choice == "auto"
    assert train_key(left_out, "sha256:0") == train_key(written, "sha256:0")


def test_the_report_has_a_line_for_each_model_and_the_artifact_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "_MEMBERS", 5)  # what they come to is not looked at
    monkeypatch.setattr(ensemble, "_EPOCHS", 5)
    produced = produce(train_work(model={"auto": {}}))
    assert produced.manifest.family == "auto"
    report = produced.success(produced.digest, {})
    assert report.models is not None
    assert [one.name for one in report.models] == ["network", "linear", "discriminant", "kernelRidge", "randomForest"]
    assert produced.manifest.data is not None
    assert any(note.startswith("auto blends network ") for note in produced.manifest.data.notes)
    assert not any(b"seconds" in content for name, content in produced.files.items() if name.endswith(".json"))
    plain = produce(train_work(model={"logistic": {}}))
    assert plain.success(plain.digest, {}).models is None
