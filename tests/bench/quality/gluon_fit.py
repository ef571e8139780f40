"""One fit of AutoGluon: ``python gluon_fit.py FOLDER``, run by the Python of its own environment.

Its time limit counts CPU time of this process, so that what else runs on the machine takes nothing from it. All of a
fit is in this process and thread then: folds one after the other, and no trial run of the stacking, which needs ray.
"""

import json
import sys
import time
from pathlib import Path

time.time = time.process_time  # before AutoGluon is imported, which may take the function by its name

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from autogluon.tabular import TabularDataset, TabularPredictor  # type: ignore[import-not-found]  # noqa: E402


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
    predictor.fit(
        train,
        presets=settings["preset"],
        time_limit=settings["seconds"],
        num_cpus=1,
        num_gpus=0,
        dynamic_stacking=False,
        ag_args_ensemble={"fold_fitting_strategy": "sequential_local"},
    )
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
