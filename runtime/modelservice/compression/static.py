"""Layers that compute with 8-bit integers whose scales are constants, measured on training rows before.

Nothing is measured while a request is computed, and a row gets the same bits in any batch. The graph holds operators
of integers (QLinearConv, QLinearMatMul), not pairs of QuantizeLinear and DequantizeLinear around those of floats:
onnxruntime would make the former of the latter when it loads the model, but then it would not turn weights back that
are only stored as integers (see ``integers``), and one session option serves all models.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelservice.compression.dynamic import has_members
from modelservice.compression.integers import by_way_of_a_file
from modelservice.contract.manifest import INPUT_NAME
from modelservice.modalities.base import Features

if TYPE_CHECKING:
    import onnx

_ROWS: Final = 512
"""Training rows that tell the ranges, at most; evenly chosen."""
_BATCH: Final = 64


def quantised_statically(graph: "onnx.ModelProto", features: Features) -> "onnx.ModelProto":
    """The graph with layers of integers.

    Args:
        graph: with float weights.
        features: training rows, float32 [rows, *shape].
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # noqa: PLC0415

    return by_way_of_a_file(
        graph,
        partial(
            quantize_static,
            calibration_data_reader=_rows(features),
            quant_format=QuantFormat.QOperator,
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "MaxPool", "Relu", "Flatten"],
            per_channel=not has_members(graph),
            reduce_range=True,  # as in ``dynamic``
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        ),
    )


def _rows(features: Features) -> Any:
    from onnxruntime.quantization import CalibrationDataReader  # noqa: PLC0415

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        """Batches of rows, then None."""

        def __init__(self) -> None:
            self._batches = _batches(features)

        def get_next(self) -> dict[str, Features] | None:
            return next(self._batches, None)

    return Reader()


def _batches(features: Features) -> Iterator[dict[str, Features]]:
    chosen = features[np.linspace(0, len(features) - 1, min(_ROWS, len(features))).astype(np.int64)]
    for start in range(0, len(chosen), _BATCH):
        yield {INPUT_NAME: chosen[start : start + _BATCH]}
