"""Where the bench keeps what it has: under ``build/bench/quality``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.record import FOLDER

HOME: Final = FOLDER / "quality"
SUMMARY: Final = HOME / "summary.json"
REPORT: Final = HOME / "report.md"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Folders that a fit needs: files of the packages that carry tables, and stored fits."""

    packages: Path
    fits: Path


PLACES: Final = Places(packages=HOME / "packages", fits=HOME / "fits")
