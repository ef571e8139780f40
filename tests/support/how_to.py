"""The pages of docs/how-to: what they give to Kubernetes, and as values to the chart."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.support.foreign_schemas import SCHEMAS
from tests.support.helm import ROOT
from tests.support.reference import root_schema
from tests.support.typed import blocks

from modelservice.contract.resource import API_VERSION, KIND

PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
VALUES = ("# values.yaml\n", "# digests.yaml\n")
ADAPTER_VALUES = "# prometheus-adapter.yaml\n"
"""Those of another project's chart."""

Object = dict[str, Any]


def shown_objects(page: Path) -> list[Object]:
    """All objects of a page, in order."""
    shown = (block for block in blocks(page, "yaml") if not block.startswith((*VALUES, ADAPTER_VALUES)))
    return [one for block in shown for one in yaml.safe_load_all(block)]


def shown_values(page: Path) -> list[Object]:
    """All values of the chart that a page shows."""
    return [yaml.safe_load(block) for block in blocks(page, "yaml") if block.startswith(VALUES)]


def adapter_values(page: Path) -> Object:
    """The one block of values of prometheus-adapter's chart that a page shows."""
    (values,) = [yaml.safe_load(block) for block in blocks(page, "yaml") if block.startswith(ADAPTER_VALUES)]
    return dict(values)


def model_services(page: Path) -> list[Object]:
    """The ModelServices of a page."""
    return [one for one in shown_objects(page) if one["kind"] == KIND]


def custom_schemas() -> dict[tuple[str, str], Object]:
    """The schema of ``spec`` of each custom resource that pages show, ours included; see ``closed``."""
    ours = root_schema()["properties"]["spec"]
    foreign = json.loads(SCHEMAS.read_text(encoding="utf-8"))
    known = {(one["apiVersion"], one["kind"]): one["spec"] for one in foreign}
    return {name: closed(schema) for name, schema in {(API_VERSION, KIND): ours, **known}.items()}


def closed(schema: Object) -> Object:
    """A structural schema that refuses fields which it does not name, as the apiserver does with strict validation."""
    copied = {**schema}
    if "properties" in schema:
        copied["properties"] = {name: closed(one) for name, one in schema["properties"].items()}
        copied.setdefault("additionalProperties", False)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            copied[name] = closed(schema[name])
    return copied


def secrets_named(value: Any) -> Iterator[str]:
    """Names of Secrets that an object refers to, wherever they stand in it."""
    if isinstance(value, dict):
        for field, one in value.items():
            if field in {"secretRef", "secretKeyRef"}:
                yield one["name"]
            elif field == "imagePullSecrets":
                yield from (secret["name"] for secret in one)
            else:
                yield from secrets_named(one)
    elif isinstance(value, list):
        for one in value:
            yield from secrets_named(one)
