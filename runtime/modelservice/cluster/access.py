"""What the apiserver is asked, as plain objects; contexts, exec plugins and namespaces are kubectl's."""

import difflib
import importlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from modelservice.cluster.errors import ClusterError, NotFoundError, told
from modelservice.contract.resource import GROUP, KIND, VERSION

Object = dict[str, Any]
PLURAL: Final = "modelservices"
NAME_LABEL: Final = "modelservice.dev/name"
STAGE_LABEL: Final = "modelservice.dev/stage"
TRACK_LABEL: Final = "modelservice.dev/track"
SERVING: Final = "serve"
FIELD_MANAGER: Final = "kubectl-modelservice"
TIMEOUT: Final = 30
"""Seconds that an answer may take."""
CHILDREN: Final = {
    "ControllerRevision": ("AppsV1Api", "controller_revision"),
    "Job": ("BatchV1Api", "job"),
    "Deployment": ("AppsV1Api", "deployment"),
    "HorizontalPodAutoscaler": ("AutoscalingV2Api", "horizontal_pod_autoscaler"),
    "Service": ("CoreV1Api", "service"),
    "PersistentVolumeClaim": ("CoreV1Api", "persistent_volume_claim"),
    "Pod": ("CoreV1Api", "pod"),
}
"""Kinds that a person asks about, in the order in which they are shown."""


class Access:
    """A cluster and a namespace of it.

    Attributes:
        namespace: where ModelServices are looked for.
        where: the cluster, for messages.
    """

    def __init__(
        self,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        namespace: str | None = None,
        timeout: float | None = None,
    ):
        """Read the kubeconfig; nothing is asked yet.

        Args:
            kubeconfig: its file, None for KUBECONFIG or ~/.kube/config.
            context: of it, None for the current one.
            namespace: None for that of the context.
            timeout: seconds that an answer may take where nobody waits for a second try; None for the usual patience.

        Raises:
            ClusterError: there is no kubeconfig, or no such context.
        """
        kubernetes: Any = importlib.import_module("kubernetes")  # takes half a second
        with told("the kubeconfig"):
            settings = kubernetes.client.Configuration()
            kubernetes.config.load_kube_config(kubeconfig, context, settings)
            if timeout is not None:
                settings.retries = False
            contexts, current = kubernetes.config.list_kube_config_contexts(kubeconfig)
        chosen = current if context is None else next(one for one in contexts if one["name"] == context)
        self.namespace = namespace or chosen["context"].get("namespace") or "default"
        self.where = f"the cluster at {settings.host}"
        self._kubernetes = kubernetes.client
        self._client = kubernetes.client.ApiClient(settings)
        self._timeout = TIMEOUT if timeout is None else timeout

    def api(self, name: str) -> Any:
        """A part of the official client, such as CoreV1Api; what it raises, ``told`` puts into words."""
        return getattr(self._kubernetes, name)(self._client)

    def service(self, name: str) -> Object:
        """A ModelService.

        Raises:
            ClusterError: it is not there; the message says which are.
        """
        try:
            with told(self.where):
                found: Object = self.api("CustomObjectsApi").get_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, PLURAL, name, _request_timeout=self._timeout
                )
        except NotFoundError as error:
            names = [one["metadata"]["name"] for one in self.services()]
            close = difflib.get_close_matches(name, names, n=1)
            there = f"there are {', '.join(names[:20])}" if names else "there is none"
            remedy = f"did you mean {close[0]}?" if close else f"{there}; is --namespace right?"
            raise NotFoundError(f"no ModelService {name} in namespace {self.namespace}: {remedy}") from error
        return found

    def services(self, *, everywhere: bool = False) -> list[Object]:
        """All ModelServices of the namespace, or of all.

        Raises:
            ClusterError: the cluster does not know the kind, or refuses.
        """
        api = self.api("CustomObjectsApi")
        try:
            with told(self.where):
                if everywhere:
                    listed = api.list_cluster_custom_object(GROUP, VERSION, PLURAL, _request_timeout=self._timeout)
                else:
                    listed = api.list_namespaced_custom_object(
                        GROUP, VERSION, self.namespace, PLURAL, _request_timeout=self._timeout
                    )
        except NotFoundError as error:
            message = f"{self.where} has no {KIND}s: install the operator first, or choose another --context"
            raise ClusterError(message) from error
        items: list[Object] = listed["items"]
        return items

    def children(self, name: str) -> dict[str, list[Object]]:
        """What there is of a ModelService, by kind; a kind that may not be read is left out."""
        found: dict[str, list[Object]] = {}
        for kind, (api, noun) in CHILDREN.items():
            with suppress(ClusterError), told(self.where):
                found[kind] = self._listed(api, noun, f"{NAME_LABEL}={name}")
        return found

    def pods(self, name: str, *, stage: str | None = None) -> list[Object]:
        """Pods of a ModelService, the newest first, then those that are about to end.

        Args:
            name: of it.
            stage: of these only, such as ``SERVING``.
        """
        selector = f"{NAME_LABEL}={name}" + ("" if stage is None else f",{STAGE_LABEL}={stage}")
        with told(self.where):
            found = self._listed("CoreV1Api", "pod", selector)
        newest = sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
        return sorted(newest, key=lambda pod: "deletionTimestamp" in pod["metadata"])

    def config_map(self, name: str) -> Object | None:
        """A ConfigMap, None where there is none."""
        with suppress(NotFoundError), told(self.where):
            read = self.api("CoreV1Api").read_namespaced_config_map(
                name, self.namespace, _request_timeout=self._timeout, _preload_content=True
            )
            return self._plain(read)
        return None

    def patch(self, name: str, change: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Merge a change into a ModelService.

        Raises:
            ClusterError: the apiserver refuses what would come of it.
        """
        with told(self.where):
            changed: Object = self.api("CustomObjectsApi").patch_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                PLURAL,
                name,
                dict(change),
                field_manager=FIELD_MANAGER,
                _content_type="application/merge-patch+json",
                _request_timeout=self._timeout,
                **({"dry_run": "All"} if dry_run else {}),
            )
        return changed

    def delete_job(self, name: str, uid: str, *, dry_run: bool = False) -> None:
        """Delete a Job and its pods.

        Raises:
            ClusterError: it is gone, another one has its name, or the apiserver refuses.
        """
        # All in the body: where there is one, the apiserver looks at no parameter of the query.
        options = self._kubernetes.V1DeleteOptions(
            propagation_policy="Background",
            preconditions=self._kubernetes.V1Preconditions(uid=uid),
            dry_run=["All"] if dry_run else None,
        )
        with told(self.where):
            self.api("BatchV1Api").delete_namespaced_job(
                name,
                self.namespace,
                body=options,
                _request_timeout=self._timeout,
            )

    def stored(self, document: Mapping[str, Any], live: Object | None) -> Object:
        """What the apiserver would store of a ModelService, with its defaults; nothing is stored.

        Args:
            document: the whole of it.
            live: what it takes the place of, None where it is new.

        Raises:
            ClusterError: it would be refused; the message says why.
        """
        api, place = self.api("CustomObjectsApi"), (GROUP, VERSION, self.namespace, PLURAL)
        more = {"dry_run": "All", "field_manager": FIELD_MANAGER, "_request_timeout": self._timeout}
        with told(self.where):
            if live is None:
                found: Object = api.create_namespaced_custom_object(*place, dict(document), **more)
            else:
                body = {**document, "metadata": live["metadata"]}
                found = api.replace_namespaced_custom_object(*place, live["metadata"]["name"], body, **more)
        return found

    def log(self, pod: str, *, container: str | None = None, follow: bool = False) -> Iterator[str]:
        """Lines of a pod's log.

        Raises:
            ClusterError: the pod is gone, or has not begun yet.
        """
        with told(self.where):
            answer = self.api("CoreV1Api").read_namespaced_pod_log(
                pod,
                self.namespace,
                follow=follow,
                _preload_content=False,
                **({} if container is None else {"container": container}),
            )
            for line in answer:
                yield line.decode("utf-8", "replace")

    def _listed(self, api: str, noun: str, selector: str) -> list[Object]:
        ask = getattr(self.api(api), f"list_namespaced_{noun}")
        listed = ask(self.namespace, label_selector=selector, _request_timeout=self._timeout)
        items: list[Object] = self._plain(listed)["items"]
        return items

    def _plain(self, read: Any) -> Object:
        plain: Object = self._client.sanitize_for_serialization(read)
        return plain
