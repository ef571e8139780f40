"""``parallelism: Sharded``: each process holds a part of all weights, gradients and moments (FSDP, Zhao et al., 2023).

Layers are gathered when they are computed, by torch's ``fully_shard``; weights and what is kept of them are DTensors.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from modelservice.training.data_parallel import DataParallel, lost_peers
from modelservice.training.penalties import penalty


class FullySharded(DataParallel):
    """All processes of torch's default group, each with a part of the weights."""

    holds_all: ClassVar[bool] = False

    def __init__(self, device: str) -> None:
        """Args: cpu or cuda."""
        super().__init__()
        self._mesh: DeviceMesh = init_device_mesh(device, (self.size,))

    def prepare(self, module: nn.Module, *, device: str, rows_axis: int = 0) -> None:
        """See ``Ranks``; weights are shared out, and put on the device, layer by layer."""
        del device  # that of the mesh
        self.draw_whole_masks(module, rows_axis)
        layers = [one for one in module.modules() if one is not module and any(True for _ in one.parameters(False))]
        for layer in (*reversed(layers), module):  # those within others first
            fully_shard(layer, mesh=self._mesh, reshard_after_forward=True)
            assert isinstance(layer, FSDPModule)  # noqa: S101 - that is what it makes of a module
            layer.set_gradient_divide_factor(1.0)  # the losses are shares of one, so their gradients are summed up
            layer.set_force_sum_reduction_for_comms(True)  # gloo can add, but neither average nor scale

    def gradients(
        self, losses: Iterable[torch.Tensor], parameters: Sequence[torch.Tensor], told: torch.Tensor
    ) -> list[torch.Tensor]:
        """See ``Ranks``; ``fully_shard`` adds up while it goes back through the layers."""
        with lost_peers():
            for loss in losses:
                loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        gradients = []
        for parameter in parameters:
            gradient, parameter.grad = parameter.grad, None
            assert gradient is not None  # noqa: S101 - each weight has a part in the loss
            gradients.append(gradient)
        self.add_up(told)
        return gradients

    def penalty(self, weights: list[nn.Parameter], *, l1: float, l2: float) -> torch.Tensor:
        """See ``Ranks``; each process adds that of its part."""
        return penalty([_local(weight) for weight in weights], l1=l1, l2=l2)

    def norm(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """See ``Ranks``."""
        squares = torch.stack([_local(one).square().sum() for one in gradients]).sum()
        self.add_up(squares)
        return squares.sqrt()

    def whole(self, tensor: torch.Tensor) -> torch.Tensor:
        """See ``Ranks``."""
        if not isinstance(tensor, DTensor):
            return tensor
        with lost_peers():
            return tensor.full_tensor()

    def _take(self, tensor: torch.Tensor, given: torch.Tensor) -> None:
        if isinstance(tensor, DTensor):
            given = distribute_tensor(given, self._mesh, tensor.placements, src_data_rank=None)
        tensor.copy_(given)


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
