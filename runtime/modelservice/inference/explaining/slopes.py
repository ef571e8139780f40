"""What each pixel adds to a model's answer, by the model's own derivatives: integrated gradients, and SmoothGrad.

Integrated gradients go from a plain image, of the mean colour of training, straight to the explained one; what a pixel
adds is how far it goes, times how fast the answer changes with it, on average on the way. Together pixels add what the
answers for both differ by, up to the number of steps. SmoothGrad says how fast the answer changes with a pixel, on
average over copies of the image with noise.

Sources: M. Sundararajan et al., "Axiomatic attribution for deep networks" (2017), by the midpoint rule; D. Smilkov et
al., "SmoothGrad: removing noise by adding noise" (2017), with its noise of 15 % of the range of the image's values.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.tasks.base import Array

if TYPE_CHECKING:
    from numpy.random import Generator  # a server's start would pay for it

INTEGRATED: Final = "IntegratedGradients"
SMOOTH: Final = "SmoothGrad"
NOISE: Final = 0.15
ENDS: Final = 2
"""Images of each that come before its steps: the plain one, and the explained one."""

Images = NDArray[np.float32]
Slopes = NDArray[np.float64]


class Method(NamedTuple):
    """A way to ask, and what follows.

    Attributes:
        images: plain image, explained one, steps and a random generator to the images [steps, h, w, c] of the steps.
        contributions: features of the plain and of the explained image, and mean slopes, [c, h, w], to [h, w].
    """

    images: "Callable[[Images, Images, int, Generator], Images]"
    contributions: Callable[[Slopes, Slopes, Slopes], Slopes]


def _on_the_way(plain: Images, image: Images, steps: int, _random: "Generator") -> Images:
    shares = ((np.arange(steps) + 0.5) / steps).astype(np.float32)[:, None, None, None]
    return np.asarray(plain + shares * (image - plain), dtype=np.float32)


def _with_noise(_plain: Images, image: Images, steps: int, random: "Generator") -> Images:
    width = NOISE * float(np.ptp(image))
    return np.asarray(image + random.normal(0.0, width, (steps, *image.shape)), dtype=np.float32)


METHODS: Final[dict[str, Method]] = {
    INTEGRATED: Method(_on_the_way, lambda plain, image, slopes: ((image - plain) * slopes).sum(axis=0)),
    SMOOTH: Method(_with_noise, lambda _plain, _image, slopes: slopes.sum(axis=0)),
}
"""By name; of both the slopes are by standardised values."""


def asked(method: str, plain: Images, images: Images, *, steps: int, seed: int) -> Images:
    """What the model is asked about images [n, h, w, c]: for each its ends and its steps."""
    random = np.random.default_rng(seed)
    found = [
        np.concatenate([plain[None], one[None], METHODS[method].images(plain, one, steps, random)]) for one in images
    ]
    return np.concatenate(found)


def explained(method: str, raw: Array, features: Array) -> tuple[float, float, Slopes]:
    """Answer, answer for the plain image, and contributions [h, w] of one image.

    Args:
        method: its name.
        raw: what ``Differentiable.gradients`` said of its ends and steps.
        features: its ends, encoded, [2, c, h, w].
    """
    plain, image = features.astype(np.float64)
    slopes = raw[ENDS:, 1:].astype(np.float64).mean(axis=0).reshape(image.shape)
    return float(raw[1, 0]), float(raw[0, 0]), METHODS[method].contributions(plain, image, slopes)
