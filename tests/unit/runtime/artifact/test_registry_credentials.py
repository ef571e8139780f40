"""What opens a registry: which entry of which file counts, and files that are none."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from modelservice.artifact.registry_credentials import Credentials, find_credentials
from modelservice.contract.failure import StorageError

PLACE = "registry.example:5000/models/default/iris"


def entry(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def written(folder: Path, auths: Any) -> dict[str, str]:
    """A file as ``docker login`` writes it, and the variable that names its folder."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "config.json").write_text(json.dumps({"auths": auths}), encoding="utf-8")
    return {"DOCKER_CONFIG": str(folder)}


@pytest.mark.parametrize(
    ("auths", "found"),
    [
        ({}, None),
        ({"registry.example": entry("a:b")}, None),
        ({"registry.example:5000": entry("a:b:c")}, Credentials("a", "b:c")),
        ({"https://registry.example:5000/v1/": entry("a:b")}, Credentials("a", "b")),
        ({"registry.example:5000": {"username": "a", "password": "b"}}, Credentials("a", "b")),
        ({"registry.example:5000": entry("a:b"), "registry.example:5000/models": entry("c:d")}, Credentials("c", "d")),
        ({"registry.example:5000/mode": entry("a:b")}, None),
        ({"registry.example:5000": {}}, None),  # a credential helper has it
    ],
)
def test_the_entry_that_names_most_counts(tmp_path: Path, auths: Mapping[str, Any], found: Credentials | None) -> None:
    assert find_credentials(PLACE, written(tmp_path / "docker", auths), mounted=tmp_path / "none") == found


def test_what_is_mounted_goes_before_what_is_at_home(tmp_path: Path) -> None:
    home = written(tmp_path / "home" / ".docker", {"registry.example:5000": entry("home:x")})
    assert find_credentials(PLACE, {"HOME": str(tmp_path / "home")}, mounted=tmp_path) == Credentials("home", "x")
    written(tmp_path / "parent", {"registry.example:5000": entry("pull:x")})
    written(tmp_path / "artifacts", {"registry.example:5000": entry("push:x")})
    assert find_credentials(PLACE, home, mounted=tmp_path) == Credentials("push", "x")


@pytest.mark.parametrize(
    ("auths", "words"),
    [
        ([], 'has no object "auths"'),
        ({"registry.example:5000": {"auth": "?"}}, "is not USER:PASSWORD in base64"),
        ({"registry.example:5000": entry("only-a-name")}, "is not USER:PASSWORD in base64"),
        ({"registry.example:5000": {"auth": 1}}, "is not USER:PASSWORD in base64"),
        ({"registry.example:5000": {"identitytoken": "x"}}, "has neither auth nor username and password"),
    ],
)
def test_what_is_no_credential_is_said(tmp_path: Path, auths: Any, words: str) -> None:
    with pytest.raises(StorageError, match=words) as refused:
        find_credentials(PLACE, written(tmp_path / "docker", auths), mounted=tmp_path / "none")
    assert (refused.value.reason, refused.value.field) == (
        "StorageSettingsInvalid",
        "spec.artifacts.image.pushSecretRef",
    )


def test_a_file_that_is_no_json_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(StorageError, match="is no JSON"):
        find_credentials(PLACE, {"DOCKER_CONFIG": str(tmp_path)}, mounted=tmp_path / "none")
