"""The definition as a whole."""

import json
import re
from typing import Any

import pytest

from modelservice_operator.crd.__main__ import crd_path, main
from modelservice_operator.crd.crd import build_crd
from modelservice_operator.crd.status import NOT_OBSERVED, ModelServiceStatus

VERSION = build_crd()["spec"]["versions"][0]


def test_names() -> None:
    crd = build_crd()
    assert crd["metadata"]["name"] == "modelservices.modelservice.dev"
    assert crd["spec"]["names"]["shortNames"] == ["mdsvc"]
    assert crd["spec"]["names"]["categories"] == ["ml"]
    assert crd["spec"]["scope"] == "Namespaced"


def test_replicas_is_the_only_stored_default_of_the_spec() -> None:
    stored = list(_defaults(VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"], ".spec"))
    assert stored == [(".spec.serving", {}), (".spec.serving.replicas", 1)]


PATHS = [column["jsonPath"] for column in VERSION["additionalPrinterColumns"]]
PATHS += VERSION["subresources"]["scale"].values()


@pytest.mark.parametrize("path", PATHS)
def test_paths_of_columns_and_scale_exist(path: str) -> None:
    if path.startswith(".metadata."):
        return
    schema = VERSION["schema"]["openAPIV3Schema"]
    for step in re.sub(r'\[\?\(@\.type=="\w+"\)\]', "[]", path.removeprefix(".")).split("."):
        schema = schema["properties"][step.removesuffix("[]")]
        schema = schema["items"] if step.endswith("[]") else schema


def test_conditions_merge_by_type() -> None:
    conditions = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert conditions["items"]["required"] == ["type", "status", "lastTransitionTime", "reason", "message"]


def test_a_newer_operators_stages_fit_an_older_crd() -> None:
    status = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert "enum" not in status["stage"]
    assert "enum" not in status["revisions"]["items"]["properties"]["phase"]


def test_fits_into_the_annotation_of_client_side_apply() -> None:
    # It may have 262,144 bytes, and releases to come have fields too: a third is left.
    assert len(json.dumps(build_crd())) < 170_000


def test_no_rule_asks_for_a_field_that_cel_does_not_see() -> None:
    assert list(_blind_rules(VERSION["schema"]["openAPIV3Schema"])) == []
    blind = {"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": True}}
    rules = [{"rule": "has(self.values) || has(self.size)"}]
    assert list(_blind_rules({"properties": {"values": blind}, "x-kubernetes-validations": rules})) == ["self.values"]


def test_a_new_one_has_a_status_of_no_generation() -> None:
    status = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert status["default"] == {"observedGeneration": NOT_OBSERVED}
    assert status["properties"]["observedGeneration"]["minimum"] == NOT_OBSERVED < 1
    assert ModelServiceStatus.model_validate(status["default"]).observed_generation == NOT_OBSERVED


def test_status_is_read_leniently_and_written_in_camel_case() -> None:
    status = ModelServiceStatus.model_validate({"observedGeneration": 2, "stage": "Training", "unknown": 1})
    assert status.model_dump(mode="json", exclude_none=True, exclude_defaults=True) == {
        "observedGeneration": 2,
        "stage": "Training",
    }


def test_the_command_writes_and_finds_drift(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path)]
    assert main(["--check", *root]) == 1
    assert main(["--write", *root]) == 0
    capsys.readouterr()
    assert main(["--check", *root]) == 0
    assert capsys.readouterr().out == ""
    path = crd_path(tmp_path)
    path.write_text(path.read_text().replace("mdsvc", "other"))
    assert main(["--check", *root]) == 1
    assert "+    - mdsvc" in capsys.readouterr().out


def _defaults(schema: Any, path: str) -> Any:
    if "default" in schema:
        yield path, schema["default"]
    for name, child in schema.get("properties", {}).items():
        yield from _defaults(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from _defaults(schema[key], f"{path}[]")


def _blind_rules(schema: Any) -> Any:
    """What a rule asks for although its values may be anything: the apiserver refuses such a definition."""
    for name, child in schema.get("properties", {}).items():
        if "x-kubernetes-preserve-unknown-fields" in child.get("items", child):
            rules = [one["rule"] for one in schema.get("x-kubernetes-validations", ())]
            yield from (f"self.{name}" for rule in rules if re.search(rf"self\.{name}\b", rule))
        yield from _blind_rules(child)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from _blind_rules(schema[key])
