"""An encoder that a hub has, read through the library of hubs from one that speaks its language."""

import gzip
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Request, Response
from tests.support.hub_server import COMMIT, LATER, HubServer, hub_server
from tests.unit.runtime.families.berts import read_bert, write_bert
from tests.unit.runtime.families.datasets import fit
from tests.unit.runtime.families.test_encoder import rows, spec

from modelservice.artifact import patience
from modelservice.artifact.patience import LONGEST_WAIT_SECONDS
from modelservice.contract.encoders import PretrainedModel
from modelservice.contract.failure import About, DataError, Retry, StageError
from modelservice.families.pretrained import read_pretrained
from modelservice.modalities import hub as hub_module
from modelservice.modalities.hub import HubModel
from modelservice.modalities.objects import DataUnavailableError
from modelservice.packing.pretrained_folder import ready_pretrained

NAME = "team/minilm"
URI = f"hf://{NAME}@main"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bert(tmp_path / "m")
    return tmp_path / "m"


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """One that has the model of the folder."""
    for module in (hub_module, patience):
        monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(hub_module, "MAX_RETRIES", 2)
    with hub_server(monkeypatch) as server:
        server.models[NAME] = {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        read_pretrained.cache_clear()
        yield server


def refused(uri: str = URI) -> StageError:
    with pytest.raises(StageError) as caught:
        read_pretrained(uri, None)
    return caught.value


def test_it_is_the_model_of_the_folder_of_one_commit(hub: HubServer, folder: Path) -> None:
    there, here = read_bert(URI), read_bert(f"file://{folder}")
    assert (there.digest, there.tokenizer, there.pooling) == (here.digest, here.tokenizer, here.pooling)
    assert there.origin == f"{URI} (commit {COMMIT})"
    # The branch is asked for once: what follows is of the commit that it stood for then.
    resolved = [path for path in hub.asked if "/resolve/" in path]
    assert resolved[0] == f"{NAME}/resolve/main/config.json"
    assert all(path.startswith(f"{NAME}/resolve/{COMMIT}/") for path in resolved[1:])
    assert f"store/{NAME}/model.safetensors" in hub.asked, "the hub leads on to where large files are"
    assert not any(path.endswith((".bin", ".py")) for path in hub.asked)


def test_a_branch_that_moves_meanwhile_mixes_nothing(hub: HubServer) -> None:
    hub.branches = {"main": COMMIT}
    error = refused()
    assert (error.reason, error.field) == ("EncoderNotRead", "spec.model.encoder.uri")
    assert f"{NAME} has no revision {COMMIT}: correct spec.model.encoder.uri" in error.message


@pytest.mark.parametrize("said", ["../../../api/whoami", "x" * 5000, ""])
def test_a_commit_that_is_none_is_not_gone_by(hub: HubServer, said: str) -> None:
    hub.branches = {"main": said}
    assert read_pretrained(URI, None).origin == URI
    assert not any("whoami" in path for path in hub.asked)


def test_a_head_learns_and_the_note_says_the_commit(hub: HubServer) -> None:
    fitted = fit(rows(URI), spec(URI))
    assert fitted.notes[0].startswith(f"the encoder is {URI} (commit {COMMIT}) with weights sha256:")
    assert f"it is {URI} (commit {COMMIT})" in ready_pretrained(PretrainedModel(uri=URI, max_length=8)).notes
    hub.branches = {LATER: LATER}
    read_pretrained.cache_clear()
    assert read_pretrained(f"hf://{NAME}@{LATER}", None).origin.endswith(f"(commit {LATER})")


def test_a_token_is_given_and_never_to_another_place(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "hf_abc"  # noqa: S105 - nobody's
    hub.store = hub.address.replace("127.0.0.1", "localhost")
    error = refused()
    assert (error.reason, error.field) == ("EncoderNotRead", "spec.model.encoder.uri")
    assert "give a token as HF_TOKEN with spec.artifacts.secretRef or spec.training.env" in error.message
    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    assert read_pretrained(URI, None).digest.startswith("sha256:")
    told = dict(zip(hub.asked, hub.tokens, strict=True))
    assert told[f"{NAME}/resolve/{COMMIT}/model.safetensors"] == "Bearer hf_abc"
    assert told[f"store/{NAME}/model.safetensors"] is None


@pytest.mark.parametrize(
    ("uri", "reason", "said"),
    [
        (
            "hf://team/nothing@main",
            "EncoderNotRead",
            "is not there, or may not be read: correct spec.model.encoder.uri",
        ),
        (f"hf://{NAME}@v9", "EncoderNotRead", f"{NAME} has no revision v9: correct spec.model.encoder.uri"),
    ],
)
def test_what_is_not_there_is_named(hub: HubServer, uri: str, reason: str, said: str) -> None:
    error = refused(uri)
    assert error.reason == reason
    assert said in error.message
    assert "\n" not in error.message


def test_a_model_that_is_a_pickle_is_refused_by_the_file_that_it_lacks(hub: HubServer) -> None:
    hub.models[NAME]["pytorch_model.bin"] = hub.models[NAME].pop("model.safetensors")
    error = refused()
    assert (error.reason, error.field) == ("EncoderNotFound", "spec.model.encoder.uri")
    assert f"{URI} has no model.safetensors" in error.message


def test_a_file_that_is_too_large_is_not_held(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelservice.families.pretrained.folder.MAX_DOCUMENT", 10)
    assert "config.json of hf://team/minilm@main has more than the 10 bytes that are read" in refused().message


def test_a_hub_that_fails_is_asked_again_and_then_later(hub: HubServer) -> None:
    hub.failures = [503, 429]
    assert read_pretrained(URI, None).width == 16
    read_pretrained.cache_clear()
    hub.failures = [503] * 3
    error = refused()
    assert isinstance(error, DataUnavailableError)
    assert (error.ABOUT, error.RETRY) == (About.STORAGE, Retry.SOON)
    assert "does not answer as it should" in error.message


def test_a_hub_that_wants_to_be_left_alone_for_a_year(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    year = {"Retry-After": "31536000", "RateLimit": '"api";r=0;t=31536000'}
    answers(monkeypatch, lambda handler: handler.answer(429, b"", year))
    assert isinstance(refused(), DataUnavailableError)
    assert max(waited) <= LONGEST_WAIT_SECONDS


def answers(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Each request is answered by this."""
    monkeypatch.setattr("tests.support.hub_server._Handler.do_GET", answer)


@pytest.mark.parametrize("body", [b"[1]", b'{"errors": [5]}', b"[" * 100_000])
def test_a_refusal_in_other_words(hub: HubServer, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    answers(monkeypatch, lambda handler: handler.answer(400, body))
    assert refused().reason == "EncoderNotRead"


def test_a_refusal_without_an_end_is_not_read(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def go_on(handler: Any) -> None:
        handler.send_response(403)
        handler.send_header("Content-Length", str(2**40))
        handler.end_headers()
        with suppress(OSError):
            while len(sent) < 200:
                sent.append(handler.wfile.write(bytes(2**20)))
        handler.close_connection = True

    answers(monkeypatch, go_on)
    assert refused().reason == "EncoderNotRead"
    assert len(sent) < 200


def test_what_opens_the_store_is_not_told(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = f"{hub.address}/store?X-Amz-Signature=opens-it"
    answers(
        monkeypatch,
        lambda handler: (
            handler.answer(403, b"") if "/store" in handler.path else handler.answer(302, b"", {"Location": signed})
        ),
    )
    message = refused().message
    assert "/store" in message
    assert "opens-it" not in message


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br"])
def test_a_file_that_grows_without_a_limit(hub: HubServer, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    bomb = gzip.compress(gzip.compress(bytes(2**27)))
    answers(monkeypatch, lambda handler: handler.answer(200, bomb, {"Content-Encoding": encoding}))
    error = refused()
    assert "which nobody asked for" in error.message
    assert len(bomb) < 2**12


@pytest.mark.parametrize("place", ["http://[::1", "ftp://host/x", "http://host:port/", ""])
def test_a_hub_that_leads_nowhere(hub: HubServer, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    answers(monkeypatch, lambda handler: handler.answer(302, b"", {"Location": place}))
    assert isinstance(refused(), StageError)


def test_an_answer_that_ends_early_is_no_file(hub: HubServer) -> None:
    hub.cut = True
    error = refused()
    assert isinstance(error, DataUnavailableError), error
    assert hub.asked.count(f"store/{NAME}/model.safetensors") == 1


def test_a_hub_that_is_away_and_one_that_may_not_be_asked(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert isinstance(refused(), DataUnavailableError)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert refused().reason == "EncoderNotRead"


def test_a_hub_by_tls_leads_to_no_plain_http() -> None:
    def way(*addresses: str) -> Response:
        *before, last = (Response(200, request=Request("GET", address)) for address in addresses)
        last.history = before
        return last

    model = HubModel.of(URI, field="spec.model.encoder.uri")
    model._check_way(way("https://hub/a", "https://store/a"))
    model._check_way(way("http://mirror/a", "http://store/a"))
    with pytest.raises(DataError, match="leads on to plain HTTP: name another hub with HF_ENDPOINT"):
        model._check_way(way("https://hub/a", "http://store/a"))
