"""What ``status`` prints: the table, and the tree of what each part waits for."""

from typing import Any

import pytest

from modelservice.cluster.tree import lines, service_row, service_tree

TRAINS = {"modelservice.dev/stage": "train"}
SERVES = {"modelservice.dev/stage": "serve"}


def condition(kind: str, status: str, reason: str = "Why", message: str = "because") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def service(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "iris", "namespace": "flowers"}, "spec": {}, "status": status}


def pod(name: str, *, labels: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"nodeName": "n1"}, "status": status}


def printed(one: dict[str, Any], **children: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
    return list(lines(service_tree(one, children)))


def test_a_row_says_why_it_is_not_ready() -> None:
    good = service(
        conditions=[condition("Ready", "True")], stage="Serving", revision=3, metric="accuracy 0.97", replicas=2
    )
    assert service_row(good) == ("flowers", "iris", "True", "Serving", "3", "accuracy 0.97", "2", "")
    stalled = service(conditions=[condition("Ready", "False", "TargetNotFound")], stage="Failed")
    assert service_row(stalled) == ("flowers", "iris", "False", "Failed", "", "", "", "TargetNotFound")
    assert service_row(service()) == ("flowers", "iris", "Unknown", "", "", "", "", "NotLookedAtYet")


def test_the_tree_shows_what_is_not_as_wanted_and_pods_below_what_made_them() -> None:
    found = printed(
        service(
            stage="Training",
            progress="40%",
            eta="3m",
            conditions=[
                condition("Ready", "False", "Training", "40% of 60 epochs"),
                condition("Available", "True"),
                condition("Stalled", "False"),
                condition("Progressing", "True"),
                condition("ArtifactsPortable", "False", "ReadWriteOnce", "all pods share one node"),
            ],
            revisions=[
                {
                    "number": 1,
                    "key": "abcdefgh",
                    "phase": "Serving",
                    "family": "mlp",
                    "primaryMetric": "accuracy",
                    "metrics": [{"name": "accuracy", "value": 0.9666}],
                }
            ],
        ),
        Job=[{"metadata": {"name": "iris-train-x"}, "status": {"active": 1}}],
        Deployment=[
            {
                "metadata": {"name": "iris"},
                "spec": {"replicas": 2},
                "status": {"readyReplicas": 1, "updatedReplicas": 2},
            }
        ],
        Service=[{"metadata": {"name": "iris"}, "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}}],
        PersistentVolumeClaim=[
            {
                "metadata": {"name": "iris-abc"},
                "spec": {"resources": {"requests": {"storage": "1Gi"}}},
                "status": {"phase": "Bound"},
            }
        ],
        Pod=[
            pod(
                "t",
                labels={"batch.kubernetes.io/job-name": "iris-train-x", "modelservice.dev/stage": "train"},
                phase="Running",
            ),
            pod(
                "s",
                labels={"modelservice.dev/stage": "serve"},
                phase="Running",
                conditions=[condition("Ready", "True")],
            ),
        ],
    )
    assert found == [
        ("ModelService/iris  Training 40% (about 3m left)", False),
        ("├─ Ready=False Training: 40% of 60 epochs", False),
        ("├─ ArtifactsPortable=False ReadWriteOnce: all pods share one node", False),
        ("├─ Revision 1  Serving, mlp, accuracy 0.967, abcdefgh", True),
        ("├─ Job/iris-train-x  1 running, 0 failed", None),
        ("│  └─ Pod/t  Running, not ready on n1", None),
        ("├─ Deployment/iris  1 of 2 ready", False),
        ("│  └─ Pod/s  ready on n1", True),
        ("├─ Service/iris  10.0.0.1 port 80", None),
        ("└─ PersistentVolumeClaim/iris-abc  Bound 1Gi", True),
    ]


def test_pods_of_a_canary_are_below_its_own_deployment() -> None:
    track = {"modelservice.dev/track": "canary"}
    numbers = {"readyReplicas": 1, "updatedReplicas": 1}
    found = printed(
        service(revisions=[{"number": 2, "key": "b", "phase": "Canary", "family": "mlp"}]),
        Deployment=[
            {"metadata": {"name": "iris"}, "spec": {"selector": {"matchLabels": SERVES}}, "status": numbers},
            {
                "metadata": {"name": "iris-canary"},
                "spec": {"selector": {"matchLabels": {**SERVES, **track}}},
                "status": numbers,
            },
        ],
        Pod=[pod("s", labels=SERVES, phase="Running"), pod("c", labels={**SERVES, **track}, phase="Running")],
    )
    assert [text for text, _ in found[1:]] == [
        "├─ Revision 2  Canary, mlp, b",
        "├─ Deployment/iris  1 of 1 ready",
        "│  └─ Pod/s  Running, not ready on n1",
        "└─ Deployment/iris-canary  1 of 1 ready",
        "   └─ Pod/c  Running, not ready on n1",
    ]
    assert found[1][1] is None, "it is on trial"


@pytest.mark.parametrize(
    ("status", "said", "good"),
    [
        (
            {
                "conditions": [
                    condition("PodScheduled", "False", "Unschedulable", "0/1 nodes: Insufficient nvidia.com/gpu")
                ]
            },
            "waits for a node: 0/1 nodes: Insufficient nvidia.com/gpu",
            False,
        ),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}]},
            "ImagePullBackOff: not found",
            False,
        ),
        (
            {
                "containerStatuses": [
                    {
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 65}},
                    }
                ]
            },
            "CrashLoopBackOff: exit code 65",
            False,
        ),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, "Pending, not ready", False),
        ({"phase": "Succeeded"}, "Succeeded", True),
        ({"phase": "Failed", "message": "The node was low on resource"}, "Failed: The node was low on resource", False),
        (
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137}}}]},
            "Failed: exit code 137",
            False,
        ),
    ],
)
def test_a_pod_says_what_it_waits_for(status: dict[str, Any], said: str, good: bool) -> None:
    deployment = {"metadata": {"name": "iris"}, "spec": {}, "status": {}}
    found = printed(
        service(), Deployment=[deployment], Pod=[pod("p", labels={"modelservice.dev/stage": "serve"}, **status)]
    )
    assert found[-1] == (f"   └─ Pod/p  {said} on n1", good)


def test_an_autoscaler_that_is_blind_is_said() -> None:
    blind = {
        "metadata": {"name": "iris"},
        "spec": {"minReplicas": 1, "maxReplicas": 5},
        "status": {"currentReplicas": 2, "conditions": [condition("ScalingActive", "False", "FailedGetPodsMetric")]},
    }
    found = printed(service(), HorizontalPodAutoscaler=[blind])
    assert found[-1] == ("└─ HorizontalPodAutoscaler/iris  2 pods, of 1 to 5: FailedGetPodsMetric", False)


@pytest.mark.parametrize(
    ("status", "said", "good"),
    [
        ({"conditions": [condition("Complete", "True", message="")]}, "Complete", True),
        ({"conditions": [condition("Failed", "True", message="deadline")]}, "Failed: deadline", False),
        ({"failed": 2}, "0 running, 2 failed", None),
    ],
)
def test_a_job_says_how_it_ended(status: dict[str, Any], said: str, good: bool | None) -> None:
    assert printed(service(), Job=[{"metadata": {"name": "j"}, "status": status}])[-1] == (f"└─ Job/j  {said}", good)
