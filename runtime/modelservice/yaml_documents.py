"""YAML as its specification has it: a key that is there twice is an error (YAML 1.2.2, 3.2.1.1).

PyYAML takes the last one without a word, so that a setting would be lost.
"""

from typing import Any, Final

import yaml

_MERGE: Final = "tag:yaml.org,2002:merge"


class _UniqueKeys(yaml.SafeLoader):
    """Looks at keys before what ``<<`` merges stands beside them, which those that are written win over."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Raises ComposerError where a key is there twice."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if (key.tag, key.value) in seen:
                message = f"the key {key.value!r:.80} is there twice: leave one of them out"
                raise yaml.composer.ComposerError(None, None, message, key.start_mark)
            seen.add((key.tag, key.value))
        return node


def load_documents(content: bytes | str) -> list[Any]:
    """All documents.

    Raises:
        yaml.YAMLError, ValueError and others: it is no YAML; PyYAML raises what it trips over.
    """
    return list(yaml.load_all(content, _UniqueKeys))
