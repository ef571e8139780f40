"""YAML whose keys are there once."""

import pytest
import yaml

from modelservice.yaml_documents import load_documents


def test_documents_are_read_as_pyyaml_reads_them() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {d: {<<: [*a]}}\n---\n- 1\n---\n"
    assert load_documents(text) == [*yaml.safe_load_all(text)]


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{b: {a: 1, 'a': 2}}", "- a: 1\n  b: 2\n  a: 1"])
def test_a_key_that_is_there_twice_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="the key 'a' is there twice: leave one of them out") as caught:
        load_documents(text)
    assert ", line " in str(caught.value)
