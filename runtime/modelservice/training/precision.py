"""``spec.training.precision``: mixed precision, by torch's autocast.

Products of matrices and convolutions, forward and back, are computed in bfloat16 of copies of float32 weights; sums
over many numbers, such as norms and the loss, and the steps of the optimizer are float32. bfloat16 has the range of
float32, so gradients need no scaling, and nothing has to be kept between steps: a checkpoint is that of a float32
training.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from modelservice.contract.failure import StageError
from modelservice.contract.precision import Precision


def computed_in(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """For the forward pass of a step: gradients follow the numbers that it was computed in."""
    if precision is Precision.FLOAT32:
        return nullcontext()
    return torch.autocast(device_type=device.type, dtype=torch.bfloat16)


def check_precision(precision: Precision, device: torch.device, *, field: str = "spec.training.precision") -> None:
    """Refuse a GPU that would only imitate bfloat16, slower than it computes in float32; a CPU may.

    Args:
        precision: what is set.
        device: what is computed on.
        field: that says so, for messages.

    Raises:
        StageError: it is a GPU without such arithmetic.
    """
    if precision is Precision.FLOAT32 or device.type != "cuda":
        return
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        message = (
            f"{torch.cuda.get_device_name(device)} does not compute in bfloat16: set {field} to Float32, or choose a"
            " GPU of the Ampere generation or later by spec.training.nodeSelector"
        )
        raise StageError("PrecisionUnsupported", message, field=field)
