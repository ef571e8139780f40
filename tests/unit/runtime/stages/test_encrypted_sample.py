"""The sample of encrypted artifacts, on a laptop: with its key from the file to an answer, and not without."""

import base64
import secrets
from pathlib import Path

import pytest
from tests.support.samples import SAMPLES

from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.places import ENCRYPTION_KEYS_ENV

SAMPLE = str(SAMPLES / "encrypted.yaml")


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, "")  # so that what a command sets is taken back
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    return "key"


def test_it_is_trained_and_answers_with_its_key_alone(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "-f", SAMPLE]) == ExitCode.ORDER_INVALID
    said = "error: spec.artifacts.encryption is set, and Secrets are not read here: name a file with the key with"
    assert capsys.readouterr().err.startswith(f"{said} --encryption-key, or in {ENCRYPTION_KEYS_ENV}")
    assert not (tmp_path / "out").exists()

    assert main(["train", "-f", SAMPLE, "--encryption-key", key]) == ExitCode.DONE
    at_rest = {path.name: path.read_bytes() for path in (tmp_path / "out" / "iris-encrypted").iterdir()}
    assert {"manifest.json", "model.onnx", "MODEL_CARD.md"} <= at_rest.keys()
    assert all(content.startswith(b"MSVCSEA1") for content in at_rest.values())

    (tmp_path / "rows.json").write_text("[[5.1, 3.5, 1.4, 0.2]]")
    capsys.readouterr()
    assert main(["predict", "out/iris-encrypted", "rows.json", "--encryption-key", key]) == ExitCode.DONE
    assert '"label":"setosa"' in capsys.readouterr().out
    monkeypatch.setenv(ENCRYPTION_KEYS_ENV, "")
    assert main(["inspect", "out/iris-encrypted"]) == ExitCode.ORDER_INVALID
    assert "which is not given (given: none)" in capsys.readouterr().err
