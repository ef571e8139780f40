"""What each kind of source gives: a model in the form in which all models are served."""

from dataclasses import dataclass

from modelservice.contract.documents import Document
from modelservice.contract.signature import Output
from modelservice.tasks.base import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Readied:
    """A model in the form in which all models are served.

    Attributes:
        family: of it, as the manifest names it.
        modality: of its inputs.
        task: of its outputs.
        preprocessing: how requests become rows.
        outputs: as the signature names them.
        onnx: ``model.onnx``.
        opset: of it.
        parameters: numbers that are stored in it.
        expected: what the file itself gives for the example, flat; None where nobody else computes it.
        weights: digest of the file of weights, where that is another one than the graph.
        notes: sentences on what was decided.
    """

    family: str
    modality: str
    task: str
    preprocessing: Document
    outputs: tuple[Output, ...]
    onnx: bytes
    opset: int
    parameters: int
    expected: Array | None = None
    weights: str | None = None
    notes: tuple[str, ...] = ()
