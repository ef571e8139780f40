"""Who the pods are and who may talk to them: ServiceAccount and NetworkPolicy."""

from modelservice.contract.places import GRPC_PORT, PROGRESS_PORT, SERVING_PORT, STATUS_PORT
from modelservice.contract.serving import Scope, Serving
from modelservice_operator.config import Settings
from modelservice_operator.constants import LABEL_NAME, OPERATOR_POD_LABELS
from modelservice_operator.domain.builders.pods import plain
from modelservice_operator.domain.judging import is_judged
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.objects import Object


def build_service_account(owner: Owner) -> Object:
    """An identity without a token: the runtime needs no Kubernetes permission at all."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": owner.metadata(owner.name),
        "automountServiceAccountToken": False,
    }


def build_network_policy(owner: Owner, serving: Serving, settings: Settings) -> Object:
    """Lets clients reach the serving ports, Prometheus metrics, the operator the progress port; all else stays out."""
    allow_from = serving.allow_from
    ports = [SERVING_PORT, *([GRPC_PORT] if serving.grpc else [])]
    namespaces = [*settings.ingress_namespaces, *settings.prometheus_namespaces]
    peers = [*_scope_peers(allow_from.scope), *(_peer(plain(peer)) for peer in allow_from.peers)]
    peers += [_namespace(namespace) for namespace in dict.fromkeys(namespaces)]
    operator = {**_namespace(settings.pod_namespace), "podSelector": {"matchLabels": dict(OPERATOR_POD_LABELS)}}
    # What a canary is judged by is read where each pod has it, whatever the spec says of ports by now.
    read = [SERVING_PORT, STATUS_PORT] if is_judged(serving.canary) else []
    ingress: list[Object] = [{"from": [operator], "ports": [_port(port) for port in (PROGRESS_PORT, *read)]}]
    if peers:
        ingress.insert(0, {"from": peers, "ports": [_port(port) for port in ports]})
    if serving.has_status_port and settings.prometheus_namespaces:
        scrapers = [_namespace(namespace) for namespace in dict.fromkeys(settings.prometheus_namespaces)]
        ingress.insert(-1, {"from": scrapers, "ports": [_port(STATUS_PORT)]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": owner.metadata(owner.name),
        "spec": {
            "podSelector": {"matchLabels": {LABEL_NAME: owner.name}},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def _scope_peers(scope: Scope) -> list[Object]:
    return {Scope.NAMESPACE: [{"podSelector": {}}], Scope.CLUSTER: [{"namespaceSelector": {}}], Scope.NONE: []}[scope]


def _peer(said: Object) -> Object:
    """An empty peer selects the pods of this namespace; Kubernetes wants at least one selector to be there."""
    return said or {"podSelector": {}}


def _namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _port(number: int) -> Object:
    return {"protocol": "TCP", "port": number}
