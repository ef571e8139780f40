"""``spec.training.augmentation``: rows that a step learns from instead of those that there are.

An ``Augment`` takes the rows of a step and gives as many others; everything random is drawn from the generator of the
training, so that the same seed gives the same rows. More than one are applied one after the other.
"""

from dataclasses import replace

import torch
from torch.nn import functional

from modelservice.contract.training import Augmentation
from modelservice.training.loop import Augment, Rows


def build_augments(
    settings: Augmentation | None, *, classes: int, codes: torch.Tensor | None = None
) -> tuple[Augment, ...]:
    """What is done to the rows of each step, in this order; nothing where nothing is asked for.

    Args:
        settings: what is asked for.
        classes: of the targets where these are codes, else 0.
        codes: which numbers of a row are codes and no measurements, bool [*shape]; None where none is.
    """
    found: list[Augment] = []
    if settings is not None and settings.mixup is not None:
        found.append(Mixup(settings.mixup.alpha, classes=classes))
    if settings is not None and settings.noise is not None:
        found.append(Noise(settings.noise.standard_deviation, codes=codes))
    return tuple(found)


class Mixup:
    """Each row becomes ``t x + (1 - t) x'`` with another row x' of the step, and its target likewise.

    t is drawn from Beta(alpha, alpha) for each row (Zhang et al., 2018). Where rows have weights, the other row is
    drawn in proportion to them, and the row keeps its own: so a row of weight 2 is two rows in both places.
    """

    def __init__(self, alpha: float, *, classes: int = 0) -> None:
        """Args: see ``Mixup`` of the contract; the number of classes of targets that are codes, else 0."""
        self._alpha = alpha
        self._classes = classes

    def __call__(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Draw shares and other rows."""
        from scipy.special import betaincinv  # noqa: PLC0415 - takes long to import

        count = len(rows.targets)
        # By the inverse of the distribution function, since torch draws from Beta without a generator only.
        uniform = torch.rand(count, generator=generator, dtype=torch.float64)
        share = torch.from_numpy(betaincinv(self._alpha, self._alpha, uniform.numpy())).to(rows.features)
        if rows.weights is None:
            others = torch.randperm(count, generator=generator)
        else:
            others = torch.multinomial(rows.weights.cpu(), count, replacement=True, generator=generator)
        others = others.to(rows.features.device)
        targets = rows.targets
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, self._classes).to(rows.features)
        return replace(
            rows,
            features=_between(rows.features, rows.features[others], share),
            targets=_between(targets, targets[others], share),
        )


class Noise:
    """Normal noise of one deviation on each number that is a measurement."""

    def __init__(self, deviation: float, *, codes: torch.Tensor | None = None) -> None:
        """Args: the deviation, and which numbers of a row stay as they are (bool [*shape])."""
        self._deviation = deviation
        self._codes = codes

    def __call__(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Draw the noise."""
        noise = torch.randn(rows.features.shape, generator=generator).to(rows.features) * self._deviation
        if self._codes is not None:
            noise = noise.masked_fill(self._codes, 0.0)
        return replace(rows, features=rows.features + noise)


def _between(one: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """``share`` [rows] of the one, and the rest of the other, both [rows, ...]."""
    share = share.reshape(-1, *(1 for _ in one.shape[1:]))
    return share * one + (1 - share) * other
