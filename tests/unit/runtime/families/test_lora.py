"""An encoder that learns on by differences of low rank, which are part of its weights afterwards."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.runtime.families.berts import SENTENCES, read_bert, write_bert
from tests.unit.runtime.families.datasets import fit, run_onnx
from tests.unit.runtime.families.test_encoder import LENGTH, rows, spec
from tests.unit.runtime.stages.test_search import Kept

from modelservice.contract.encoders import LowRankAdaptation
from modelservice.contract.failure import StageError
from modelservice.contract.model import Model
from modelservice.contract.training import Hyperparameters
from modelservice.families import family_named, lora
from modelservice.families.lora import LowRankEncoder
from modelservice.families.pretrained.texts import TextModel
from modelservice.modalities.tokens import Tokens
from modelservice.training.checkpointing import Checkpointing
from modelservice.training.interruption import Interruption

TUNED = {"lora": {"rank": 4}, "epochs": 20, "learningRate": 0.02}
WEAK = {"logistic": {"c": 0.001}}
"""A head that hardly learns, so that what is learned is the encoder's."""


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_bert(tmp_path_factory.mktemp("bert"))


def adapted(encoder: TextModel, *, differing: bool) -> LowRankEncoder:
    generator = torch.Generator().manual_seed(0)
    module = LowRankEncoder(encoder, LowRankAdaptation(rank=3, alpha=6), generator)
    if differing:
        with torch.no_grad():
            for up in module.up:
                up.normal_(generator=generator)
    return module


def numbers(module: LowRankEncoder, tokens: Any) -> Any:
    with torch.no_grad():
        return module(torch.from_numpy(tokens)).numpy()


@pytest.mark.parametrize(
    "documents",
    [SENTENCES, {}, {"1_Pooling/config.json": {"pooling_mode_cls_token": True}}],
    ids=["unit", "mean", "first"],
)
def test_before_it_learned_it_is_the_encoder_and_afterwards_its_merged_weights_are(
    tmp_path: Path, documents: dict[str, Any]
) -> None:
    encoder = read_bert(write_bert(tmp_path / "m", documents=documents))
    tokens = Tokens(encoder.tokenizer, max_length=LENGTH).encode(["the soup", "x", "the view was great and poor"])
    module = adapted(encoder, differing=False)
    np.testing.assert_allclose(numbers(module, tokens), encoder.compute(tokens), atol=5e-6)
    module = adapted(encoder, differing=True)
    merged = encoder.learned_on(module.merged())
    found = numbers(module, tokens)
    np.testing.assert_allclose(found, merged.compute(tokens), atol=5e-6)
    assert np.abs(found - encoder.compute(tokens)).max() > 0.01
    changed = {name for name, array in merged.weights.items() if not np.array_equal(array, encoder.weights[name])}
    assert changed == {
        f"encoder.layer.{layer}.attention.self.{part}.weight" for layer in (0, 1) for part in ("query", "value")
    }
    assert module.differences == 2 * 2 * 2 * 3 * 16


def test_a_text_without_a_token_has_numbers(uri: str) -> None:
    encoder = read_bert(uri)
    nothing = np.zeros((1, LENGTH), np.float32)
    np.testing.assert_allclose(numbers(adapted(encoder, differing=True), nothing).shape, encoder.compute(nothing).shape)
    assert np.isfinite(numbers(adapted(encoder, differing=True), nothing)).all()


def test_a_text_without_a_token_has_the_same_numbers_in_any_batch_where_the_first_token_tells(tmp_path: Path) -> None:
    encoder = read_bert(
        write_bert(tmp_path / "m", documents={"1_Pooling/config.json": {"pooling_mode_cls_token": True}})
    )
    tokens = Tokens(encoder.tokenizer, max_length=LENGTH).encode(["", "the view was great and poor"])
    module = adapted(encoder, differing=False)
    for compute in (encoder.compute, lambda rows: numbers(module, rows)):
        alone, together = compute(tokens[:1]), compute(tokens)
        np.testing.assert_array_equal(alone, together[:1])
        assert not alone.any()
        assert together[1].any()


def test_it_learns_what_a_weak_head_cannot_and_one_graph_answers(uri: str) -> None:
    dataset = rows(uri)
    frozen, tuned = (fit(dataset, spec(uri, head=WEAK, **more)) for more in ({}, {"fineTune": TUNED}))

    def sureness(content: bytes) -> float:
        raw = run_onnx(content, dataset.train.features)
        return float(raw[np.arange(len(raw)), dataset.train.values].mean()) - 0.5

    assert sureness(tuned.onnx) > 1.3 * sureness(frozen.onnx) > 0
    np.testing.assert_allclose(
        tuned.predict(dataset.test.features), run_onnx(tuned.onnx, dataset.test.features), atol=1e-5
    )
    assert (len(tuned.onnx), tuned.parameters) == (len(frozen.onnx), frozen.parameters), "it costs nothing to serve"
    assert tuned.notes[1].startswith("the encoder learned on for ")
    assert "epochs, by 512 numbers of rank 4 beside " in tuned.notes[1]
    # And what others read of the folder is as it was.
    assert fit(dataset, spec(uri, head=WEAK)).onnx == frozen.onnx


def test_the_same_seed_gives_the_same_bytes(uri: str) -> None:
    dataset, asked = rows(uri), spec(uri, fineTune={**TUNED, "epochs": 2})
    assert fit(dataset, asked).onnx == fit(dataset, asked).onnx
    assert fit(dataset, asked).onnx != fit(dataset, asked, seed=1).onnx


def test_it_learns_on_in_mixed_precision_and_says_so(uri: str) -> None:
    dataset, short = rows(uri), {**TUNED, "epochs": 2}
    plain, mixed = (
        fit(dataset, spec(uri, fineTune={**short, "precision": precision})) for precision in ("Float32", "BFloat16")
    )
    assert mixed.onnx != plain.onnx
    assert mixed.notes[1].endswith(" weights, in steps that were computed in BFloat16")
    assert plain.notes[1].endswith(" weights")
    np.testing.assert_allclose(
        mixed.predict(dataset.test.features), run_onnx(mixed.onnx, dataset.test.features), atol=1e-5
    )


def test_numbers_are_learned_and_rows_without_validation_do(uri: str) -> None:
    dataset = rows(uri, numbers=True)
    dataset = replace(dataset, validation=dataset.validation.take(slice(0)))
    fitted = fit(dataset, spec(uri, head={"svm": {}}, fineTune={**TUNED, "epochs": 2}))
    assert run_onnx(fitted.onnx, dataset.test.features).shape == (len(dataset.test.values), 1)


def test_each_training_of_a_key_goes_on_with_an_encoder_of_its_own(uri: str) -> None:
    """A fold is tested on rows that the encoder of the stored model may have learned."""
    dataset, settings = rows(uri), Model.model_validate(spec(uri, fineTune={**TUNED, "epochs": 2}))
    said: list[str] = []
    kept = Kept()
    checkpointing = Checkpointing(
        store=kept,
        key="k",
        data="d",
        every_seconds=0,
        clock=lambda: 0.0,
        interruption=Interruption(KeyboardInterrupt),
        say=said.append,
    )
    for own in (checkpointing, checkpointing.of("fold-1")):
        family_named("encoder").fit(
            settings.chosen, dataset, Hyperparameters(), observe=lambda _: None, checkpointing=own
        )
    assert list(kept.files) == ["train-encoder", "fold-1-encoder"]
    assert said == []


def test_a_rate_that_is_too_large_is_named(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(*_: Any, **__: Any) -> int:
        raise StageError("Diverged", "lower spec.training.optimizer", field="spec.training.optimizer")

    monkeypatch.setattr(lora, "train_module", diverging)
    with pytest.raises(StageError, match=r"set spec\.model\.encoder\.fineTune\.learningRate to less") as caught:
        fit(rows(uri), spec(uri, fineTune={}))
    assert (caught.value.reason, caught.value.field) == ("Diverged", "spec.model.encoder.fineTune.learningRate")
