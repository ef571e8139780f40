"""The stages after the training, and the engines: what changes one of them does not train again."""

import csv
import io
import itertools
import json
import re

import numpy as np
import pytest
from tests.e2e.stories import CHANGED
from tests.support.client import ask, predict
from tests.support.e2e import PATIENCE_SECONDS, Object, Space, condition, config_map, eventually, network, says
from tests.support.samples import SAMPLES, sample_table
from tests.support.tables import FLOWERS, IRIS

from modelservice_operator.constants import LABEL_STAGE
from modelservice_operator.kinds import CONTROLLER_REVISION, JOB

pytestmark = pytest.mark.cluster

PROGRESSION = sample_table(SAMPLES / "regression.yaml").decode()
PATIENTS = [
    {name: float(cell) for name, cell in row.items() if name != "progression"}
    for row in itertools.islice(csv.DictReader(io.StringIO(PROGRESSION)), 20)
]


def compression(budget: float, *steps: Object) -> Object:
    return {"compression": {"maxAccuracyDrop": budget, "steps": list(steps) or [{"quantize": {"weights": "Int8"}}]}}


def jobs(space: Space, stage: str) -> set[str]:
    """UIDs of the Jobs of a stage."""
    return {
        job["metadata"]["uid"]
        for job in space.children(JOB, "progression")
        if job["metadata"]["labels"][LABEL_STAGE] == stage
    }


def training_pods(space: Space) -> set[str]:
    return {pod["metadata"]["uid"] for pod in space.pods("progression", "train")}


def answers(space: Space) -> list[float]:
    return ask(space.address("progression"), "progression", PATIENTS)


@pytest.mark.story(300)
def test_a_missed_budget_keeps_the_model_and_other_budgets_and_steps_train_nothing(space: Space) -> None:
    # Rounded weights move every prediction of a regression a little, so a budget of nothing is always missed.
    space.apply(
        config_map("progression", PROGRESSION),
        network(
            "progression",
            data={"target": "progression"},
            model={"mlp": {"hiddenLayers": [64, 64]}},
            training={"epochs": 30},
            **compression(0),
        ),
    )
    missed = space.wait_ready("progression")
    said = condition(missed, "Compressed")
    assert said["status"] == "False"
    assert "r2" in said["message"]
    trained, (compressed,) = jobs(space, "train"), jobs(space, "compress")
    pods, uncompressed, exact = training_pods(space), missed["status"]["digest"], answers(space)

    space.patch("progression", compression(0.9))
    held = space.wait_ready("progression")
    assert condition(held, "Compressed")["status"] == "True"
    assert held["status"]["digest"] != uncompressed
    assert jobs(space, "train") == trained
    assert len(jobs(space, "compress") - {compressed}) == 1
    assert training_pods(space) <= pods

    def rounded() -> list[float]:
        now = answers(space)
        return now if now != exact else []

    # The Service may still lead to a pod of the revision before for a moment.
    np.testing.assert_allclose(eventually(rounded, what="answers of rounded weights"), exact, rtol=0.1)

    bad = json.dumps({"spec": compression(0.9, {"auto": {}}, {"quantize": {}})})
    refused = space.try_kubectl("patch", "modelservice", "progression", "--type=merge", "-p", bad)
    assert "auto finds all steps by itself: leave the others out" in refused

    space.patch("progression", compression(0.9, {"lowRank": {"share": 0.99}}))
    unsuited = space.wait("progression", says("StepUnsuited", "makes no layer smaller: lower it"), what="it is refused")
    assert condition(unsuited, "Available")["status"] == "True"
    assert unsuited["status"]["digest"] == held["status"]["digest"]
    assert len(answers(space)) == len(PATIENTS)

    space.patch("progression", compression(0.9, {"auto": {"targetSizeRatio": 4, "fineTuneEpochs": TURN_EPOCHS}}))
    first = eventually(lambda: in_second_turn(space), what="a turn of auto", seconds=PATIENCE_SECONDS)
    assert first is not None
    space.kubectl("delete", "pod", first, timeout=120)
    found = space.wait_ready("progression")
    (second,) = {pod["metadata"]["name"] for pod in running_or_done(space)} - {first}
    notes = [line["message"] for line in events_in_log(space, second, "note")]
    assert any(note.startswith("auto-") and note.endswith(" was done before") for note in notes), notes
    assert condition(found, "Compressed")["status"] == "True"
    assert found["status"]["digest"] not in {uncompressed, held["status"]["digest"]}
    after = found["status"]["revisions"][0]["compression"]["after"]
    assert after["parameters"] * 2 < found["status"]["revisions"][0]["compression"]["before"]["parameters"]
    assert jobs(space, "train") == trained
    assert training_pods(space) <= pods


TURN_EPOCHS = 30
"""Of two networks at once and two turns, so that the pod is deleted after the first of them: five times as many follow,
and controls of six times as many each."""


def in_second_turn(space: Space) -> str | None:
    """The running pod of a compression, once it has told more epochs than its first network has."""
    for pod in space.pods("progression", "compress"):
        name: str = pod["metadata"]["name"]
        if pod["status"].get("phase") == "Running" and epoch_of(space, name) > TURN_EPOCHS + 1:
            return name
    return None


def running_or_done(space: Space) -> list[Object]:
    """Pods of the newest compression: those that tell more than one epoch."""
    return [
        pod for pod in space.pods("progression", "compress") if epoch_of(space, pod["metadata"]["name"]) > TURN_EPOCHS
    ]


@pytest.mark.story(100, cast=CHANGED)
def test_torch_and_onnx_answer_alike_and_another_engine_trains_nothing(space: Space) -> None:
    rows = [row for row, _ in FLOWERS]

    def probabilities() -> list[list[float]]:
        return [list(one["probabilities"].values()) for one in ask(space.address("flowers"), "flowers", rows)]

    space.apply(config_map("flowers", IRIS), network("flowers"))
    first = space.wait_ready("flowers")["status"]
    trained = {job["metadata"]["uid"] for job in space.children(JOB, "flowers")}
    eventually(lambda: len(space.pods("flowers", "serve")) == 1, what="one pod with onnxruntime")
    by_onnx = probabilities()
    space.patch("flowers", {"serving": {"engine": "Torch"}})
    second = space.wait_ready("flowers")["status"]
    assert all(second[name] == first[name] for name in ("key", "digest", "revision"))
    eventually(lambda: len(space.pods("flowers", "serve")) == 1, what="the pod with torch alone")
    np.testing.assert_allclose(probabilities(), by_onnx, atol=1e-5)
    assert {job["metadata"]["uid"] for job in space.children(JOB, "flowers")} <= trained
    space.patch("flowers", {"serving": {"engine": None}})


@pytest.mark.story(90, cast=CHANGED)
def test_a_model_that_wants_other_inputs_waits_until_it_may_serve(space: Space) -> None:
    gate = {"promotion": {"require": [{"inputs": "Unchanged"}]}}
    space.apply(config_map("flowers", IRIS), network("flowers", **gate))
    first = space.wait_ready("flowers")["status"]
    head, *rows = IRIS.splitlines()
    longer = [f"scent,{head}", *(f"{place % 10}.5,{row}" for place, row in enumerate(rows))]
    space.apply(config_map("flowers", "\n".join(longer) + "\n"))
    held = space.wait("flowers", says("PromotionRefused", "new: scent (Number)"), what="it is held back")
    assert condition(held, "Available")["status"] == "True"
    assert condition(held, "Promoted")["status"] == "False"
    assert (held["status"]["revision"], held["status"]["digest"]) == (first["revision"], first["digest"])
    assert predict(space.address("flowers"), "flowers", [FLOWERS[0][0]]) == [FLOWERS[0][1]]
    trained = {pod["metadata"]["uid"] for pod in space.pods("flowers", "train")}

    space.patch("flowers", {"promotion": None})
    promoted = space.wait_ready("flowers")
    assert promoted["status"]["revision"] > first["revision"]
    said = condition(promoted, "Ready")["message"]
    assert f"the inputs changed against revision {first['revision']}, new: scent (Number)" in said
    assert {pod["metadata"]["uid"] for pod in space.pods("flowers", "train")} <= trained


@pytest.mark.story(150)
def test_a_better_model_serves_and_a_worse_one_is_held_back_with_the_interval(space: Space) -> None:
    gate = {"promotion": {"require": [{"metric": {"name": "logLoss", "notWorseThanCurrent": {}}}]}}
    space.apply(config_map("flowers", IRIS), network("flowers", **gate, training={"epochs": 1}))
    poor = space.wait_ready("flowers")["status"]
    assert "compare" not in stages_of(space), "the first model has nothing to be worse than"

    space.patch("flowers", {"training": {"epochs": 60}})
    better = space.wait_ready("flowers")
    good = better["status"]
    assert (good["revision"], condition(better, "Promoted")["status"]) == (2, "True")
    said = condition(better, "Promoted")["message"]
    assert re.search(r"logLoss [\d.]+ against [\d.]+ of revision 1 on \d+ test rows, [\d.]+ better \(paired 95 %", said)

    space.patch("flowers", {"training": {"epochs": 1}})
    held = space.wait("flowers", says("PromotionRefused", " worse (paired 95 % interval "), what="it is held back")
    assert (held["status"]["key"], held["status"]["revision"]) == (poor["key"], 2)
    assert condition(held, "Available")["status"] == "True"
    assert "of revision 2 on " in condition(held, "Promoted")["message"]
    assert predict(space.address("flowers"), "flowers", [FLOWERS[0][0]]) == [FLOWERS[0][1]]

    space.patch("flowers", {"training": {"epochs": 60}})
    again = space.wait_ready("flowers")["status"]
    assert (again["key"], again["revision"]) == (good["key"], 2)
    pairs = [one for one in space.children(CONTROLLER_REVISION, "flowers") if one["data"]["kind"] == "ComparisonRecord"]
    assert len(pairs) == 2, "of each pair once"


def stages_of(space: Space) -> set[str]:
    """Stages of the Jobs that are there."""
    return {job["metadata"]["labels"][LABEL_STAGE] for job in space.children(JOB, "flowers")}


TRIALS, ENDED = 5, 1
"""Of a second of CPU each: most of them are left when the pod is deleted."""
RATES = {"path": "training.optimizer.adam.learningRate", "logUniform": {"min": 0.001, "max": 0.1}}


def trials_in_log(space: Space, pod: str, word: str) -> set[str]:
    """Numbers of the trials of which the log of a training pod says this."""
    lines = [json.loads(line) for line in space.api.log(space.name, pod).splitlines() if line.startswith("{")]
    said = [line["message"] for line in lines if line["event"] == "note" and line["message"].startswith("trial ")]
    return {message.split()[1] for message in said if word in message}


@pytest.mark.story(180)
def test_a_search_whose_pod_goes_makes_no_trial_twice(space: Space) -> None:
    search = {"trials": TRIALS, "metric": "logLoss", "parameters": [RATES]}
    space.apply(
        config_map("flowers", IRIS),
        network("flowers", training={"epochs": 120, "batchSize": 4, "search": search}),
    )

    def pod_after(trials: int) -> str | None:
        """The running pod, once so many trials have ended in it."""
        for pod in space.pods("flowers", "train"):
            name: str = pod["metadata"]["name"]
            if pod["status"].get("phase") == "Running" and len(trials_in_log(space, name, " took ")) >= trials:
                return name
        return None

    first = eventually(lambda: pod_after(ENDED), what="trials that ended", seconds=PATIENCE_SECONDS)
    assert first is not None
    ended = trials_in_log(space, first, " took ")
    space.kubectl("delete", "pod", first, timeout=120)
    ready = space.wait_ready("flowers")
    assert ready["status"]["revision"] == 1
    assert f"search: the best of {TRIALS} trials is " in condition(ready, "DataReady")["message"]
    (second,) = (pod["metadata"]["name"] for pod in space.pods("flowers", "train"))
    assert second != first
    found, made = (trials_in_log(space, second, word) for word in (" was made before", " took "))
    assert ended <= found
    assert not found & made
    assert found | made == {str(number) for number in range(TRIALS)}


EPOCHS = 500
"""Four seconds of CPU, so that the pod is deleted in their midst."""


def events_in_log(space: Space, pod: str, event: str) -> list[Object]:
    lines = [json.loads(line) for line in space.api.log(space.name, pod).splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def epoch_of(space: Space, pod: str) -> int:
    """The last epoch that the log of a training pod tells."""
    return max((line["done"] for line in events_in_log(space, pod, "progress")), default=0)


@pytest.mark.story(240)
def test_a_training_whose_pod_goes_ends_as_one_whose_pod_stays(space: Space) -> None:
    """What was asked to end loses no step; what a kill loses is asked of the same code against a store, in wiring."""
    training = {"epochs": EPOCHS, "batchSize": 4, "checkpoint": {"everySeconds": 1}}
    flowers = network("flowers", model={"mlp": {"hiddenLayers": [8], "dropout": 0.2}}, training=training)
    space.apply(config_map("flowers", IRIS), flowers)

    def begun_well() -> str | None:
        for pod in space.pods("flowers", "train"):
            name: str = pod["metadata"]["name"]
            if pod["status"].get("phase") == "Running" and epoch_of(space, name) >= EPOCHS / 10:
                return name
        return None

    first = eventually(begun_well, what="a tenth of the epochs", seconds=PATIENCE_SECONDS)
    assert first is not None
    reached = epoch_of(space, first)
    space.kubectl("delete", "pod", first, timeout=120)
    interrupted = space.wait_ready("flowers")["status"]
    (second,) = {pod["metadata"]["name"] for pod in space.pods("flowers", "train")} - {first}
    (said,) = (line["message"] for line in events_in_log(space, second, "note") if "went on from" in line["message"])
    begun = int(said.split()[5])
    assert begun >= reached
    assert events_in_log(space, second, "progress")[0]["done"] >= begun - 1

    space.kubectl("delete", "modelservice", "flowers", timeout=120)
    eventually(lambda: not space.pods("flowers", "train"), what="no training is left", seconds=PATIENCE_SECONDS)
    space.apply(flowers)
    twin = space.wait_ready("flowers")["status"]
    assert (twin["key"], twin["digest"]) == (interrupted["key"], interrupted["digest"])
