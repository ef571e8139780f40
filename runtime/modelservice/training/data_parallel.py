"""``parallelism: Data``: each process holds the whole model, and the gradients of all are added up in each step.

Sums go through torch.distributed: gloo between CPUs, NCCL between GPUs.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import distributed, nn

from modelservice.training.peers import PeerLostError
from modelservice.training.penalties import penalty
from modelservice.training.ranks import Ranks, in_slices, tensor_of

_BROKEN: Final = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|timed out", re.IGNORECASE)
"""In what gloo and NCCL say of a peer that is gone."""
_NO_MEMORY: Final = "out of memory"
"""In what NCCL says where the GPU has no room for its buffers."""


class BatchDropout(nn.Dropout):
    """Dropout of this process's share of a batch: the mask is drawn for the whole batch, as one process draws it.

    All processes draw the same numbers from equal generators, so that their states stay equal, and those of a
    checkpoint are those of all.
    """

    def __init__(self, share: float, batch: "Batch", *, rows_axis: int) -> None:
        """Args: of activations that are dropped; which rows there are; in which axis of what comes in."""
        super().__init__(share)
        self._batch, self._axis = batch, rows_axis

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """See ``nn.Dropout``."""
        if not self.training or self.p == 0:
            return values
        shape = list(values.shape)
        shape[self._axis] = self._batch.rows
        own = self._batch.own
        # Drawn by what one process draws by: on a GPU its kernel has an order of its own.
        mask = nn.functional.dropout(values.new_ones(shape), self.p)
        return values * mask.narrow(self._axis, own.start, own.stop - own.start)


class Batch:
    """The batch that is computed: how many rows it has in all processes, and which are this one's own."""

    def __init__(self) -> None:
        self.rows, self.own = 1, slice(0, 1)


class DataParallel(Ranks):
    """All processes of torch's default group, each with all weights."""

    def __init__(self) -> None:
        """The default group was initialised."""
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._batch = Batch()

    def prepare(self, module: nn.Module, *, device: str, rows_axis: int = 0) -> None:
        """See ``Ranks``."""
        module.to(device)
        self.draw_whole_masks(module, rows_axis)

    def draw_whole_masks(self, module: nn.Module, rows_axis: int) -> None:
        """Let each layer of dropout be one of a share of a batch."""
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if type(child) is nn.Dropout:
                    setattr(parent, name, BatchDropout(child.p, self._batch, rows_axis=rows_axis))

    def share(self, rows: int) -> tuple[slice, float]:
        """See ``Ranks``."""
        begin, end = (rows * rank // self.size for rank in (self.rank, self.rank + 1))
        own, share = (slice(begin, end), (end - begin) / rows) if end > begin else (slice(0, 1), 0.0)
        self._batch.rows, self._batch.own = rows, own
        return own, share

    def gradients(
        self, losses: Iterable[torch.Tensor], parameters: Sequence[torch.Tensor], told: torch.Tensor
    ) -> list[torch.Tensor]:
        """See ``Ranks``."""
        found = super().gradients(losses, parameters, told)
        self.add_up(*found, told)
        return found

    def penalty(self, weights: list[nn.Parameter], *, l1: float, l2: float) -> torch.Tensor:
        """See ``Ranks``."""
        return penalty(weights, l1=l1, l2=l2) / self.size

    def outputs(self, module: nn.Module, features: torch.Tensor, *, slice_rows: int) -> torch.Tensor:
        """See ``Ranks``; each process computes as many rows, some of them twice where they cannot be divided."""
        rows = len(features)
        share = -(-rows // self.size)
        begin = min(self.rank * share, rows - share)
        with lost_peers(), torch.no_grad():  # what inference_mode makes, fully_shard could not use afterwards
            found = in_slices(module, features[begin : begin + share], slice_rows)
        outputs = found.new_zeros(rows, *found.shape[1:])
        own = slice(min(self.rank * share, rows), min((self.rank + 1) * share, rows))
        outputs[own] = found[own.start - begin : own.stop - begin]
        self.add_up(outputs)
        return outputs

    def add_up(self, *tensors: torch.Tensor) -> None:
        """See ``Ranks``; in one message."""
        together = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with lost_peers():
            distributed.all_reduce(together)
        with torch.no_grad():
            for tensor, found in zip(tensors, torch.split(together, [one.numel() for one in tensors]), strict=True):
                tensor.copy_(found.view_as(tensor))

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """See ``Ranks``."""
        raised = torch.tensor(flags, dtype=torch.int64)
        with lost_peers():
            distributed.all_reduce(raised, distributed.ReduceOp.MAX)
        return tuple(map(bool, raised.tolist()))

    def as_first(self, *numbers: float) -> tuple[float, ...]:
        """See ``Ranks``."""
        said = torch.tensor(numbers, dtype=torch.float64)
        self._from_first(said)
        return tuple(type(number)(found) for number, found in zip(numbers, said.tolist(), strict=True))

    def fill(self, tensor: torch.Tensor, array: NDArray[Any] | None) -> None:
        """See ``Ranks``."""
        given = torch.empty(tensor.shape, dtype=tensor.dtype) if array is None else tensor_of(array)
        given = given.to(tensor.device)
        self._from_first(given)
        self._take(tensor, given)

    def barrier(self) -> None:
        """See ``Ranks``."""
        self.any_of(False)

    def _take(self, tensor: torch.Tensor, given: torch.Tensor) -> None:
        tensor.copy_(given)

    def _from_first(self, tensor: torch.Tensor) -> None:
        with lost_peers():
            distributed.broadcast(tensor, 0)


@contextmanager
def lost_peers() -> Iterator[None]:
    """What torch says of a broken connection becomes ``PeerLostError``; each try has other words for it.

    Raises:
        PeerLostError: another process ended, or does not answer.
    """
    try:
        yield
    except RuntimeError as error:  # gloo's are of no class of their own
        said = str(error)
        if _NO_MEMORY not in said and (isinstance(error, distributed.DistError) or _BROKEN.search(said)):
            raise PeerLostError from error
        raise
