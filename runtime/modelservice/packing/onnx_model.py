"""An ONNX file as a model that is served: which inputs are columns, and what its numbers mean."""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from modelservice.contract.base import first_problem
from modelservice.contract.documents import Document
from modelservice.contract.signature import Output
from modelservice.modalities.table.encoder import NAME as TABLE
from modelservice.modalities.table.kinds.plain import PlainPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.modalities.tensor.encoder import NAME as TENSOR
from modelservice.modalities.tensor.preprocessing import TensorInput, TensorPreprocessing
from modelservice.packing.canonical import Ending, canonical
from modelservice.packing.errors import PackError
from modelservice.packing.onnx_source import OnnxSource, SourceInput, SourceOutput, read_onnx
from modelservice.packing.readied import Readied
from modelservice.packing.settings import PackedColumn, PackSettings
from modelservice.tasks.base import Array
from modelservice.tasks.binary import BINARY
from modelservice.tasks.multiclass import MULTICLASS
from modelservice.tasks.regression import REGRESSION
from modelservice.tasks.tensors import DATATYPE, TENSORS

FAMILY: Final = "onnx"
_TWO: Final = 2


class _Meaning(NamedTuple):
    """What the chosen outputs are to clients, and what makes that of them."""

    task: str
    outputs: tuple[Output, ...]
    ending: Ending


def ready_onnx(path: Path, settings: PackSettings) -> Readied:
    """Read a file and decide how it is served; see ``pack``."""
    source = read_onnx(path, settings)
    chosen = _chosen(source, settings)
    meaning = _meaning(chosen, settings)
    modality, preprocessing = _inputs(source, settings)
    left = [(name, f"its values are {kind}") for name, kind in source.others.items()]
    left += [(one.name, _why_not(one, settings)) for one in source.outputs if one not in chosen]
    rounded = [one.name for one in source.inputs if one.datatype == "FP64"]
    return Readied(
        family=FAMILY,
        modality=modality,
        task=meaning.task,
        preprocessing=preprocessing,
        outputs=meaning.outputs,
        onnx=canonical(source, chosen, meaning.ending),
        opset=source.opset,
        parameters=source.parameters,
        expected=_ended(np.concatenate([one.values for one in chosen]), meaning.ending),
        notes=(
            *(f"output {name} is not served: {why}" for name, why in left),
            *(f"input {name} is FP64, and is given numbers of float32" for name in rounded),
        ),
    )


def _inputs(source: OnnxSource, settings: PackSettings) -> tuple[str, Document]:
    """Columns of a table where they are named, or where each input is a number of its own; else tensors."""
    columns = settings.columns
    if columns is None and len(source.inputs) > 1 and all(one.is_float and one.size == 1 for one in source.inputs):
        columns = tuple(PackedColumn(name=one.name, example=float(one.example.item())) for one in source.inputs)
    if columns is not None:
        datatypes = (one.datatype for one in source.inputs for _ in range(one.size))
        plain = tuple(
            PlainPreprocessing(name=one.name, example=one.example, datatype="FP16" if datatype == "FP16" else "FP32")
            for one, datatype in zip(columns, datatypes, strict=True)
        )
        return TABLE, TablePreprocessing(columns=plain)
    tensors = (
        TensorInput(name=one.name, datatype=one.datatype, shape=one.shape, example=_stored(one))
        for one in source.inputs
    )
    try:
        return TENSOR, TensorPreprocessing(tensors=tuple(tensors))
    except ValidationError as error:
        raise PackError(first_problem(error)) from None


def _stored(one: SourceInput) -> tuple[float, ...] | None:
    return tuple(one.example.reshape(-1).tolist()) if one.example.any() else None


def _chosen(source: OnnxSource, settings: PackSettings) -> list[SourceOutput]:
    """The outputs that are served: those that were named, or all; of classes the one that fits their number."""
    known = {one.name: one for one in source.outputs}
    shown = ", ".join((*known, *(f"{name} ({kind})" for name, kind in source.others.items())))
    if not known:
        raise PackError(f"no output of the model is a tensor of floats, which alone is served: it has {shown}")
    for name in settings.outputs or ():
        if name not in known:
            raise PackError(f"outputs: {name!r} is no output of floats of this model, which has {shown}")
    chosen = [known[name] for name in settings.outputs or known]
    if settings.labels is None:
        return chosen
    count = len(settings.labels)
    sizes = {count, 1} if count == _TWO else {count}
    fitting = [one for one in chosen if one.size in sizes]
    if len(fitting) == 1:
        return fitting
    found = ", ".join(f"{one.name} of {one.size}" for one in chosen)
    remedy = "name one with outputs" if fitting else "name as many labels as it has numbers"
    raise PackError(f"labels names {count} classes, and {len(fitting)} outputs fit these ({found}): {remedy}")


def _why_not(left: SourceOutput, settings: PackSettings) -> str:
    """Why an output of floats was not chosen: others were named, or labels are of one output."""
    if settings.outputs is not None and left.name not in settings.outputs:
        return "it was not named"
    return f"it has a shape that labels do not fit, {list(left.shape)} of a row: leave labels out, and outputs names it"


def _meaning(chosen: list[SourceOutput], settings: PackSettings) -> _Meaning:
    labels = settings.labels
    if labels is not None:
        task = BINARY if len(labels) == _TWO else MULTICLASS
        ending = Ending.SOFTMAX if settings.logits else Ending.AS_IT_IS
        if chosen[0].size == 1:
            ending = Ending.SIGMOID if settings.logits else Ending.BOTH_OF_TWO
        return _Meaning(task.name, task.outputs(labels), ending)
    if len(chosen) == 1 and chosen[0].size == 1:
        return _Meaning(REGRESSION.name, REGRESSION.outputs(()), Ending.AS_IT_IS)
    outputs = tuple(Output(name=one.name, datatype=DATATYPE, shape=one.shape) for one in chosen)
    return _Meaning(TENSORS.name, outputs, Ending.AS_IT_IS)


def _ended(values: NDArray[np.float64], ending: Ending) -> Array:
    """What the graph makes of the numbers of the file."""
    match ending:
        case Ending.SOFTMAX:
            powers = np.exp(values - values.max())
            values = powers / powers.sum()
        case Ending.SIGMOID | Ending.BOTH_OF_TWO:
            second = 1 / (1 + np.exp(-values)) if ending is Ending.SIGMOID else values
            values = np.concatenate([1 - second, second])
        case Ending.AS_IT_IS:
            pass
    return values.astype(np.float32)
