"""``spec.training.augmentation``: rows that a step learns from instead of those that there are.

An ``Augment`` takes the rows of a batch and gives as many others; everything random is drawn from the generator of the
training, so that the same seed gives the same rows. More than one are applied one after the other.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch.nn import functional

from modelservice.contract.augmentation import Augmentation
from modelservice.contract.augmentation import Mirror as Sides
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
    found: list[Augment] = [] if settings is None else [*_of_images(settings)]
    if settings is not None and settings.word_dropout is not None:
        found.append(WordDropout(settings.word_dropout.share))
    if settings is not None and settings.mixup is not None:
        found.append(Mixup(settings.mixup.alpha, classes=classes))
    if settings is not None and settings.noise is not None:
        found.append(Noise(settings.noise.standard_deviation, codes=codes))
    return tuple(found)


def _of_images(settings: Augmentation) -> Iterator[Augment]:
    if settings.flip is not None:
        yield Mirror(settings.flip)
    if settings.rotate is not None:
        yield Rotate(settings.rotate.degrees)
    if settings.crop is not None:
        yield Crop(settings.crop.pixels)
    if settings.colour is not None:
        yield Colour(brightness=settings.colour.brightness, contrast=settings.colour.contrast)


class Mirror:
    """Every other image, float32 [rows, channels, height, width], is mirrored; of two directions each by its own."""

    def __init__(self, sides: Sides) -> None:
        self._axes = [axis for axis, one in ((3, Sides.HORIZONTAL), (2, Sides.VERTICAL)) if sides in {one, Sides.BOTH}]

    def __call__(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Draw which."""
        features = rows.features
        for axis in self._axes:
            drawn = torch.rand(len(features), generator=generator) < 0.5  # noqa: PLR2004 - one in two
            chosen = drawn.to(features.device)[:, None, None, None]
            features = torch.where(chosen, features.flip(axis), features)
        return replace(rows, features=features)


class Rotate:
    """Images, float32 [rows, channels, height, width], turned around their middle by an angle within some degrees.

    Values between pixels are interpolated; those from outside are 0, the mean of their channel.
    """

    def __init__(self, degrees: float) -> None:
        self._radians = math.radians(degrees)

    def __call__(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Draw the angles."""
        count, _, height, width = rows.features.shape
        angles = (torch.rand(count, generator=generator) * 2 - 1) * self._radians
        cos, sin, none = angles.cos(), angles.sin(), torch.zeros(count)
        # Places are from -1 to 1 along both sides, whatever their lengths: the ratio keeps the turn one of pixels.
        ratio = height / width
        first = torch.stack([cos, -sin * ratio, none], dim=1)
        second = torch.stack([sin / ratio, cos, none], dim=1)
        turns = torch.stack([first, second], dim=1).to(rows.features)
        grid = functional.affine_grid(turns, list(rows.features.shape), align_corners=False)
        return replace(rows, features=functional.grid_sample(rows.features, grid, align_corners=False))


class Crop:
    """Images, float32 [rows, channels, height, width], moved by so many pixels at most along each side.

    Pixels from outside are 0, the mean of their channel.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels

    def __call__(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Draw the ways."""
        features = rows.features
        count, _, height, width = features.shape
        padded = functional.pad(features, [self._pixels] * 4).permute(0, 2, 3, 1)
        starts = torch.randint(0, 2 * self._pixels + 1, (2, count), generator=generator).to(features.device)
        images = torch.arange(count, device=features.device)[:, None, None]
        vertical = (starts[0, :, None] + torch.arange(height, device=features.device))[:, :, None]
        horizontal = (starts[1, :, None] + torch.arange(width, device=features.device))[:, None, :]
        moved = padded[images, vertical, horizontal].permute(0, 3, 1, 2).contiguous()
        return replace(rows, features=moved)


class Colour:
    """Images, float32 [rows, channels, height, width], with another brightness and contrast, the same in all channels.

    Values are standardised, so a brightness of 1 is one standard deviation of the channel.
    """

    def __init__(self, *, brightness: float, contrast: float) -> None:
        self._brightness, self._contrast = brightness, contrast

    def __call__(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Draw both for each image."""
        drawn = torch.rand(2, len(rows.features), 1, 1, 1, generator=generator).to(rows.features) * 2 - 1
        lighter, stronger = drawn[0] * self._brightness, 1 + drawn[1] * self._contrast
        mean = rows.features.mean(dim=(2, 3), keepdim=True)
        return replace(rows, features=mean + (rows.features - mean) * stronger + lighter)


class WordDropout:
    """Texts, float32 [rows, length] of tokens and then zeros, without some of them (Iyyer et al., 2015)."""

    def __init__(self, share: float) -> None:
        self._share = share

    def __call__(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Draw which; where all would go, the one with the largest draw stays."""
        tokens = rows.features
        drawn = torch.rand(tokens.shape, generator=generator).to(tokens.device).masked_fill(tokens == 0, -1)
        stays = (drawn >= self._share) | (drawn == drawn.amax(dim=1, keepdim=True)) & (tokens != 0)
        # Those that stay come first, in their order.
        order = (~stays).to(torch.int8).argsort(dim=1, stable=True)
        return replace(rows, features=tokens.masked_fill(~stays, 0).gather(1, order))


class Mixup:
    """Each row becomes ``t x + (1 - t) x'`` with another row x' of the batch, and its target likewise.

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
