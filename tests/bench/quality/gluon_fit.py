"""One fit of AutoGluon: ``python gluon_fit.py FOLDER``, run by the Python of its own environment."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from autogluon.tabular import TabularDataset, TabularPredictor  # type: ignore[import-not-found]


def main(folder: Path) -> None:
    """Read ``train.csv``, ``test.csv`` and ``settings.json``; write ``predictions.npz`` and ``labels.json``."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    target, numbers = settings["target"], settings["numbers"]
    train, test = (TabularDataset(pd.read_csv(folder / f"{side}.csv")) for side in ("train", "test"))
    if not numbers:
        train[target] = train[target].astype(str)
    predictor = TabularPredictor(
        label=target,
        path=str(folder / "models"),
        problem_type="regression" if numbers else ("binary" if train[target].nunique() == 2 else "multiclass"),
        verbosity=0,
    )
    predictor.fit(train, presets=settings["preset"], time_limit=settings["seconds"], num_gpus=0)
    labels: list[str] = []
    probabilities = np.empty((len(test), 0))
    values = predictor.predict(test).to_numpy()
    if not numbers:
        shares = predictor.predict_proba(test)
        labels, probabilities = [str(label) for label in shares.columns], shares.to_numpy(dtype=np.float64)
        values = np.array([labels.index(str(value)) for value in values])
    np.savez(folder / "predictions.npz", values=values, probabilities=probabilities)
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
