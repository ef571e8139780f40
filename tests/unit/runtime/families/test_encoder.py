"""A frozen BERT and a head on it: the graph is BERT's, heads learn, and a folder that is none is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tests.unit.runtime.families.berts import CONFIG, SENTENCES, TEXTS, read_bert, write_bert
from tests.unit.runtime.families.datasets import fit, run_onnx
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import nn

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import StageError
from modelservice.contract.model import Model
from modelservice.families import family_named
from modelservice.families.encoder import UNREADABLE
from modelservice.families.pretrained import read_pretrained, tokenizer_of
from modelservice.families.pretrained.texts import TextModel
from modelservice.modalities.base import Dataset
from modelservice.modalities.sources import read_rows, read_source
from modelservice.modalities.tokens import Tokens

LENGTH = 8


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_bert(tmp_path_factory.mktemp("bert"))


def spec(uri: str, **more: Any) -> dict[str, Any]:
    return {"encoder": {"uri": uri, **more}}


def rows(uri: str, *, numbers: bool = False) -> Dataset:
    lines = ["text,label"]
    for place in range(60):
        text = TEXTS[place % len(TEXTS)]
        good = text.endswith(("fine", "great"))
        lines.append(f"{text} {place % 7},{place / 7 if numbers else 'yes' if good else 'no'}")
    data = {"configMap": {"name": "d"}, "target": "label", "text": {"column": "text", "maxLength": LENGTH}}
    source = read_source("\n".join(lines).encode(), format=Format.CSV)
    asked = Data.model_validate(data)
    tokenizer = tokenizer_of(Model.model_validate(spec(uri)), asked)
    return read_rows(source, asked, None, tokenizer=tokenizer)[1]


def by_torch(uri: str, tokens: NDArray[np.float32], *, first: bool, normalized: bool) -> NDArray[np.float32]:
    """BERT of torch's own layers, which are normalised after each part, too."""
    stored = load_file(Path(uri.removeprefix("file://")) / "model.safetensors")
    weights = {name.removeprefix("bert."): torch.from_numpy(array) for name, array in stored.items()}
    ids = torch.from_numpy(tokens).long()
    absent = ids == 0
    states = weights["embeddings.word_embeddings.weight"][(ids - 1).clamp(min=0)]
    states = states + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    states = states + weights["embeddings.token_type_embeddings.weight"][0]
    scale, offset = (weights[f"embeddings.LayerNorm.{end}"] for end in ENDS)
    states = nn.functional.layer_norm(states, (16,), scale, offset, eps=1e-12)
    for place in range(CONFIG["num_hidden_layers"]):
        start = f"encoder.layer.{place}."
        layer = nn.TransformerEncoderLayer(16, 4, 24, 0, "gelu", 1e-12, batch_first=True)
        names = {
            "self_attn.out_proj": "attention.output.dense",
            "linear1": "intermediate.dense",
            "linear2": "output.dense",
            "norm1": "attention.output.LayerNorm",
            "norm2": "output.LayerNorm",
        }
        state = {f"{ours}.{end}": weights[f"{start}{theirs}.{end}"] for ours, theirs in names.items() for end in ENDS}
        for end in ENDS:
            parts = [weights[f"{start}attention.self.{part}.{end}"] for part in ("query", "key", "value")]
            state[f"self_attn.in_proj_{end}"] = torch.cat(parts)
        layer.load_state_dict(state)
        states = layer(states, src_key_padding_mask=absent)
    held = (~absent)[:, :, None]
    found = states[:, 0] if first else (states * held).sum(1) / held.sum(1)
    found = nn.functional.normalize(found) if normalized else found
    return found.detach().numpy()


ENDS = ("weight", "bias")


@pytest.mark.parametrize(
    ("documents", "first", "normalized"),
    [
        (SENTENCES, False, True),
        ({}, False, False),
        ({"1_Pooling/config.json": {"pooling_mode_cls_token": True}}, True, False),
        ({"1_Pooling/config.json": {"embedding_dimension": 16, "pooling_mode": "cls"}}, True, False),
        ({"1_Pooling/config.json": {"pooling_mode": ["cls"]}}, True, False),
        ({"1_Pooling/config.json": {"pooling_mode": "mean", "pooling_mode_cls_token": True}}, False, False),
        ({"1_Pooling/config.json": {"pooling_mode_cls_token": False}}, False, False),
    ],
)
def test_the_graph_is_bert(tmp_path: Path, documents: Any, first: bool, normalized: bool) -> None:
    uri = write_bert(tmp_path / "m", documents=documents)
    encoder = read_bert(uri)
    tokens = Tokens(encoder.tokenizer, max_length=LENGTH).encode(["the soup", "x", "the view was great and poor"])
    expected = by_torch(uri, tokens, first=first, normalized=normalized)
    np.testing.assert_allclose(encoder.embed(tokens), expected, atol=2e-6)
    # Beside a longer text, and alone, a text is the same.
    np.testing.assert_allclose(encoder.embed(tokens[1:2]), expected[1:2], atol=2e-6)
    assert np.isfinite(encoder.embed(np.zeros((1, LENGTH), np.float32))).all()
    assert encoder.parameters == sum(array.size for array in encoder.weights.values())


@pytest.mark.parametrize(
    "head",
    [
        {"logistic": {"c": 100}},
        {"svm": {"kernel": "Linear", "c": 100}},
        {"decisionTree": {}},
        {"kernelRidge": {}},
        {"mlp": {"hiddenLayers": [32]}},
        {"mlp": {"ensemble": 4}},
    ],
    ids=lambda head: "-".join([kind := next(iter(head)), *head[kind]]),
)
def test_a_head_learns_and_one_graph_answers_for_both(uri: str, head: dict[str, Any]) -> None:
    dataset = rows(uri)
    fitted = fit(dataset, spec(uri, head=head))
    raw = run_onnx(fitted.onnx, dataset.test.features)
    np.testing.assert_allclose(fitted.predict(dataset.test.features), raw, atol=1e-5)
    learned = run_onnx(fitted.onnx, dataset.train.features)
    assert np.bincount(dataset.train.values).max() / len(learned) < 0.6
    # The members of an ensemble learn from some rows each, and from labels that are softened.
    least = 0.75 if "ensemble" in head.get("mlp", {}) else 0.9
    assert (learned.argmax(axis=1) == dataset.train.values).mean() >= least
    assert fitted.notes[0].startswith(f"the encoder is {uri} with weights sha256:")
    # No engine but that of ONNX could serve what a head alone is.
    assert not fitted.files
    assert (fitted.curves is None) == ("mlp" not in head)


def test_a_head_predicts_numbers(uri: str) -> None:
    dataset = rows(uri, numbers=True)
    fitted = fit(dataset, spec(uri, head={"svm": {}}))
    assert run_onnx(fitted.onnx, dataset.test.features).shape == (len(dataset.test.values), 1)
    with pytest.raises(StageError, match=r"spec\.model\.encoder\.head\.logistic tells classes apart only") as caught:
        fit(dataset, spec(uri))
    assert caught.value.reason == "ModelUnsuited"


def test_each_text_is_read_once(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = read_bert(uri)
    tokens = rows(uri).train.features
    first = encoder.embed(tokens)
    monkeypatch.setattr(TextModel, "compute", lambda *_: pytest.fail("it was read again"))
    np.testing.assert_array_equal(encoder.embed(tokens[::-1]), first[::-1])
    assert encoder.embed(tokens[:0]).shape == (0, 16)


def test_what_it_reads_is_said() -> None:
    family = family_named("encoder")
    assert family.unsuited(modality="Text", task="Binary") is None
    assert family.unsuited(modality="Table", task="Binary") == UNREADABLE
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", "text": {"column": "x"}})
    assert tokenizer_of(Model.model_validate({"rnn": {}}), data) is None


def refused(uri: str, **more: Any) -> tuple[str, str, str | None]:
    with pytest.raises(StageError) as caught:
        fit(rows(uri), spec(uri, **more))
    return caught.value.reason, caught.value.message, caught.value.field


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "config.json is of no BERT that can be read: model_type: 'gpt2': "),
        ({"auto_map": {"AutoModel": "code.py"}}, "auto_map: it needs code of its own, and none is run"),
        ({"hidden_act": "silu"}, "hidden_act: 'silu': "),
        ({"is_decoder": True}, "is_decoder: True: "),
        ({"num_attention_heads": 5}, "hidden_size must be a multiple of num_attention_heads"),
        ({"hidden_size": 32}, "embeddings.word_embeddings.weight is [291, 16], expected [291, 32]"),
        ({"num_hidden_layers": 3}, "is not there, expected ["),
    ],
)
def test_a_model_that_cannot_be_read_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    uri = write_bert(tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    reason, said, field = refused(uri)
    assert (reason, field) == ("EncoderInvalid", "spec.model.encoder.uri")
    assert message in said


@pytest.mark.parametrize(
    ("file", "content", "reason", "message"),
    [
        ("config.json", None, "EncoderNotFound", "has no config.json: name a folder in the layout of Hugging Face"),
        ("model.safetensors", None, "EncoderNotFound", "has no model.safetensors"),
        ("tokenizer.json", None, "EncoderNotFound", "has no tokenizer.json"),
        ("model.safetensors", b"pickle", "EncoderInvalid", "model.safetensors cannot be read"),
        ("modules.json", b"{", "EncoderInvalid", "modules.json is no JSON"),
        ("modules.json", b"{}", "EncoderInvalid", "modules.json asks for None; "),
        (
            "modules.json",
            b'[{"type": "sentence_transformers.models.Pooling"}, {"type": "sentence_transformers.models.Dense"}]',
            "EncoderInvalid",
            "asks for sentence_transformers.models.Dense; Transformer, Pooling, Normalize can be had",
        ),
        ("1_Pooling/config.json", b'{"pooling_mode_max_tokens": true}', "EncoderInvalid", "asks for max; mean or cls"),
        ("1_Pooling/config.json", b'{"pooling_mode": "lasttoken"}', "EncoderInvalid", "asks for lasttoken; mean or"),
        ("1_Pooling/config.json", b'{"pooling_mode": ["mean", "cls"]}', "EncoderInvalid", "asks for mean, cls; mean"),
        ("1_Pooling/config.json", b"[]", "EncoderInvalid", "1_Pooling/config.json is no object"),
        ("tokenizer.json", b"{}", "EncoderInvalid", "tokenizer.json holds no tokenizer of the library tokenizers"),
    ],
)
def test_a_file_that_is_missing_or_damaged_is_named(
    tmp_path: Path, file: str, content: bytes | None, reason: str, message: str
) -> None:
    uri = write_bert(tmp_path / "m")
    if content is None:
        (tmp_path / "m" / file).unlink()
    else:
        (tmp_path / "m" / file).write_bytes(content)
    found, said, _ = refused(uri)
    assert found == reason, said
    assert message in said


def test_weights_that_are_no_floats_are_refused(tmp_path: Path) -> None:
    uri, path = write_bert(tmp_path / "m"), tmp_path / "m" / "model.safetensors"
    weights = load_file(path)
    name = "bert.encoder.layer.0.output.dense.weight"
    save_file({**weights, name: (100 * weights[name]).astype(np.int8)}, path)
    reason, said, field = refused(uri)
    assert (reason, field) == ("EncoderInvalid", "spec.model.encoder.uri")
    assert "encoder.layer.0.output.dense.weight is of int8, expected floats" in said


def test_tokens_that_the_model_does_not_know_are_refused(tmp_path: Path) -> None:
    reason, said, field = _refused_read(write_bert(tmp_path / "few", vocab_size=290), None)
    assert (reason, field) == ("EncoderInvalid", "spec.model.encoder.uri")
    assert "tokenizer.json has a token 290, and vocab_size in config.json is 290: name another model" in said
    # What stands around each text need not be in the vocabulary.
    around = Tokenizer.from_str(read_bert(write_bert(tmp_path / "around")).tokenizer)
    around.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 400)])
    around.save(str(tmp_path / "around" / "tokenizer.json"))
    read_pretrained.cache_clear()
    assert "has a token 400" in _refused_read(f"file://{tmp_path / 'around'}", None)[1]


def test_other_weights_than_were_meant_are_refused(tmp_path: Path) -> None:
    uri = write_bert(tmp_path / "m")
    digest = read_pretrained(uri, None).digest
    assert read_pretrained(uri, digest).digest == digest
    weights = load_file(tmp_path / "m" / "model.safetensors")
    save_file({name: array + 1 for name, array in weights.items()}, tmp_path / "m" / "model.safetensors")
    read_pretrained.cache_clear()
    reason, said, field = _refused_read(uri, digest)
    assert (reason, field) == ("EncoderChanged", "spec.model.encoder.digest")
    assert f"and {digest} is asked for" in said


def test_a_store_that_refuses_is_said() -> None:
    assert _refused_read("file:///dev/null", None)[0] == "EncoderNotFound"


def test_texts_are_no_longer_than_the_encoder_reads(tmp_path: Path) -> None:
    reason, said, field = refused(write_bert(tmp_path / "m", max_position_embeddings=4))
    assert (reason, field) == ("ModelUnsuited", "spec.data.text.maxLength")
    assert "is 8, and the encoder reads 4 tokens at most" in said


def _refused_read(uri: str, digest: str | None) -> tuple[str, str, str | None]:
    with pytest.raises(StageError) as caught:
        read_pretrained(uri, digest)
    return caught.value.reason, caught.value.message, caught.value.field
