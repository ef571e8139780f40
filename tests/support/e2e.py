"""A user of the cluster: kubectl with ``edit`` in one namespace, and a cheap look at what becomes of things."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import kubernetes.config
from kubernetes.watch.watch import iter_resp_lines
from tests.support.cluster import kubectl

from modelservice.contract.resource import API_VERSION, KIND
from modelservice_operator.constants import LABEL_NAME, LABEL_STAGE
from modelservice_operator.kinds import CHILD_KINDS, EVENT, MODEL_SERVICE, POD, SERVICE
from modelservice_operator.objects import Kind

Object = dict[str, Any]
Holds = Callable[[Object], bool]
Seen = TypeVar("Seen")

LIGHT: Object = {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}}}
"""Requests so small that the scheduler lets many pods run side by side on two CPUs; limits stay as they are."""

PENALTY = 0.01
"""Of the model that most stories train."""


class Api:
    """JSON over kept connections: a kubectl for each look would cost more CPU than what is tested."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = kubernetes.config.new_client_from_config(  # type: ignore[no-untyped-call]  # theirs
            config_file=str(kubeconfig)
        )

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Object:
        """Send a request and read the answer, also one that is a refusal (kind Status)."""
        url = self._client.configuration.host + path
        headers = {"Accept": "application/json", "Content-Type": content_type}
        answer = self._client.call_api(method, url, header_params=headers, body=body, _request_timeout=10)
        read: Object = json.loads(answer.read())
        return read

    def log(self, namespace: str, pod: str) -> str:
        """What the container of a pod has logged so far.

        Raises:
            AssertionError: it has not started, or is gone.
        """
        url = f"{self._client.configuration.host}{POD.path(namespace, pod)}/log"
        answer = self._client.call_api("GET", url, header_params={"Accept": "*/*"}, _request_timeout=10)
        said: str = answer.read().decode()
        assert answer.status == HTTPStatus.OK, said
        return said

    def states(self, kind: Kind, namespace: str, name: str, *, seconds: float) -> Iterator[Object]:
        """An object as it is, then each time that it changes, until the time is over; nothing where it is not there.

        A watch: to ask again and again cost more CPU than all else that the apiserver did for the tests.
        """
        deadline = time.monotonic() + seconds
        selected = f"{kind.path(namespace)}?fieldSelector=metadata.name%3D{name}"
        while (left := deadline - time.monotonic()) > 0:
            listed = self.request("GET", selected)
            if not listed["items"]:
                return
            yield listed["items"][0]
            since = f"&watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
            url = f"{self._client.configuration.host}{selected}{since}&timeoutSeconds={math.ceil(left)}"
            headers = {"Accept": "application/json"}
            answer = self._client.call_api("GET", url, header_params=headers, _request_timeout=left + 10)
            with answer.response as stream:
                lines = iter_resp_lines(stream)  # type: ignore[no-untyped-call]  # theirs
                for event in map(json.loads, lines):
                    if event["type"] == "ERROR":  # too old a version: it is listed anew
                        break
                    if event["type"] == "DELETED":
                        return
                    yield event["object"]

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        found = self.request("GET", kind.path(namespace, name))
        return None if found.get("kind") == "Status" and found.get("code") == 404 else found

    def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> list[Object]:
        """All objects of a kind."""
        items: list[Object] = self.request("GET", f"{kind.path(namespace)}?labelSelector={quote(labels)}")["items"]
        return items


PATIENCE_SECONDS = 900.0
"""For what pods come to: many share the CPUs, and a machine may be a slow one."""


def eventually(look: Callable[[], Seen], *, what: str, seconds: float = 300, poll: float = 0.3) -> Seen:
    """Look again and again until something true is seen, and answer with it.

    Raises:
        AssertionError: nothing of the kind was seen before the deadline.
    """
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(poll)
    return seen


def wait_established(crd: str, *, kubeconfig: Path | None = None) -> None:
    """Wait until the apiserver serves a CustomResourceDefinition.

    ``kubectl wait`` gives up on one that is so new that it has no conditions yet.
    """
    path = "jsonpath={.status.conditions[?(@.type=='Established')].status}"
    eventually(
        lambda: kubectl("get", "crd", crd, "-o", path, kubeconfig=kubeconfig).stdout == "True",
        what=f"{crd} served",
        seconds=30,
    )


def condition(service: Object, kind: str) -> Object:
    """A condition of a ModelService, or an empty one."""
    conditions: list[Object] = service.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def progress(service: Object) -> int:
    """Percent of the stage that runs; 0 where nothing is said."""
    return int(service.get("status", {}).get("progress", "0%").rstrip("%") or 0)


def metrics(service: Object) -> Mapping[str, float]:
    """Metrics on the test rows of the newest revision, by name."""
    return {one["name"]: one["value"] for one in service["status"]["revisions"][0]["metrics"]}


def is_ready(service: Object) -> bool:
    """Whether the newest spec is served."""
    ready = condition(service, "Ready")
    return (ready.get("status"), ready.get("observedGeneration")) == ("True", service["metadata"]["generation"])


def says(reason: str, *words: str) -> Holds:
    """Whether Ready is False for this reason, with these words in its message."""

    def holds(service: Object) -> bool:
        ready = condition(service, "Ready")
        message = ready.get("message", "")
        return ready.get("reason") == reason and ready["status"] == "False" and all(word in message for word in words)

    return holds


def config_map(name: str, text: str, *, key: str = "table.csv") -> Object:
    """A ConfigMap with a table."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}}


def model_service(name: str, *, data: Object | None = None, **spec: Any) -> Object:
    """A small ModelService on the ConfigMap of its name; parts of the spec may be given.

    Its model needs neither torch nor scikit-learn: most stories are about what is around a training, and one of a
    network takes more than twice the CPU time, nearly all of it until torch is there.
    """
    source = {"configMap": {"name": name}, "target": "species", **(data or {})}
    training = {**LIGHT, **spec.pop("training", {})}
    serving = {**LIGHT, **spec.pop("serving", {})}
    small = {"data": source, "model": ridge(PENALTY), "training": training, "serving": serving}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": {**small, **spec}}


def ridge(penalty: float) -> Object:
    """A ``model``; another penalty is another training."""
    return {"kernelRidge": {"gamma": 0.3, "penalty": penalty}}


def network(name: str, **spec: Any) -> Object:
    """The same with a small network, for what is about epochs, engines, checkpoints or workers."""
    training = {"epochs": 5, **spec.pop("training", {})}
    return model_service(name, **{"model": {"mlp": {"hiddenLayers": [8]}}, **spec, "training": training})


@dataclass(frozen=True, kw_only=True)
class Space:
    """A namespace under Pod Security ``restricted``, as a user sees it who has only ``edit`` in it."""

    name: str
    api: Api
    admin: Path
    user: Path
    user_name: str

    def create(self) -> None:
        """Make the namespace and let the user in: the administrator's part."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}}
        rbac = "rbac.authorization.k8s.io"
        binding = {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "edit", "namespace": self.name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": self.user_name}],
        }
        bindings = f"/apis/{rbac}/v1/namespaces/{self.name}/rolebindings"
        for path, obj in (("/api/v1/namespaces", namespace), (bindings, binding)):
            made = self.api.request("POST", path, obj)
            assert made["kind"] == obj["kind"], made

    def administer(self, obj: Object) -> None:
        """Apply an object as the cluster's administrator: a quota, a volume."""
        applied = kubectl("apply", "-f", "-", input=json.dumps(obj), kubeconfig=self.admin)
        assert applied.returncode == 0, applied.stderr

    def as_admin(self, *args: str | Path) -> str:
        """Run kubectl as the cluster's administrator, in the namespace, and answer with what it prints."""
        done = kubectl("--namespace", self.name, *args, kubeconfig=self.admin)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, args))}: {done.stderr}"
        return done.stdout

    def remove(self) -> None:
        """Delete the namespace; Kubernetes goes on in the background."""
        self.api.request("DELETE", f"/api/v1/namespaces/{self.name}")

    def kubectl(self, *args: str | Path, input: str | None = None, timeout: float = 60) -> str:  # noqa: A002
        """Run kubectl as the user, in the namespace, and answer with what it prints."""
        done = kubectl("--namespace", self.name, *args, input=input, kubeconfig=self.user, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, args))}: {done.stderr}"
        return done.stdout

    def try_kubectl(self, *args: str | Path) -> str:
        """Run kubectl as the user, expecting that it is refused, and answer with why."""
        done = kubectl("--namespace", self.name, *args, kubeconfig=self.user)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def apply(self, *objects: Object) -> None:
        """Apply objects, in one file."""
        self.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def patch(self, name: str, spec: Object) -> None:
        """Change parts of a ModelService's spec; null takes a field away."""
        self.kubectl("patch", "modelservice", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def service(self, name: str) -> Object:
        """The ModelService as it is now."""
        found = self.api.get(MODEL_SERVICE, self.name, name)
        assert found is not None, f"ModelService {name} is gone"
        return found

    def children(self, kind: Kind, name: str) -> list[Object]:
        """Objects of a kind that carry the label of a ModelService."""
        return self.api.list(kind, self.name, labels=f"{LABEL_NAME}={name}")

    def pods(self, name: str, stage: str) -> list[Object]:
        """Pods of a stage: train, compress or serve."""
        return self.api.list(POD, self.name, labels=f"{LABEL_NAME}={name},{LABEL_STAGE}={stage}")

    def wait(self, name: str, holds: Holds, *, what: str, seconds: float = PATIENCE_SECONDS) -> Object:
        """Wait until a ModelService is in a state, and answer with it."""
        for service in self.api.states(MODEL_SERVICE, self.name, name, seconds=seconds):
            if holds(service):
                return service
        self.service(name)
        raise AssertionError(f"{self.name}/{name} {what}: not within {seconds:.0f} s")

    def wait_ready(self, name: str, *, seconds: float = PATIENCE_SECONDS) -> Object:
        """Wait until the newest spec is served."""
        return self.wait(name, is_ready, what="is Ready", seconds=seconds)

    def events(self, name: str, kind: str = KIND) -> list[Object]:
        """Events about an object."""
        found = self.api.list(EVENT, self.name)
        return [one for one in found if (one["involvedObject"]["kind"], one["involvedObject"]["name"]) == (kind, name)]

    def warned(self, name: str, reason: str) -> bool:
        """Whether an event warns about a ModelService for this reason; it is written just after the status."""
        return any((one["reason"], one["type"]) == (reason, "Warning") for one in self.events(name))

    def address(self, name: str) -> str:
        """ClusterIP of a model's Service, which is routed from this machine."""
        service = self.api.get(SERVICE, self.name, name)
        assert service is not None, f"Service {name} is missing"
        address: str = service["spec"]["clusterIP"]
        return address

    def versions(self) -> Mapping[tuple[str, str], str]:
        """resourceVersion of every ModelService and child: equal ones mean that nobody wrote anything."""
        return {
            (kind.kind, obj["metadata"]["name"]): obj["metadata"]["resourceVersion"]
            for kind in (MODEL_SERVICE, *CHILD_KINDS)
            for obj in self.api.list(kind, self.name, labels="" if kind == MODEL_SERVICE else LABEL_NAME)
        }

    def diagnosis(self) -> str:
        """What a person would look at first."""

        def run(*args: str) -> str:
            done = kubectl(*args, "-n", self.name, kubeconfig=self.admin)
            return f"$ kubectl {' '.join(args)} -n {self.name}\n{(done.stdout + done.stderr)[-6000:]}"

        looks = [
            run("get", "mdsvc,jobs,deployments,pods,pvc", "-o", "wide"),
            run("get", "mdsvc", "-o", 'jsonpath={range .items[*]}{.metadata.name}: {.status}{"\\n"}{end}'),
            run("get", "events", "--sort-by=.lastTimestamp"),
        ]
        looks += [
            run("logs", f"pod/{pod['metadata']['name']}", "--tail=15") for pod in self.api.list(POD, self.name)[:6]
        ]
        return "\n".join(looks)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add the state of the namespace to what goes wrong inside."""
        try:
            yield
        except BaseException as error:
            error.add_note(self.diagnosis())
            raise
