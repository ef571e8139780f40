"""An admission webhook on claims that is down, so that the apiserver answers 500: who hears of it, and what goes on?"""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.bench.attacks.base import ATTACKER, Attack, Object, serve_victim, victim
from tests.bench.kwok.api import Api, ApiError
from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import (
    apply_service,
    build_object,
    collection,
    condition,
    is_ready,
    make_namespace,
    prepare,
    service_name,
    services_path,
)
from tests.bench.kwok.process import free_port
from tests.bench.kwok.stages import all_stages
from tests.bench.kwok.subject import Subject, operator_on
from tests.bench.record import Figure, at_most, figure

LIMIT_SECONDS = 10.0
GIVE_UP_SECONDS = 60.0
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_NEW = service_name(0)
_WITHOUT_CLAIM = (
    collection("serviceaccounts", ATTACKER),
    collection("services", ATTACKER),
    collection("networkpolicies", ATTACKER, group="networking.k8s.io/v1"),
)
"""Where the children stand that a new ModelService gets before it has a claim."""


def _measure(plane: ControlPlane, folder: Path) -> list[Figure]:
    api = plane.api
    prepare(api, volumes=4)
    make_namespace(api, ATTACKER)
    with operator_on(plane, folder) as subject:
        serve_victim(plane, subject.process)
        name = _break_claims(subject)
        apply_service(api, _NEW, namespace=ATTACKER)
        new = _seconds_until(subject, lambda: _blames_webhook(_new(api)))
        missing = sum(api.find(f"{path}/{_NEW}") is None for path in _WITHOUT_CLAIM)
        began = time.monotonic()
        scaled = _scale_and_train_again(subject)
        _seconds_until(subject, lambda: _blames_webhook(victim(plane)))
        old = time.monotonic() - began
        api.delete(f"{_WEBHOOKS}/{name}")
        healed = _seconds_until(subject, lambda: is_ready(_new(api)))
    what = "webhook on claims is down"
    return [
        at_most(f"{what}: from apply to Ready's reason", new, "s", LIMIT_SECONDS),
        at_most(f"{what}: children that need no claim and are missing then", missing, "objects", 0),
        at_most(f"{what}: another one, scaled and trained again: to its Deployment", scaled, "s", LIMIT_SECONDS),
        at_most(f"{what}: another one, scaled and trained again: to Ready's reason", old, "s", LIMIT_SECONDS),
        figure("webhook on claims answers again: to Ready", healed, "s"),
    ]


def _break_claims(subject: Subject) -> str:
    """Make a webhook that nobody answers, and wait until the apiserver asks it; gives its name."""
    api, webhook = (
        subject.plane.api,
        build_object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "down"),
    )
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["persistentvolumeclaims"],
        "operations": ["CREATE", "UPDATE"],
    }
    webhook["webhooks"] = [
        {
            "name": "down.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 1,
            "clientConfig": {"url": f"https://127.0.0.1:{free_port()}/"},
            "rules": [rule],
        }
    ]
    api.create(_WEBHOOKS, webhook)

    def refused() -> bool:
        try:
            api.create(f"{collection('persistentvolumeclaims', ATTACKER)}?dryRun=All", _claim())
        except ApiError as error:
            return "down.example.com" in str(error)
        return False

    subject.process.wait_until(refused, what="a broken webhook", seconds=30, every=0.2)
    return str(webhook["metadata"]["name"])


def _claim() -> Object:
    claim = build_object("v1", "PersistentVolumeClaim", "probe", namespace=ATTACKER)
    claim["spec"] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return claim


def _scale_and_train_again(subject: Subject) -> float:
    """Ask the one that serves for a pod more and for another training, which needs a claim; seconds to the first."""
    known, api = len(subject.requests()), subject.plane.api
    name = victim(subject.plane)["metadata"]["name"]
    api.merge(f"{services_path()}/{name}", {"spec": {"serving": {"replicas": 2}, "training": {"epochs": 7}}})
    changed = subject.plane.audit.requests("bench")[-1]

    def written() -> float | None:
        for request in subject.requests()[known:]:
            if request.is_write and (request.resource, request.name) == ("deployments", name):
                return (request.answered - changed.answered) / timedelta(seconds=1)
        return None

    waited = _seconds_until(subject, lambda: written() is not None)
    return written() or waited


def _new(api: Api) -> Object:
    return api.get(f"{services_path(ATTACKER)}/{_NEW}")


def _blames_webhook(service: Object) -> bool:
    ready, generation = condition(service, "Ready"), service["metadata"]["generation"]
    says = ready.get("status") == "False" and "down.example.com" in ready.get("message", "")
    return says and ready["observedGeneration"] == generation


def _seconds_until(subject: Subject, holds: Callable[[], bool]) -> float:
    return subject.process.seconds_until(holds, most=GIVE_UP_SECONDS, every=0.1)


BROKEN_WEBHOOK = Attack(name="broken-webhook", stages=all_stages(), measure=_measure)
