import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.runtime.training.pipelines import IRIS, pipeline, still_clock, train_iris

from modelservice.artifact import store
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import sha256
from modelservice.contract.data import ConfigMapSource, Data, Split
from modelservice.contract.manifest import MANIFEST_FILE
from modelservice.data.csv_file import parse_csv
from modelservice.data.errors import DataError
from modelservice.models import architecture
from modelservice.predictor import Predictor
from modelservice.training.errors import TrainingError
from modelservice.training.run import Pipeline, Trained, train_to_folder
from modelservice.training.stopwatch import Stopwatch
from modelservice.training.threads import limited_threads


def digest_of(trained: Trained) -> str:
    return sha256(store.document_bytes(trained.manifest))


def test_the_same_table_and_seed_give_the_same_bytes() -> None:
    first, second = train_iris(pipeline()), train_iris(pipeline())
    assert first.files == second.files
    assert digest_of(first) == digest_of(second)


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 2}, {"l2": 0.1}, {"batch_size": 7}])
def test_what_decides_the_result_changes_the_weights(change: Any) -> None:
    assert (
        train_iris(pipeline()).files["weights.safetensors"]
        != train_iris(pipeline(**change)).files["weights.safetensors"]
    )


def test_small_networks_are_the_same_on_any_number_of_threads() -> None:
    with limited_threads(1):
        one = train_iris(pipeline())
    with limited_threads(2):
        two = train_iris(pipeline())
    assert one.files == two.files


def test_defaults_classify_iris() -> None:
    accuracies = []
    for seed in range(5):
        settings = pipeline(epochs=60, hidden=(64, 64), seed=seed)
        data = Data(config_map=ConfigMapSource(name="x"), target="species", split=Split(seed=seed))
        metrics = train_iris(Pipeline(**{**vars(settings), "data": data})).metrics
        accuracies.append(metrics.test.accuracy)
        assert metrics.test.rows == sum(map(sum, metrics.test.confusion_matrix.counts))
    assert accuracies[0] >= 0.93
    assert mean(accuracies) >= 0.93


def test_metrics_are_those_of_the_stored_model(tmp_path: Path) -> None:
    table = parse_csv(IRIS.read_bytes())
    success, metrics, manifest = train_to_folder(
        table,
        pipeline(epochs=20),
        scratch=tmp_path / "scratch",
        final=tmp_path / "model",
        observe=lambda _: None,
        watch=Stopwatch(still_clock),
    )
    predictor = Predictor.load(tmp_path / "model", digest=success.digest)
    rows = {name: column.to_pylist() for name, column in table.columns.items()}
    predicted, true = predictor.predict(rows), rows["species"]
    right = sum(map(str.__eq__, predicted, true))
    counted = sum(round(side.accuracy * side.rows) for side in (metrics.train, metrics.validation, metrics.test))
    assert right == counted
    assert success.metrics.accuracy == metrics.test.accuracy
    assert success.artifact_bytes == sum(path.stat().st_size for path in (tmp_path / "model").iterdir()) - (
        (tmp_path / "model" / MANIFEST_FILE).stat().st_size
    )
    assert manifest.parameters == success.parameters == (4 + 1) * 8 + (8 + 1) * 3
    assert list(success.seconds) == ["read", "train", "evaluate", "store"]


def test_nothing_is_left_of_a_training_that_could_not_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Any, _content: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_write_file", full)
    with pytest.raises(OSError, match="No space"):
        train_to_folder(
            parse_csv(IRIS.read_bytes()),
            pipeline(epochs=1),
            scratch=tmp_path / "scratch",
            final=tmp_path / "model",
            observe=lambda _: None,
            watch=Stopwatch(still_clock),
        )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    def never(_epoch: Any) -> None:
        pytest.fail("trained although the result could not be stored")

    with pytest.raises(ArtifactError, match="is no artifact"):
        train_to_folder(
            parse_csv(IRIS.read_bytes()),
            pipeline(),
            scratch=tmp_path.with_name("scratch"),
            final=tmp_path,
            observe=never,
            watch=Stopwatch(still_clock),
        )


def test_categories_and_gaps_are_learned_and_served_alike(tmp_path: Path) -> None:
    """The class depends on a category alone, and is missing now and then."""
    rows = [f"{'red' if n % 2 else 'blue'},{n % 7 or ''},{'stop' if n % 2 else 'go'}" for n in range(200)]
    trained = train_iris(pipeline(epochs=20, target="y"), "\n".join(["colour,noise,y", *rows]).encode())
    assert trained.metrics.test.accuracy == 1
    store.write(tmp_path / "m", trained.manifest, trained.files)
    predictor = Predictor.load(tmp_path / "m")
    assert predictor.predict([{"colour": "red", "noise": None}, ["blue", 3]]) == ["stop", "go"]
    unknown = predictor.predict_proba([["green", 3]])
    assert unknown.shape == (1, 2)


def test_a_number_far_from_the_training_rows_is_a_data_error() -> None:
    """The second different row of a class is a test row, which no mean and deviation were measured on."""
    rows = [f"{'1e45' if n == 2 else n % 5},{'pq'[n % 2]}" for n in range(40)]
    with pytest.raises(DataError, match=r"column a: 1e\+45 is too far from the training data: correct") as caught:
        train_iris(pipeline(target="y"), "\n".join(["a,y", *rows]).encode())
    assert caught.value.reason == "NotANumber"


def test_a_model_beyond_bounds_names_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "MAX_PARAMETERS", 50)
    with pytest.raises(TrainingError, match="67 parameters, at most 50") as caught:
        train_iris(pipeline())
    assert (caught.value.reason, caught.value.field) == ("ModelTooLarge", "spec.model.mlp.hiddenLayers")


def test_an_empty_feature_in_training_rows_is_a_data_error() -> None:
    rows = ["a,p", "b,p", "c,p", ",q", ",q", ",q"]
    with pytest.raises(DataError):
        train_iris(pipeline(target="y"), "\n".join(["t,y", *rows]).encode())


def test_a_training_does_not_import_torchs_compiler() -> None:
    """It costs 6 s and 150 MB; pandas is not in the image either."""
    code = (
        "import sys; from tests.unit.runtime.training.pipelines import pipeline, train_iris;"
        "train_iris(pipeline()); print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_curves_belong_to_the_training() -> None:
    metrics = train_iris(pipeline(epochs=5)).metrics
    assert metrics.curves.epoch == (1, 2, 3, 4, 5)
    best = metrics.curves.validation_loss[metrics.best_epoch - 1]
    assert best == min(metrics.curves.validation_loss)
    assert metrics.validation.loss == pytest.approx(best, rel=1e-5)


def test_probabilities_are_a_distribution(tmp_path: Path) -> None:
    trained = train_iris(pipeline())
    store.write(tmp_path / "m", trained.manifest, trained.files)
    predictor = Predictor.load(tmp_path / "m")
    probabilities = predictor.probabilities(predictor.encode_rows([[5.1, 3.5, 1.4, 0.2], [None] * 4]))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert not torch.is_inference_mode_enabled()
