"""The memory of a GPU, where it does not suffice: whatever a training allocates there counts with its batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from modelservice.contract.failure import OUT_OF_MEMORY, StageError
from modelservice.contract.precision import Precision

_GIBIBYTE: Final = 2**30


@contextmanager
def within_device_memory(
    precision: Precision, *, rows: int, section: str = "spec.training", all_at_once: bool = False
) -> Iterator[None]:
    """Inside, what torch says of a GPU without room becomes a sentence that names what would take less.

    Args:
        precision: what steps are computed in.
        rows: of a batch.
        section: the part of the ModelService that has ``batchSize`` and ``precision``.
        all_at_once: whether the optimizer steps on all rows, so that there is no ``batchSize``.

    Raises:
        StageError: there is no room.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        field, smaller = f"{section}.batchSize", f"lower {section}.batchSize"
        if all_at_once:
            field = f"{section}.optimizer"
            smaller = f"take sgd in place of gradientDescent in {field}, which has a batchSize"
        further = f", set {section}.precision to BFloat16" if precision is Precision.FLOAT32 else ""
        message = (
            f"batches of {rows:,} rows do not fit into the {_size()} of the GPU, computed in {precision}: {smaller}"
            f"{further}, or choose a larger GPU by spec.training.nodeSelector"
        )
        raise StageError(OUT_OF_MEMORY, message, field=field) from None


def _size() -> str:
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return f"{properties.total_memory / _GIBIBYTE:.0f} GiB"
