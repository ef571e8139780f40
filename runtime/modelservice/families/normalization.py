"""Batch normalisation (Ioffe and Szegedy, 2015) of a network while it is trained.

Each channel that a convolution gives is standardised over the rows of a step, then scaled and shifted by two weights.
What is served standardises by fixed numbers; that is an affine map, as the convolution before it is, so one kernel does
both, and architectures, files and engines know nothing of it.
"""

import torch
from torch import nn

from modelservice.contract.failure import StageError
from modelservice.contract.training import Hyperparameters
from modelservice.families.modules import laid_out
from modelservice.training.ranks import Ranks

FIELD = "spec.model.cnn.normalization"


class ChannelNorm(nn.BatchNorm2d):
    """Channels of images, standardised."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None  # a count that only a mean over all steps would need

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Of a step with one value a channel by what was seen before: it has no spread."""
        if self.training and images.numel() == images.shape[1]:
            return nn.functional.batch_norm(
                images, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(images)


def check_normalizable(training: Hyperparameters, ranks: Ranks) -> None:
    """Refuse what normalisation makes another training of.

    Raises:
        StageError: several processes or batches share a step, or the training goes on from weights that were folded.
    """
    if ranks.size > 1:
        why = f"needs all rows of a step in one place, and {ranks.size} processes share them: take 1 worker and 1 GPU"
    elif training.gradient_accumulation > 1:
        field = f"training.gradientAccumulation is {training.gradient_accumulation}"
        why = f"needs all rows of a step at once, and {field}: take a larger batchSize without it"
    elif training.initialize is not None and training.initialize.artifact is not None:
        why = "begins anew, and training.initialize goes on from what was normalised before: leave initialize out"
    else:
        return
    raise StageError("NormalizationUnsuited", f"{FIELD} Batch {why}, or normalization to None", field=FIELD)


def normalized(module: nn.Sequential) -> nn.Sequential:
    """The network with a normalisation behind each convolution, whose weights are the same ones."""
    layers: list[nn.Module] = []
    for layer in module:
        layers += [layer, ChannelNorm(layer.out_channels)] if isinstance(layer, nn.Conv2d) else [layer]
    return nn.Sequential(*layers)


def folded(module: nn.Sequential) -> nn.Sequential:
    """The network without its normalisations, answering as it does when it no longer learns."""
    layers: list[nn.Module] = []
    for layer in module.eval():
        if isinstance(layer, ChannelNorm):
            convolution = layers.pop()
            assert isinstance(convolution, nn.Conv2d)  # noqa: S101 - as ``normalized`` put it
            layer = nn.utils.fuse_conv_bn_eval(convolution, layer)  # noqa: PLW2901 - both are one now
        layers.append(layer)
    return laid_out(nn.Sequential(*layers))
