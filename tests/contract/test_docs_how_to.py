"""What the pages of docs/how-to tell people to apply is what the CRD, the chart and other projects' CRDs take."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft4Validator
from tests.cluster.paths import GO_MODULES
from tests.support.foreign_schemas import SOURCES
from tests.support.helm import CHART, ROOT, helm_objects
from tests.support.how_to import PAGES, custom_schemas, model_services, secrets_named, shown_objects, shown_values
from tests.support.mutations import Schema, spec_schema
from tests.support.reference import root_schema
from tests.support.typed import blocks

from modelservice.contract.resource import API_VERSION, KIND, ModelService

SCHEMAS = custom_schemas()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
_CODE = re.compile(r"`([^`\n]+)`")


@pages
def test_objects_are_taken_by_their_schemas(page: Path) -> None:
    for one in shown_objects(page):
        schema = SCHEMAS.get((one["apiVersion"], one["kind"]))
        if schema is None:
            kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
        else:
            Draft4Validator(schema).validate(one["spec"])


@pages
def test_model_services_keep_all_rules(page: Path) -> None:
    for one in model_services(page):
        ModelService.model_validate(one)


def test_each_schema_of_others_is_shown() -> None:
    shown = {(one["apiVersion"], one["kind"]) for page in PAGES for one in shown_objects(page)}
    assert SCHEMAS.keys() <= shown


@pytest.mark.parametrize("name", ["kustomize-controller", "source-controller"])
def test_the_page_of_flux_says_what_is_run(name: str) -> None:
    module = f"github.com/fluxcd/{name}"
    built = re.search(rf"{module} (v\S+)", (GO_MODULES / name / "go.mod").read_text(encoding="utf-8"))
    assert built is not None
    assert [one.version for one in SOURCES if one.module == module] == [built[1]]
    assert f"{name} {built[1]}" in (ROOT / "docs" / "how-to" / "flux.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("ModelService", {"data": {"target": "y", "configMaps": {"name": "d"}}, "model": {"mlp": {}}}, "configMaps"),
        ("Application", {"project": "default", "destination": {"servers": "x"}}, "servers"),
        (
            "Kustomization",
            {"interval": "1m", "prune": "yes", "sourceRef": {"kind": "GitRepository", "name": "a"}},
            "yes",
        ),
    ],
)
def test_schemas_refuse_what_they_do_not_know(kind: str, spec: Schema, field: str) -> None:
    (schema,) = [schema for (_, found), schema in SCHEMAS.items() if found == kind]
    assert any(field in error.message for error in Draft4Validator(schema).iter_errors(spec))


@pages
def test_values_are_taken_by_the_chart(page: Path) -> None:
    for values in shown_values(page):
        images = [
            container["image"]
            for one in helm_objects(values)
            if one["kind"] == "Deployment"
            for container in one["spec"]["template"]["spec"]["containers"]
        ]
        assert all(image.startswith(values.get("image", {}).get("registry", "")) for image in images)


@pages
def test_secrets_are_made_on_the_page_that_names_them(page: Path) -> None:
    typed = re.findall(r"create secret [\w-]+ ([\w-]+)", "".join(blocks(page, "sh")))
    made = {*typed, *(one["metadata"]["name"] for one in shown_objects(page) if one["kind"] == "Secret")}
    named = {*secrets_named(model_services(page)), *secrets_named(shown_values(page))}
    assert named <= made


@pages
def test_fields_and_values_that_are_named_exist(page: Path) -> None:
    named = _CODE.findall(page.read_text(encoding="utf-8"))
    for one in named:
        head, dot, _ = one.partition(".")
        if re.fullmatch(r"[A-Za-z]+(\.[A-Za-z]+|\[\])+", one) is None or not dot:
            continue
        if head in {"spec", "status"}:
            assert _exists(root_schema(), one), one
        elif head in spec_schema()["properties"]:
            assert _exists(spec_schema(), one), one
        elif head in VALUES:
            assert _is_value(one), one


@pages
def test_settings_that_are_named_are_taken(page: Path) -> None:
    for one in _CODE.findall(page.read_text(encoding="utf-8")):
        path, colon, value = one.partition(": ")
        if colon and path.partition(".")[0] in spec_schema()["properties"]:
            given = yaml.safe_load(value)
            for step in reversed(path.split(".")):
                given = {step: given}
            errors = [*Draft4Validator({**SCHEMAS[API_VERSION, KIND], "required": []}).iter_errors(given)]
            assert errors == [], one


def _exists(schema: Schema, path: str) -> bool:
    """Whether a path leads to a field; keys of maps, such as limits.memory, are not looked at."""
    for step in path.replace("[]", "").split("."):
        schema = schema.get("items", schema)
        if "properties" not in schema:
            return isinstance(schema.get("additionalProperties"), dict)
        if step not in schema["properties"]:
            return False
        schema = schema["properties"][step]
    return True


def _is_value(path: str) -> bool:
    found = VALUES
    for step in path.split("."):
        if not isinstance(found, dict) or step not in found:
            return False
        found = found[step]
    return True


def test_fields_that_do_not_exist_are_found() -> None:
    assert not _exists(root_schema(), "spec.serving.limit")
    assert not _is_value("image.digests")


@pages
def test_pages_are_short_and_lead_on(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# How to ")
    assert 30 <= len(lines) <= 95
    assert ROOT in page.parents
