"""AutoGluon, in an environment of its own: its packages are not those of this project, and some do not fit them."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from tests.bench.quality.places import HOME
from tests.bench.quality.prediction import Prediction
from tests.bench.quality.tables import Frame, Kind, Source

REQUIREMENT: Final = "autogluon.tabular[all]==1.6.3"
ENVIRONMENT: Final = HOME / "autogluon"
SECONDS: Final = 60
PRESET: Final = "best_quality"
_SCRIPT = Path(__file__).with_name("gluon_fit.py")


class AutoGluonError(Exception):
    """The environment could not be made, or a fit failed; the text has the end of what was printed."""


@dataclass(frozen=True, kw_only=True)
class AutoGluonCandidate:
    """``best_quality`` with a time limit for each fit, and one repeat."""

    name: str = "autogluon"
    most_repeats: int | None = 1

    def fingerprint(self) -> str:
        """Release, settings, and the script that fits."""
        return f"{REQUIREMENT} {PRESET} {SECONDS} {_SCRIPT.read_text(encoding='utf-8')}"

    def fit_predict(self, source: Source, train: Frame, test: Frame) -> Prediction:
        """See ``Candidate``."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            train.to_csv(folder / "train.csv", index=False)
            test.to_csv(folder / "test.csv", index=False)
            settings = {"target": source.target, "numbers": source.kind is Kind.NUMBERS, "preset": PRESET}
            (folder / "settings.json").write_text(json.dumps({**settings, "seconds": SECONDS}), encoding="utf-8")
            _run(ENVIRONMENT / "bin" / "python", str(_SCRIPT), scratch)
            labels = tuple(json.loads((folder / "labels.json").read_text(encoding="utf-8")))
            with np.load(folder / "predictions.npz", allow_pickle=False) as found:
                values, probabilities = found["values"], found["probabilities"]
        if source.kind is Kind.CLASSES:
            values = np.array(labels, dtype=object)[values]
        return Prediction(values=values, probabilities=probabilities, labels=labels)


AUTOGLUON: Final = AutoGluonCandidate()


def install() -> None:
    """Make the environment, unless it stands there.

    Raises:
        AutoGluonError: a package could not be had.
    """
    done = ENVIRONMENT / "installed.txt"
    if done.is_file() and done.read_text(encoding="utf-8") == REQUIREMENT:
        return
    uv = Path(sys.executable).with_name("uv")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    _run(uv, "venv", "--quiet", "--allow-existing", "--python", version, str(ENVIRONMENT))
    _run(uv, "pip", "install", "--quiet", "--python", str(ENVIRONMENT / "bin" / "python"), REQUIREMENT)
    done.write_text(REQUIREMENT, encoding="utf-8")


def _run(program: Path, *arguments: str) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AutoGluonError(f"{program.name} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
