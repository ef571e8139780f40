"""What frozen encoders make of the rows of a set, once: texts by the product's own, images by a network of a package.

``model.encoder`` reads texts only, so the encoder of images is run by torch here; heads are the product's for both.
"""

import sys
from importlib import import_module
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tests.bench.fewshot.places import EMBEDDINGS, IMAGE_ENCODER, PACKAGES, TEXT_ENCODER
from tests.bench.fewshot.sets import Rows, Set
from torch.nn import functional

from modelservice.contract.digests import sha256
from modelservice.families.pretrained import read_pretrained
from modelservice.modalities.tokens import Tokens

TOKENS: Final = 128
"""Of a text that are read, by the encoder and by networks from scratch."""
_SIDE: Final = 128
"""Of an image as its encoder sees it."""
_BATCH: Final = 32
_SCALE: Final = 255.0

Numbers = NDArray[np.float32]


def embedded(one: Set, rows: Rows) -> Numbers:
    """Float32 [rows, width], in the order of the rows; kept in a file, which is that of the same rows and encoder."""
    weights = PACKAGES / (f"{TEXT_ENCODER}/model.safetensors" if one.texts else IMAGE_ENCODER)
    inputs = "\0".join(rows.inputs).encode() if one.texts else rows.inputs.tobytes()
    key = sha256(f"{TOKENS} {_SIDE} {sha256(weights.read_bytes())} {sha256(inputs)}".encode()).removeprefix("sha256:")
    place = EMBEDDINGS / f"{one.name}-{key[:16]}.npy"
    if not place.exists():
        found = _of_texts(rows.inputs) if one.texts else _of_images(rows.inputs)
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = place.with_suffix(".waiting")
        with scratch.open("wb") as file:
            np.save(file, found)
        scratch.replace(place)
    return np.asarray(np.load(place, allow_pickle=False))


def _of_texts(texts: list[str]) -> Numbers:
    encoder = read_pretrained((PACKAGES / TEXT_ENCODER).as_uri(), None)
    return encoder.embed(Tokens(encoder.tokenizer, max_length=TOKENS).encode(texts))


def _of_images(images: NDArray[np.uint8]) -> Numbers:
    """The means over all places of what the last convolution says."""
    network = _image_network()
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            some = torch.from_numpy(images[start : start + _BATCH]).float().expand(-1, 3, -1, -1)
            larger = functional.interpolate(some, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
            found.append(network.extract_features(larger / _SCALE * 2 - 1).mean(dim=(2, 3)).numpy())
    return np.concatenate(found)


def _image_network() -> Any:
    """EfficientNet-Lite0; the code is that of its package, the weights are read as data."""
    sys.path.append(str(PACKAGES))
    try:
        package = import_module("efficientnet_lite_pytorch")
    finally:
        sys.path.remove(str(PACKAGES))
    network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(PACKAGES / IMAGE_ENCODER, weights_only=True))
    return network.eval()
