"""What commands are tried on: a home with a ModelService, a model that was trained there, a server that is none."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.cli.resource import RESOURCE
from tests.unit.runtime.stages.pipelines import IRIS

from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode
from modelservice.serving import main as serving
from modelservice.serving.switching import Source


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris.yaml").write_text(RESOURCE)
    return tmp_path


@pytest.fixture
def trained(home: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.DONE
    capsys.readouterr()
    return home


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def serve(*sources: Source, **arguments: Any) -> int:
        calls.append({"sources": sources, **arguments})
        return ExitCode.DONE

    monkeypatch.setattr(serving, "serve", serve)
    return calls
