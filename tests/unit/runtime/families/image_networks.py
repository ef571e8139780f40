"""A network of a few weights over images, as ONNX beside a preprocessor_config.json, and pictures to read with it."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE = 16
WIDTH = 6
STEPS: dict[str, Any] = {
    "do_resize": True,
    "size": {"height": SIDE, "width": SIDE},
    "resample": 2,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.25, 0.2],
    "image_processor_type": "ViTImageProcessor",
}


def network(
    *,
    opset: int = 17,
    outputs: tuple[str, ...] = ("last_hidden_state", "pooler_output"),
    shape: tuple[str | int | None, ...] = ("batch", 3, SIDE, SIDE),
    nodes: tuple[Any, ...] = (),
    imports: tuple[Any, ...] = (),
) -> onnx.ModelProto:
    """A convolution, its maps as parts, and a layer of what they are on the mean; ``nodes`` stand behind these."""
    generator = np.random.default_rng(0)
    channels = shape[1] if isinstance(shape[1], int) else 3
    weights = {
        "kernel": generator.normal(0, 0.4, (WIDTH, channels, 3, 3)),
        "scale": generator.normal(1, 0.1, WIDTH),
        "offset": generator.normal(0, 0.1, WIDTH),
        "mean": generator.normal(0, 0.1, WIDTH),
        "variance": generator.uniform(0.5, 1, WIDTH),
        "dense": generator.normal(0, 1, (WIDTH, WIDTH)),
    }
    made = [
        helper.make_node("Conv", ["pixel_values", "kernel"], ["maps"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["maps", "scale", "offset", "mean", "variance"], ["normal"]),
        helper.make_node("Relu", ["normal"], ["last_hidden_state"]),
        helper.make_node("GlobalAveragePool", ["last_hidden_state"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["pooler_output"]),
        *nodes,
    ]
    pooled: list[str | int | None] = ["batch", WIDTH]
    axes: dict[str, list[str | int | None]] = {"last_hidden_state": ["batch", WIDTH, None, None]}
    graph = helper.make_graph(
        made,
        "network",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, axes.get(one, pooled)) for one in outputs],
        [numpy_helper.from_array(one.astype(np.float32), name) for name, one in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *imports], ir_version=8)


def write_network(
    folder: Path,
    *,
    steps: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    file: str = "model.onnx",
    model: onnx.ModelProto | None = None,
    **changes: Any,
) -> str:
    """The URI of a folder; what ``changes`` is of the network, ``steps`` and ``without`` are of what comes before."""
    known = {**STEPS, **(steps or {})}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({name: value for name, value in known.items() if name not in without})
    )
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes((model or network(**changes)).SerializeToString())
    return f"file://{folder}"


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture of them."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def pictures(count: int = 48, *, side: int = 20, seed: int = 0) -> list[tuple[str, NDArray[np.uint8]]]:
    """Noise that is redder on the left, of one class, or bluer on the right, of the other: uint8 [side, side, 3]."""
    generator = np.random.default_rng(seed)
    found = []
    for place in range(count):
        pixels = generator.integers(0, 120, (side, side, 3), dtype=np.uint8)
        label = ("left", "right")[place % 2]
        half = slice(None, side // 2) if label == "left" else slice(side // 2, None)
        pixels[:, half, 0 if label == "left" else 2] += 110
        found.append((label, pixels))
    return found


def archive(images: list[tuple[str, NDArray[np.uint8]]]) -> bytes:
    """A .zip with a folder for each class."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for place, (label, pixels) in enumerate(images):
            file.writestr(f"{label}/{place}.png", png(pixels))
    return content.getvalue()
