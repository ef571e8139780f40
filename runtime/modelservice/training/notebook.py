"""A bar in a notebook, without widgets that somebody would have to install."""

import sys
from collections.abc import Callable
from html import escape
from typing import Any

from modelservice.contract.progress import Progress
from modelservice.training.progress import figures


class NotebookBar:
    """A listener of progress: a bar with loss, metric and what is left, shown anew at each percent."""

    def __init__(self, display: Callable[..., Any]) -> None:
        """Show it; ``display`` is IPython's function of this name."""
        self._progress = Progress()
        self._shown = display(self, display_id=True)

    def __call__(self, progress: Progress) -> None:
        """Show the progress, unless it is the percent that is shown."""
        before, self._progress = self._progress, progress
        if (progress.stage, progress.percent) != (before.stage, before.percent):
            self._shown.update(self)

    def _repr_html_(self) -> str:
        progress = self._progress
        share = f"<progress value='{progress.done}' max='{max(progress.total, 1)}'></progress>"
        return f"{escape(progress.stage)} {share} {escape(_words(progress))}"

    def __repr__(self) -> str:
        """For a notebook without HTML."""
        return f"{self._progress.stage} {_words(self._progress)}"


def notebook_bar() -> NotebookBar | None:
    """A bar in the cell that runs, None outside of a notebook; IPython is there where a notebook is."""
    ipython = sys.modules.get("IPython")
    if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
        return None
    from IPython.display import display  # noqa: PLC0415 - the notebook's

    return NotebookBar(display)


def _words(progress: Progress) -> str:
    left = "" if progress.eta_seconds is None else f"{progress.eta_seconds:.0f} s left"
    return "  ".join(filter(None, (f"{progress.percent}%", figures(progress), left)))
