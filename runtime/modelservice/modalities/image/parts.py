"""An image in square patches: one that is hidden has the mean colour of training."""

from base64 import b64encode
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.image.pictures import write_picture
from modelservice.modalities.parts import Contributions, Masks, PartOptions

GRID: Final = 8
"""Patches of the longer side, where nobody says how large they are."""
_WHITE: Final = 255


class ImageParts:
    """One image; see ``Parts``."""

    noun = "patches"
    remedy = "larger patches"
    additive = False

    def __init__(self, image: NDArray[Any], plain: NDArray[Any], options: PartOptions) -> None:
        """Args: the image [h, w, c], what hides it [c], and how it is divided."""
        height, width, _ = image.shape
        self._image, self._plain = image, plain
        self._patch = options.patch or ceil(max(height, width) / GRID)
        self._draws = options.heat_map
        self._grid = (ceil(height / self._patch), ceil(width / self._patch))
        self.count = self._grid[0] * self._grid[1]
        self.size = image.nbytes

    def shown(self, masks: Masks) -> NDArray[Any]:
        """The image once for each coalition [coalitions, h, w, c]."""
        shown = self._stretched(masks.reshape(-1, *self._grid))[..., None]
        return np.where(shown, self._image, self._plain)

    def told(self, contributions: Contributions) -> dict[str, Any]:
        """Contributions as rows of patches, the side of a patch, and where it is asked for a PNG in base64.

        Contributions of pixels [h, w] are added up to those of patches.
        """
        if contributions.ndim > 1:
            for axis, side in enumerate(contributions.shape):
                contributions = np.add.reduceat(contributions, range(0, side, self._patch), axis=axis)
        grid = contributions.reshape(self._grid)
        told = {"contributions": grid.tolist(), "patch": self._patch}
        if not self._draws:
            return told
        return {**told, "heat_map": {"b64": b64encode(draw(self._stretched(grid[None])[0])).decode()}}

    def _stretched(self, grids: NDArray[Any]) -> NDArray[Any]:
        """Values of patches [n, rows, columns] as those of pixels [n, h, w]."""
        rows, columns = (np.arange(side) // self._patch for side in self._image.shape[:2])
        return np.asarray(grids[:, rows[:, None], columns])


def draw(values: NDArray[np.float64]) -> bytes:
    """A PNG of [h, w] values: white is none, red the more the value is above 0, and blue the more it is below.

    The value that is furthest from 0 has the full colour.
    """
    furthest = np.abs(values).max()
    share = values / furthest if furthest > 0 else values
    pale = np.rint(_WHITE * (1 - np.abs(share))).astype(np.uint8)
    white = np.full_like(pale, _WHITE)
    red, blue = np.where(share < 0, pale, white), np.where(share > 0, pale, white)
    return write_picture(np.stack([red, pale, blue], axis=-1))
