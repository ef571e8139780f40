"""What the apiserver refuses, a laptop refuses: same field, and where the contract wrote them, the same words."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from tests.support.cases import check_each
from tests.support.reference import root_schema
from tests.support.samples import BadSample, bad_samples, dotted, field_path

from modelservice.contract.resource import ModelService


def test_pydantic_refuses() -> None:
    check_each(bad_samples(), check_refused, name=lambda sample: sample.name)


def check_refused(sample: BadSample) -> None:
    with pytest.raises(ValidationError) as refused:
        ModelService.model_validate(yaml.load(sample.text, Loader=yaml.CSafeLoader))
    errors = refused.value.errors()
    # Of a list whose item is wrong pydantic also says that it is too short, for it counts the others only.
    alone = [error for error in errors if error["type"] != "too_short" or len(errors) == 1]
    said = {field_path(error["loc"]): error["msg"] for error in alone}
    assert list(said) == [dotted(sample.field)]
    assert sample.pydantic in said[dotted(sample.field)]


def test_every_rule_of_the_crd_is_broken_by_a_sample() -> None:
    broken = [sample.apiserver for sample in bad_samples()]
    rules = set(_messages(root_schema()))
    assert {rule for rule in rules if not any(words in rule for words in broken)} == set()


def _messages(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
        for child in schema.values():
            yield from _messages(child)
