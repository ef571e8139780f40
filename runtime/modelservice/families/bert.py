"""A BERT (Devlin et al., 2019) as ONNX, written from its configuration and weights; no code of its folder is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from pydantic import BaseModel, ConfigDict, Field, model_validator

from modelservice.families import token_graph
from modelservice.families.onnx_graph import Graph

Weights = Mapping[str, NDArray[np.float32]]
_SHORTEST = 1e-12
"""The least length of a vector that is divided by it."""


class BertConfig(BaseModel):
    """What is used of ``config.json``; all else of it, such as dropout, has no effect on a model that only reads."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model_type: Literal["bert"]
    vocab_size: int = Field(ge=1, le=2**20)
    hidden_size: int = Field(ge=1, le=8192)
    num_hidden_layers: int = Field(ge=1, le=64)
    num_attention_heads: int = Field(ge=1, le=256)
    intermediate_size: int = Field(ge=1, le=32_768)
    max_position_embeddings: int = Field(ge=1, le=65_536)
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    layer_norm_eps: float = Field(default=1e-12, gt=0, le=1e-3)

    @model_validator(mode="after")
    def _is_data(self) -> "BertConfig":
        if "auto_map" in (self.model_extra or {}):
            raise ValueError("auto_map: it needs code of its own, and none is run")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size must be a multiple of num_attention_heads")
        return self

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array that ``add_bert`` takes, by the name that Hugging Face gives it."""
        width, inner = self.hidden_size, self.intermediate_size
        found: dict[str, tuple[int, ...]] = {
            "embeddings.word_embeddings.weight": (self.vocab_size, width),
            "embeddings.position_embeddings.weight": (self.max_position_embeddings, width),
        }
        dense = {
            **{f"attention.self.{part}": (width, width) for part in ("query", "key", "value")},
            "attention.output.dense": (width, width),
            "intermediate.dense": (inner, width),
            "output.dense": (width, inner),
        }
        norms = ["embeddings.LayerNorm"]
        for layer in range(self.num_hidden_layers):
            start = f"encoder.layer.{layer}."
            norms += [f"{start}attention.output.LayerNorm", f"{start}output.LayerNorm"]
            for part, shape in dense.items():
                found |= {f"{start}{part}.weight": shape, f"{start}{part}.bias": shape[:1]}
        return {**found, **{f"{norm}.{end}": (width,) for norm in norms for end in ("weight", "bias")}}


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """How the numbers of a text's tokens become those of the text."""

    first: bool
    """Those of the first token; else the mean of all. Where there is none, each is 0."""
    normalized: bool
    """Whether they are divided by their Euclidean length."""


def add_bert(graph: Graph, config: BertConfig, weights: Weights, pooling: Pooling, *, length: int) -> str:
    """Nodes from tokens, float32 [rows, length] (a number of the vocabulary plus 1, 0 behind the last), to numbers.

    Places behind the longest text of the rows are not computed.

    Returns:
        The name of float32 [rows, hidden_size].
    """
    tokens = _cut(graph, graph.add("Cast", graph.value, to=TensorProto.INT64), length)
    held, hidden = token_graph.add_mask(graph, tokens, name="bert")
    one, none = (
        graph.constant(f"bert.{name}", np.array(number, np.int64)) for name, number in (("next", 1), ("no", 0))
    )
    numbers = graph.add("Max", graph.add("Sub", tokens, one), none)
    words = graph.add("Gather", _stored(graph, weights, "embeddings.word_embeddings.weight"), numbers)
    states = graph.add("Add", words, _places(graph, weights, tokens, length))
    states = _norm(graph, states, weights, "embeddings.LayerNorm", config)
    for layer in range(config.num_hidden_layers):
        states = _layer(graph, states, hidden, weights, config, start=f"encoder.layer.{layer}.")
    if pooling.first:
        place = graph.constant("bert.one_place", np.array([1], np.int64))
        first, there = (graph.add("Squeeze", graph.add("Gather", of, none, axis=1), place) for of in (states, held))
        found = graph.add("Mul", first, there)
    else:
        found = token_graph.add_mean(graph, states, held, name="bert")
    return _normalized(graph, found) if pooling.normalized else found


def _cut(graph: Graph, tokens: str, length: int) -> str:
    """The tokens without the places behind the longest text."""
    axis = graph.constant("bert.cut", np.array([1], np.int64))
    first, all_rows = (
        graph.constant("bert.begin", np.array([0], np.int64)),
        graph.constant("bert.rows", np.array([0], np.int64)),
    )
    zero = graph.constant("bert.zero", np.array(0, np.int64))
    counted = graph.add("ReduceSum", graph.add("Cast", graph.add("Greater", tokens, zero), to=TensorProto.INT64), axis)
    longest = graph.add("ReduceMax", graph.add("Reshape", counted, _flat(graph)), all_rows, keepdims=1)
    least, most = (
        graph.constant(f"bert.{name}", np.array([at], np.int64)) for name, at in (("least_one", 1), ("most", length))
    )
    end = graph.add("Min", graph.add("Max", longest, least), most)
    return graph.add("Slice", tokens, first, end, axis)


def _flat(graph: Graph) -> str:
    return graph.constant("bert.flat", np.array([-1], np.int64))


def _places(graph: Graph, weights: Weights, tokens: str, length: int) -> str:
    """What is added to the words for their places, and for being of the first text: BERT can read two."""
    places = weights["embeddings.position_embeddings.weight"][:length]
    kinds = weights.get("embeddings.token_type_embeddings.weight")
    table = graph.constant("bert.places", places if kinds is None else places + kinds[:1])
    end = graph.add("Shape", tokens, start=1, end=2)
    begin = graph.constant("bert.place", np.array([0], np.int64))
    return graph.add("Slice", table, begin, end, graph.constant("bert.place_axis", np.array([0], np.int64)))


def _layer(graph: Graph, states: str, hidden: str, weights: Weights, config: BertConfig, *, start: str) -> str:
    parts = [f"{start}attention.self.{part}" for part in ("query", "key", "value")]
    weight, bias = (np.concatenate([weights[f"{part}.{end}"] for part in parts]) for end in ("weight", "bias"))
    heads = config.num_attention_heads
    seen = token_graph.add_heads(graph, states, weight, bias, hidden, heads=heads, name=start)
    joined = token_graph.add_dense(graph, seen, weights, f"{start}attention.output.dense", name="bert")
    states = _norm(graph, graph.add("Add", joined, states), weights, f"{start}attention.output.LayerNorm", config)
    inner = graph.add("Gelu", token_graph.add_dense(graph, states, weights, f"{start}intermediate.dense", name="bert"))
    given = token_graph.add_dense(graph, inner, weights, f"{start}output.dense", name="bert")
    return _norm(graph, graph.add("Add", given, states), weights, f"{start}output.LayerNorm", config)


def _norm(graph: Graph, states: str, weights: Weights, part: str, config: BertConfig) -> str:
    return token_graph.add_norm(graph, states, weights, part, name="bert", epsilon=config.layer_norm_eps)


def _normalized(graph: Graph, found: str) -> str:
    length = graph.add("ReduceL2", found, graph.constant("bert.across", np.array([1], np.int64)))
    return graph.add(
        "Div", found, graph.add("Max", length, graph.constant("bert.short", np.array(_SHORTEST, np.float32)))
    )


def _stored(graph: Graph, weights: Weights, name: str) -> str:
    return graph.constant(f"bert.{name}", weights[name])
