"""A BERT of a few thousand weights, in the layout of Hugging Face."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from modelservice.families.bert import BertConfig
from modelservice.families.pretrained import read_pretrained
from modelservice.families.pretrained.texts import TextModel
from modelservice.modalities.tokens import Tokens, train_tokenizer

TEXTS = [f"the {thing} was {how}" for thing in ("soup", "room", "view") for how in ("fine", "awful", "great", "poor")]
CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}
SENTENCES = {
    "modules.json": [{"type": "sentence_transformers.models.Normalize"}],
    "1_Pooling/config.json": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
}


def write_bert(folder: Path, *, documents: dict[str, Any] = SENTENCES, **changes: Any) -> str:
    """The URI of a folder with random weights; what changes is of its configuration."""
    tokenizer = train_tokenizer(TEXTS * 2, vocabulary=300)
    config = {**CONFIG, "vocab_size": Tokens(tokenizer, max_length=8).vocabulary, **changes}
    generator = np.random.default_rng(0)
    known = BertConfig.model_validate(config)
    weights = {name: generator.normal(0, 0.3, shape).astype(np.float32) for name, shape in known.shapes().items()}
    weights["embeddings.token_type_embeddings.weight"] = generator.normal(0, 1, (2, known.hidden_size)).astype(
        np.float32
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in {"config.json": config, **documents}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(document))
    (folder / "tokenizer.json").write_text(tokenizer)
    save_file({f"bert.{name}": array for name, array in weights.items()}, folder / "model.safetensors")
    return f"file://{folder}"


def read_bert(uri: str) -> TextModel:
    """The model of a folder, which is one of texts."""
    model = read_pretrained(uri, None)
    assert isinstance(model, TextModel)
    return model
