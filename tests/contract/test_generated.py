"""What is generated is current, and a drift is shown."""

from pathlib import Path

import pytest
import yaml
from tests.support import generate
from tests.support.helm import NAMESPACE


def test_generated_files_are_current() -> None:
    assert "".join(generate.drift()) == "", "run `make generate`"


def test_drift_is_shown_and_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stale = tmp_path / "stale.txt"
    stale.write_text("old\n")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "GENERATED", {stale: lambda: "new\n"})
    assert {"-old\n", "+new\n"} < set(generate.drift())
    assert generate.main(["--check"]) == 1
    assert generate.main(["--write"]) == 0
    assert stale.read_text() == "new\n"
    assert generate.main(["--check"]) == 0


def test_install_manifest_brings_its_namespace() -> None:
    first, *others = list(yaml.safe_load_all(generate.INSTALL.read_text(encoding="utf-8")))
    assert (first["kind"], first["metadata"]["name"]) == ("Namespace", NAMESPACE)
    assert first["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"].get("namespace", NAMESPACE) for one in others} == {NAMESPACE}
