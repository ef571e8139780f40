"""The processes that train one model together: which share of a step each has, and how they agree.

All hold the same rows in the same order, draw the same random numbers, and do the same steps: each computes the
gradients of its share of every batch, and the sum over all shares is the gradient of the batch. So what they come to is
what one process comes to, but for the order of sums. A process that trains alone is a group of one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import nn

from modelservice.training.penalties import penalty


class Ranks:
    """A group of one: nothing is shared out, and nobody is asked. Subclasses are groups of several.

    Attributes:
        rank: of this process, from 0; rank 0 writes, reports and shows progress.
        size: processes in the group.
    """

    holds_all: ClassVar[bool] = True
    """Whether each process has all weights: an ensemble, whose members each keep their own best, needs that."""

    rank = 0
    size = 1

    def prepare(self, module: nn.Module, *, device: str, rows_axis: int = 0) -> None:
        """Put a module on the device, and make it one that all train.

        ``rows_axis`` is where its layers have the rows of a batch.
        """
        del rows_axis
        module.to(device)

    def share(self, rows: int) -> tuple[slice, float]:
        """The places in a batch of so many rows that are this process's own, and their share of all.

        Of fewer rows than processes some have none: they compute one that counts for nothing, as all compute alike.
        """
        return slice(0, rows), 1.0

    def gradients(
        self,
        losses: Iterable[torch.Tensor],
        parameters: Sequence[torch.Tensor],
        told: torch.Tensor,  # noqa: ARG002 - of groups of several
    ) -> list[torch.Tensor]:
        """Gradients of the sum of scalar losses over all processes.

        Args:
            losses: of this process's own rows; each is let go before the next is computed.
            parameters: what they are gradients of.
            told: what else is added up over all processes, in place, once the losses are computed.
        """
        gradients: list[torch.Tensor] = []
        for loss in losses:
            found = list(torch.autograd.grad(loss, parameters))
            gradients = [one + other for one, other in zip(gradients, found, strict=True)] if gradients else found
        return gradients

    def penalty(self, weights: list[nn.Parameter], *, l1: float, l2: float) -> torch.Tensor:
        """What this process adds to its loss, so that all together add the penalty once."""
        return penalty(weights, l1=l1, l2=l2)

    def norm(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """The Euclidean length over all gradients."""
        return nn.utils.get_total_norm(gradients)

    def outputs(self, module: nn.Module, features: torch.Tensor, *, slice_rows: int) -> torch.Tensor:
        """Float32 [rows, logits] on the CPU, without dropout; all processes get all of it."""
        with torch.inference_mode():
            return in_slices(module, features, slice_rows)

    def add_up(self, *tensors: torch.Tensor) -> None:
        """Replace tensors of one device by their sums over all processes."""

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each flag is raised in any process; the same answer for all."""
        return flags

    def as_first(self, *numbers: float) -> tuple[float, ...]:
        """The numbers that rank 0 has."""
        return numbers

    def whole(self, tensor: torch.Tensor) -> torch.Tensor:
        """All of a tensor of which each process may hold a part."""
        return tensor

    def fill(self, tensor: torch.Tensor, array: "NDArray[Any] | None") -> None:
        """Fill a tensor of a training, in all processes, with what rank 0 gives; all others give None."""
        assert array is not None  # noqa: S101 - this is rank 0
        tensor.copy_(tensor_of(array))

    def state(self, module: nn.Module) -> Mapping[str, torch.Tensor]:
        """All weights of a module by name, on the CPU."""
        return {name: self.whole(tensor).cpu() for name, tensor in module.state_dict().items()}

    def barrier(self) -> None:
        """Wait until all are here."""


ALONE = Ranks()
"""A group of one."""
_joined: list[Ranks] = [ALONE]
"""Of this process, the innermost last; torch, too, has one default group for each process."""


def current() -> Ranks:
    """The group that this process trains in."""
    return _joined[-1]


@contextmanager
def trains_in(ranks: Ranks) -> Iterator[Ranks]:
    """Make a group the current one while inside."""
    _joined.append(ranks)
    try:
        yield ranks
    finally:
        _joined.pop()


def in_slices(module: nn.Module, features: torch.Tensor, slice_rows: int) -> torch.Tensor:
    """What a module that is not learning gives, on the CPU, computed in slices of bounded memory."""
    module.eval()
    return torch.cat([module(part).cpu() for part in torch.split(features, slice_rows)])


def tensor_of(array: "NDArray[Any]") -> torch.Tensor:
    """A copy, since torch takes no array that cannot be written."""
    return torch.from_numpy(array.copy())
