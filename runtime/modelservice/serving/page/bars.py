"""Small histograms of the page, as paths of SVG, and what is said of drift."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from modelservice.serving.drift.spread import Spread, Window

BARS: Final = (160, 40)
"""Width and height of a histogram, in pixels."""
SLIGHT_PSI: Final = 0.1
LARGE_PSI: Final = 0.25


class Bars(NamedTuple):
    """A histogram as paths of SVG in a box of ``BARS``, and in words: training, and what was asked lately if anything.

    Paths keep a page of many columns small.
    """

    trained: str
    asked: str | None
    words: str


def bars_of(spread: Spread, window: Window | None) -> Bars | None:
    """The shares of training, and beside them those of what was asked; None where nothing is known of either."""
    trained = _shares(spread.expected.tolist())
    asked = None if window is None else _shares(window.found.tolist())
    bins = [at for at, share in enumerate(trained) if share or (asked is not None and asked[at])]
    if not bins:
        return None
    peak = max(*trained, *(asked or ()))
    width = BARS[0] / len(bins) / (1 if asked is None else 2)
    words = f"training: {_most(spread.names, trained)}"
    if asked is None:
        return Bars(_path([trained[at] / peak for at in bins], width, width), None, words)
    return Bars(
        _path([trained[at] / peak for at in bins], 2 * width, width),
        _path([asked[at] / peak for at in bins], 2 * width, width, start=width),
        f"{words}; asked: {_most(spread.names, asked)}",
    )


def _path(heights: Sequence[float], step: float, width: float, *, start: float = 0.0) -> str:
    """Bars from the left, as many as heights from 0 to 1."""
    full = BARS[1]
    return "".join(
        f"M{start + at * step:.1f} {full}v{-full * height:.1f}h{width - 0.5:.1f}V{full}z"
        for at, height in enumerate(heights)
        if height
    )


def _most(names: Sequence[str], shares: Sequence[float]) -> str:
    at = max(range(len(shares)), key=shares.__getitem__)
    return f"most often {names[at]} ({100 * shares[at]:.3g} %)"


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def drift_of(window: Window | None) -> str | None:
    """By the usual reading of the stability index: below 0.1 none, from 0.25 on much."""
    if window is None:
        return None
    psi, ks = window.measures["psi"], window.measures.get("ks")
    said = "as in training" if psi < SLIGHT_PSI else "moved a little" if psi < LARGE_PSI else "moved"
    return f"{said} (PSI {psi:.2f}" + (")" if ks is None else f", KS {ks:.2f})")
