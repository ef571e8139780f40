"""What frozen encoders make of the rows of a set, once, as ``model.encoder`` does it.

The encoder of images is a network of a package, whose weights are read as data; it is exported once to a folder as
people have one: ``model.onnx`` beside ``preprocessor_config.json``.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tests.bench.fewshot.places import EMBEDDINGS, EXPORTED, IMAGE_ENCODER, PACKAGES, TEXT_ENCODER
from tests.bench.fewshot.sets import Rows, Set

from modelservice.contract.data import ColumnEncoder
from modelservice.contract.digests import sha256
from modelservice.families.pretrained import encoder_of_columns, read_pretrained
from modelservice.modalities.image.preprocessing import ImagePreprocessing
from modelservice.modalities.tokens import Tokens

TOKENS: Final = 128
"""Of a text that are read, by the encoder and by networks from scratch."""
_SIDE: Final = 128
"""Of an image as its encoder sees it."""
_STEPS: Final = {
    "do_resize": True,
    "size": {"height": _SIDE, "width": _SIDE},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
_NETWORK: Final = "model.onnx"
READS_IMAGES: Final = sha256(json.dumps([IMAGE_ENCODER, _STEPS]).encode())
"""Stands for what reads images, and how; stored beside what was said after it."""

Numbers = NDArray[np.float32]


def embedded(one: Set, rows: Rows, *, tokens: int = TOKENS) -> Numbers:
    """Float32 [rows, width], in the order of the rows; kept in a file, which is that of the same rows and encoder.

    Of texts, so many tokens are read.
    """
    weights = PACKAGES / (f"{TEXT_ENCODER}/model.safetensors" if one.texts else IMAGE_ENCODER)
    inputs = "\0".join(rows.inputs).encode() if one.texts else rows.inputs.tobytes()
    read = tokens if one.texts else READS_IMAGES
    key = sha256(f"{read} {sha256(weights.read_bytes())} {sha256(inputs)}".encode()).removeprefix("sha256:")
    place = EMBEDDINGS / f"{one.name}-{key[:16]}.npy"
    if not place.exists():
        found = _of_texts(rows.inputs, tokens) if one.texts else _of_images(rows.inputs)
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = place.with_suffix(".waiting")
        with scratch.open("wb") as file:
            np.save(file, found)
        scratch.replace(place)
    return np.asarray(np.load(place, allow_pickle=False))


def _of_texts(texts: list[str], tokens: int) -> Numbers:
    encoder = encoder_of_columns(ColumnEncoder(uri=(PACKAGES / TEXT_ENCODER).as_uri()))
    return encoder.embed(Tokens(encoder.tokenizer, max_length=tokens).encode(texts))


def _of_images(images: NDArray[np.uint8]) -> Numbers:
    channels, height, width = images.shape[1:]
    pixels = ImagePreprocessing(
        name="image",
        height=height,
        width=width,
        channels=channels,
        channel_axis=True,
        datatype="UINT8",
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )
    return read_pretrained(exported().as_uri(), None).reading(pixels).embed(images.astype(np.float32))


def exported() -> Path:
    """The folder of EfficientNet-Lite0, up to its last convolution, of whose maps ``model.encoder`` takes the means."""
    network = EXPORTED / _NETWORK
    if not network.exists():
        EXPORTED.mkdir(parents=True, exist_ok=True)
        (EXPORTED / "preprocessor_config.json").write_text(json.dumps(_STEPS))
        scratch = network.with_suffix(".waiting")
        torch.onnx.export(
            _Features(_image_network()).eval(),
            (torch.zeros(2, 3, _SIDE, _SIDE),),
            str(scratch),
            input_names=["pixel_values"],
            output_names=["last_hidden_state"],
            dynamic_axes={"pixel_values": {0: "rows"}, "last_hidden_state": {0: "rows"}},
            opset_version=17,
            dynamo=False,  # the other way needs a package that nothing else here does
        )
        scratch.replace(network)
    return EXPORTED


class _Features(torch.nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> Any:
        return self.network.extract_features(images)


def _image_network() -> Any:
    """The code is that of its package, the weights are read as data."""
    sys.path.append(str(PACKAGES))
    try:
        package = import_module("efficientnet_lite_pytorch")
    finally:
        sys.path.remove(str(PACKAGES))
    network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(PACKAGES / IMAGE_ENCODER, weights_only=True))
    return network.eval()
