"""A model in one message, whatever its author spread over files and functions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from onnx import checker, external_data_helper, inliner

from modelservice.artifact.files import MAX_MODEL_BYTES
from modelservice.packing.errors import PackError, short

OLDEST_OPSET: Final = 9
"""Of the operators that are added to a graph, these are the first forms that are used."""


def self_contained(path: Path, model: Any) -> Any:
    """The model with its weights inside, without functions, and without domains of which it uses nothing.

    Args:
        path: of its file; weights may lie in others of its folder.
        model: what was read of it.

    Raises:
        PackError: its operators are too old, or its weights too large, or elsewhere.
    """
    opset = next((used.version for used in model.opset_import if used.domain in {"", "ai.onnx"}), OLDEST_OPSET)
    if opset < OLDEST_OPSET:
        raise PackError(f"{path} has opset {opset}: convert it to {OLDEST_OPSET} or later (onnx.version_converter)")
    total = model.ByteSize()
    for tensor in _tensors(model.graph):
        if external_data_helper.uses_external_data(tensor):
            total += _load_beside(path, tensor, left=MAX_MODEL_BYTES - total)
    if model.functions:
        model = inliner.inline_local_functions(model)
    used = set(_domains(model.graph))
    kept = [one for one in model.opset_import if one.domain in used | {"", "ai.onnx"}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def _load_beside(path: Path, tensor: Any, *, left: int) -> int:
    """Take in weights that lie in a file of the same folder, and give their size."""
    told = external_data_helper.ExternalDataInfo(tensor)
    folder = path.resolve().parent
    file = (folder / told.location).resolve()
    if not told.location or not file.is_relative_to(folder) or not file.is_file():
        raise PackError(
            f"{path} keeps weights in {told.location[:200]!r}, which is no file of its folder: put it beside, or save"
            " the model as one file"
        )
    if (size := told.length or file.stat().st_size) > left:
        raise PackError(f"{path} and the weights beside it have more than {MAX_MODEL_BYTES} bytes: quantize it first")
    try:
        external_data_helper.load_external_data_for_tensor(tensor, str(folder))
    except (ValueError, OSError, checker.ValidationError) as error:
        raise PackError(f"{path}: weights in {told.location[:200]!r} cannot be read: {short(error)}") from None
    tensor.ClearField("data_location")
    del tensor.external_data[:]
    return int(size)


def _tensors(graph: Any) -> Iterator[Any]:
    """All stored tensors, those of graphs within graphs too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else []))
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _tensors(inner)


def _domains(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield node.domain
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _domains(inner)
