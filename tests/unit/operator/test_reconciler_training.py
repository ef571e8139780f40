"""The reconciler's stories. What becomes of a training: attempts, failures, lost reports, suspension."""

import pytest
from tests.support.world import NAMESPACE, World, success, without_image

from modelservice.contract.evaluation import Metric
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import About, Failure, Retry
from modelservice.contract.progress import Progress
from modelservice.contract.report import Report
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.trials import draw_points
from modelservice.contract.work_order import TrainWork
from modelservice_operator.constants import STAGE_CONTAINER
from modelservice_operator.domain.progress import duration
from modelservice_operator.kinds import CONFIG_MAP, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM
from modelservice_operator.machinery.errors import Forbidden
from modelservice_operator.objects import Ref


def test_out_of_memory_names_the_field_and_more_memory_heals_it() -> None:
    world = World()
    world.config_map()
    world.service(training={"resources": {"limits": {"memory": "100Mi"}}})
    world.settle()
    world.end_stage(exit_code=137, oom=True)
    world.settle()
    assert world.condition("Ready")["message"] == "OOMKilled at 100Mi: raise spec.training.resources.limits.memory"
    key = world.status()["key"]
    world.service(training={"resources": {"limits": {"memory": "2Gi"}}})
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.ready() == ("False", "Training")
    assert world.order(world.job())["key"] == key


def test_a_job_that_took_too_long_names_the_field() -> None:
    world = World()
    world.config_map()
    world.service(training={"timeoutSeconds": 60})
    world.settle()
    world.end_job(world.job(), failed=True, reason="DeadlineExceeded")
    world.settle()
    assert world.condition("Ready")["message"] == "training was stopped after 60 s: raise spec.training.timeoutSeconds"


def test_changed_run_settings_replace_an_unfinished_job_once_its_pods_are_gone() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    old = world.job()
    world.pod_of(old, {"phase": "Running"})
    world.service(training={"nodeSelector": {"disk": "fast"}})
    world.settle()
    assert [job["metadata"]["name"] for job in world.all(JOB)] == [old["metadata"]["name"]]
    world.finish_deletions()
    world.settle()
    new = world.job()
    assert new["metadata"]["name"] != old["metadata"]["name"]
    assert new["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "fast"}
    assert world.order(new)["key"] == world.status()["key"]


def test_an_upgrade_does_not_stop_a_training_but_tries_a_failed_one_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    running = world.job()["metadata"]["name"]
    world.restart_operator(trainer_image="trainer:2", server_image="server:2")
    world.settle()
    assert world.job()["metadata"]["name"] == running
    world.end_stage(exit_code=1, job_reason="BackoffLimitExceeded")
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.job()["spec"]["template"]["spec"]["containers"][0]["image"] == "trainer:2"


def test_a_job_that_was_deleted_is_made_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    name = world.job()["metadata"]["name"]
    del world.kube.objects[Ref(JOB, NAMESPACE, name)]
    world.settle()
    assert world.job()["metadata"]["name"] == name


def test_a_lost_report_is_asked_for_once_more_and_never_trained_away() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    first = world.job()
    world.end_job(first, failed=False)
    world.settle()
    second = world.job()
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert world.order(second)["key"] == world.order(first)["key"]
    world.end_stage()
    world.settle()
    assert world.status()["revisions"][0]["number"] == 1


@pytest.mark.parametrize("failed", [False, True])
def test_a_report_that_the_cache_has_not_seen_yet_is_waited_for(failed: bool) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    world.pod_of(job, {"phase": "Running"})
    world.end_job(job, failed=failed, reason="PodFailurePolicy")
    assert world.reconcile() == 2
    assert len(world.all(JOB)) == 1
    assert world.ready() == ("False", "Training")
    assert world.condition("Stalled")["status"] == "False"


PREEMPTED = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}


@pytest.mark.parametrize(
    "went",
    [{"reason": "Evicted"}, {"reason": "NodeLost"}, {"conditions": [PREEMPTED]}],
    ids=["evicted", "its node lost", "preempted"],
)
def test_no_report_is_waited_for_from_a_pod_that_was_evicted(went: dict[str, object]) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    world.pod_of(job, {"phase": "Failed", **went})
    ended = {"name": STAGE_CONTAINER, "state": {"terminated": {"exitCode": 0, "message": "no report"}}}
    world.pod_of(job, {"phase": "Succeeded", "containerStatuses": [ended]}, suffix="1")
    world.end_job(job, failed=False)
    world.settle()
    assert len(world.all(JOB)) == 2


def test_a_stage_ends_with_its_container_whatever_a_sidecar_does() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    report = Report(result=success(world.order(world.job())["key"])).to_message()
    trainer = {"name": STAGE_CONTAINER, "state": {"terminated": {"exitCode": 0, "message": report}}}
    sidecar: dict[str, object] = {"name": "proxy", "state": {"running": {}}}
    world.pod_of(world.job(), {"phase": "Running", "containerStatuses": [trainer, sidecar]})
    world.settle()
    assert world.status()["revisions"][0]["number"] == 1
    assert world.one(DEPLOYMENT)


def test_a_deleted_claim_means_that_the_revision_is_trained_again() -> None:
    world = World()
    key = world.serve()
    del world.kube.objects[Ref(PERSISTENT_VOLUME_CLAIM, NAMESPACE, f"churn-{key}")]
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.order(world.job())["key"] == key


@pytest.mark.parametrize("upgraded", [False, True])
def test_an_order_that_somebody_deleted_is_made_again_and_its_job_runs_on(upgraded: bool) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    order = world.order(job)
    del world.kube.objects[Ref(CONFIG_MAP, NAMESPACE, job["metadata"]["name"])]
    if upgraded:
        world.restart_operator(trainer_image="trainer:2")
    count = len(world.kube.writes)
    world.settle()
    assert world.order(job) == order
    assert world.writes_since(count) == [("apply", "ConfigMap", job["metadata"]["name"])]


def test_suspend_stops_training_and_not_serving() -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 5})
    world.settle()
    world.service(training={"epochs": 5}, suspend=True)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.ready() == ("False", "Suspended")
    assert world.condition("Suspended")["status"] == "True"
    assert world.condition("Available")["status"] == "True"
    assert [job for job in world.all(JOB) if not job.get("status")] == []
    world.service(training={"epochs": 5})
    world.settle()
    assert world.ready() == ("False", "Training")
    assert world.condition("Suspended") == {}


def test_suspended_is_true_only_once_no_job_runs() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    name = world.job()["metadata"]["name"]
    world.service(suspend=True)
    world.kube.failures = {("delete", "Job"): Forbidden("a policy keeps Jobs")}
    world.reconcile()
    assert (world.condition("Suspended")["status"], world.condition("Suspended")["reason"]) == ("False", "JobRuns")
    assert name in world.condition("Suspended")["message"]
    world.kube.failures = {}
    world.settle()
    assert world.condition("Suspended")["status"] == "False", "its pods may still run"
    world.finish_deletions()
    world.settle()
    assert world.condition("Suspended")["status"] == "True"


def test_progress_is_shown_while_training() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.pod_of(world.job(), {"phase": "Running", "podIP": "198.18.0.9"})
    world.progress.answer = Progress(done=30, total=60)
    assert world.reconcile() == 30
    assert world.status()["progress"] == "50%"
    assert "eta" not in world.status(), "nobody said how long it takes"
    metric = Metric(name="accuracy", value=0.9512)
    world.progress.answer = Progress(done=40, total=60, loss=0.31249, metric=metric, eta_seconds=130)
    world.clock.seconds += 2
    world.reconcile()
    assert (world.status()["progress"], world.status()["eta"]) == ("66%", "3m")
    assert world.condition("Trained")["message"] == "66%, loss 0.312, accuracy 0.951, 3m left"
    assert "66%, loss 0.312, accuracy 0.951, 3m left" in world.condition("Ready")["message"]
    world.progress.answer = Progress(done=30, total=60)
    world.clock.seconds += 3
    world.reconcile()
    world.progress.answer = None
    world.clock.seconds += 3
    world.reconcile()
    assert world.status()["progress"] == "50%"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, None),
        (-1, None),
        (0, "10s"),
        (10.0, "10s"),
        (10.1, "20s"),
        (50, "50s"),
        (51, "1m"),
        (61, "2m"),
        (3540, "59m"),
        (3541, "1h00m"),
        (7501, "2h06m"),
        (86_340, "23h59m"),
        (86_341, "1d00h"),
        (99 * 86_400, "99d00h"),
        (1e300, None),
    ],
)
def test_what_is_left_is_said_in_two_units_rounded_up(seconds: float | None, words: str | None) -> None:
    assert duration(seconds) == words


def test_a_long_training_is_asked_less_often() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.pod_of(world.job(), {"phase": "Running", "podIP": "198.18.0.9"})
    world.progress.answer = Progress(done=1, total=100_000)
    for _ in range(240):
        world.reconcile()
        world.clock.seconds += 5
    assert 80 <= world.progress.asked <= 120, "every 15 s, after a more curious beginning"


def test_a_pod_that_only_lets_wait_for_its_progress_is_asked_now_and_then() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.pod_of(world.job(), {"phase": "Running", "podIP": "198.18.0.9"})
    world.progress.seconds = 1.0
    for _ in range(5):
        world.reconcile()
    assert world.progress.asked == 1
    world.clock.seconds += 30
    world.progress.seconds, world.progress.answer = 0.0, Progress(done=30, total=60)
    for _ in range(2):
        world.reconcile()
        world.clock.seconds += 3
    assert world.progress.asked == 3
    assert world.status()["progress"] == "50%"


def test_a_failure_that_no_field_can_mend_says_how_to_try_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    name = world.job()["metadata"]["name"]
    world.end_stage(exit_code=137)
    world.settle()
    assert f"kubectl delete job {name}" in world.condition("Ready")["message"]


@pytest.mark.parametrize("other", [{"key": "otherkey"}, {"stage": "compress"}])
def test_reports_of_other_work_are_not_taken_and_the_second_one_is_the_last(other: dict[str, str]) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    for _ in range(2):
        world.end_stage(success(**{"key": world.order(world.job())["key"], **other}))
        world.settle()
    assert world.status().get("revision") is None
    assert world.ready() == ("False", "ReportUnreadable")
    assert len(world.all(JOB)) == 2


def test_what_is_tried_again_is_said_meanwhile() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    failure = Failure(
        reason="StorageFull",
        message="it does not fit: raise spec.artifacts.volumeClaim.size",
        about=About.STORAGE,
        retry=Retry.SOON,
    )
    ended = {"exitCode": failure.exit_code, "message": Report(result=failure).to_message()}
    container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(world.job(), {"phase": "Failed", "containerStatuses": [container]})
    world.pod_of(world.job(), {"phase": "Running"}, suffix="1")
    world.settle()
    assert world.ready() == ("False", "StorageFull")
    assert world.condition("Ready")["message"].endswith("volumeClaim.size (it is tried again)")
    assert world.condition("Stalled")["status"] == "False"
    world.end_stage()
    world.settle()
    assert world.status()["revisions"][0]["number"] == 1


@pytest.mark.parametrize(("evicted", "stalled"), [(False, "True"), (True, "False")])
def test_a_failure_that_would_come_again_is_final_before_the_job_says_so(evicted: bool, stalled: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    ended = {"exitCode": 137, "reason": "OOMKilled"}
    conditions = [{"type": "DisruptionTarget", "status": "True"}] if evicted else []
    container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(world.job(), {"phase": "Failed", "containerStatuses": [container], "conditions": conditions})
    world.settle()
    assert world.ready() == ("False", "OOMKilled")
    assert world.condition("Stalled")["status"] == stalled


def test_what_ran_out_of_memory_gets_no_other_try_and_keeps_what_is_under_way() -> None:
    world = World()
    world.config_map()
    world.service(training={"maxRestarts": 3})
    world.settle()
    job = world.job()
    rules = job["spec"]["podFailurePolicy"]["rules"]
    final = [code for rule in rules if "onExitCodes" in rule for code in rule["onExitCodes"]["values"]]
    assert (job["spec"]["backoffLimit"], ExitCode.KILLED in final) == (3, False)
    killed = {"name": STAGE_CONTAINER, "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    world.pod_of(job, {"phase": "Failed", "containerStatuses": [killed]})
    writes = len(world.kube.writes)
    world.settle()
    assert ("apply", "Job", job["metadata"]["name"]) in world.writes_since(writes)
    ended = world.job()
    assert ended["spec"] == {**job["spec"], "backoffLimit": 0}, "its controller fails it at once"
    assert ended["metadata"]["uid"] == job["metadata"]["uid"]
    writes = len(world.kube.writes)
    world.end_job(ended, failed=True, reason="BackoffLimitExceeded")
    world.settle()
    assert {kind for _, kind, _ in world.writes_since(writes)} <= {"ModelService"}
    assert (world.ready(), world.condition("Stalled")["status"]) == (("False", "OOMKilled"), "True")


def test_a_kill_for_another_reason_is_tried_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    killed = {"name": STAGE_CONTAINER, "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}
    world.pod_of(job, {"phase": "Failed", "containerStatuses": [killed]})
    world.settle()
    assert world.job()["spec"]["backoffLimit"] == job["spec"]["backoffLimit"] > 0
    assert (world.ready(), world.condition("Stalled")["status"]) == (("False", "StageFailed"), "False")
    assert world.condition("Ready")["message"].endswith("(it is tried again)")
    world.end_stage()
    world.settle()
    assert world.status()["revisions"][0]["number"] == 1


@pytest.mark.parametrize(
    "mended", [{"trainer_image": "trainer:2", "server_image": "server:2"}, {"image_pull_secrets": '["registry"]'}]
)
def test_a_training_on_a_missing_image_takes_what_mends_it(mended: dict[str, str]) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    stuck = world.job()["metadata"]["name"]
    world.pod_of(world.job(), without_image("trainer:1"))
    world.settle()
    assert world.ready() == ("False", "ErrImagePull")
    world.restart_operator(**mended)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.job()["metadata"]["name"] != stuck
    pod = world.job()["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == world.settings.trainer_image
    assert [secret["name"] for secret in pod.get("imagePullSecrets", [])] == list(world.settings.image_pull_secrets)


@pytest.mark.parametrize(
    ("about", "blamed", "spared"),
    [
        (About.DATA, "DataReady", "Trained"),
        (About.STAGE, "Trained", "DataReady"),
        (About.STORAGE, "Trained", "DataReady"),
        (About.PLATFORM, "Trained", "DataReady"),
    ],
)
def test_what_a_failure_is_about_decides_who_has_to_mend_it(about: About, blamed: str, spared: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.end_stage(Failure(reason="Odd", message="it does not fit", field="spec.task", about=about))
    world.settle()
    assert world.ready() == ("False", "Odd")
    assert world.condition(blamed)["reason"] == "Odd"
    assert world.condition(spared)["reason"] != "Odd"


@pytest.mark.parametrize(
    ("retry", "stalled", "again"),
    [(Retry.SOON, "False", True), (Retry.UNKNOWN, "False", True), (Retry.ON_CHANGE, "True", False)],
)
def test_what_waits_for_a_change_is_told_from_what_is_tried_again(retry: Retry, stalled: str, again: bool) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    failure = Failure(reason="Odd", message="it broke", about=About.PLATFORM, retry=retry)
    ended = {"exitCode": failure.exit_code, "message": Report(result=failure).to_message()}
    container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(world.job(), {"phase": "Failed", "containerStatuses": [container]})
    world.settle()
    assert world.condition("Stalled")["status"] == stalled
    assert ("(it is tried again)" in world.condition("Ready")["message"]) is again


@pytest.mark.parametrize(
    ("exit_code", "stalled"), [(64, "True"), (65, "True"), (137, "False"), (1, "False"), (143, "False")]
)
def test_without_a_report_the_exit_code_says_whether_the_job_goes_on(exit_code: int, stalled: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    ended = {"exitCode": exit_code, "message": "panic"}
    container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(world.job(), {"phase": "Failed", "containerStatuses": [container]})
    world.settle()
    assert world.ready() == ("False", "StageFailed")
    assert f"exit code {exit_code}: panic" in world.condition("Ready")["message"]
    assert world.condition("Stalled")["status"] == stalled


def test_a_search_that_cannot_be_trained_is_said_and_none_of_its_trials_is() -> None:
    world = World()
    world.config_map()
    dropout = {"path": "model.mlp.dropout", "uniform": {"min": 0, "max": 0.95}}
    world.service(training={"search": {"parameters": [dropout]}})
    world.settle()
    assert world.ready() == ("False", "InvalidSpec")
    said = "training.search: with model.mlp.dropout 0.95: mlp.dropout: 0.95: Input should be less than or equal to 0.9"
    assert said in world.condition("Ready")["message"]
    assert world.ours(JOB) == []
    world.service(training={"search": {"parameters": [{**dropout, "uniform": {"min": 0, "max": 0.5}}]}})
    world.settle()
    found = ModelServiceSpec.model_validate(world.spec())
    work = TrainWork.model_validate(world.order(world.job())["work"])
    assert work.training.search == found.training.search
    assert work.training.search is not None
    # What was looked at is what the pod draws.
    drawn = draw_points(work.model, work.training, work.training.search)
    assert drawn == draw_points(found.model, found.training, work.training.search)
    assert len(drawn) == 20
