"""What is said of cells that are missing by a word of ``spec.data.missing``."""

from collections.abc import Mapping

_NAMED = 3


def missing_notes(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A sentence about how many cells of which columns (or arrays) that concerns; none where there are none."""
    found = [name for name, count in counts.items() if count]
    if not found:
        return ()
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    cells = sum(counts.values())
    subject = f"{cells} cells hold a word" if cells > 1 else "1 cell holds a word"
    return (f"{subject} of data.missing and count as missing, in {', '.join(found[:_NAMED])}{more}",)
