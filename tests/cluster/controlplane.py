"""etcd, kube-apiserver, kube-controller-manager, kube-scheduler: what they are started with, and why."""

import http.client
import ssl
from contextlib import closing

import yaml
from tests.cluster import pki
from tests.cluster.network import BRIDGE_IP, CONTROL_PLANE, REGISTRY, SERVICE_RANGE
from tests.cluster.paths import CONFIG, LOGS, PKI, REGISTRY_STORAGE, STATE, write_if_changed
from tests.cluster.processes import Component
from tests.cluster.toolchain import binary

IP = CONTROL_PLANE.ip
ETCD = f"http://{IP}:2379"
EXEMPT_NAMESPACES = ["kube-system"]
AUDITED_NAMESPACE = "modelservice-system"
AUDIT_LOG = LOGS / "audit.log"
"""Calls of ServiceAccounts of that namespace, each a line of JSON."""


def healthy(port: int, path: str, *, tls: bool = True, host: str = IP) -> bool:
    """Ask a component how it is; certificates are checked where the CA signed them."""
    connection: http.client.HTTPConnection
    try:
        if tls:
            context = ssl.create_default_context(cafile=str(pki.CA))
            context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
            connection = http.client.HTTPSConnection(host, port, timeout=2, context=context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=2)
        with closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False


def registry() -> Component:
    """Build the image registry: on the machine's side of the bridge, so that only changed layers travel to a node."""
    config = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(REGISTRY_STORAGE)}, "delete": {"enabled": True}},
        "http": {"addr": REGISTRY},
    }
    path = CONFIG / "registry.yaml"
    write_if_changed(path, yaml.safe_dump(config))
    return Component(
        name="registry",
        argv=[binary("registry"), "serve", str(path)],
        env={"OTEL_TRACES_EXPORTER": "none"},  # it looks for a collector on loopback otherwise
        files=[path],
        ready=lambda: healthy(5000, "/v2/", tls=False, host=BRIDGE_IP),
    )


def etcd() -> Component:
    """Build etcd, on the node's own address only: nothing outside the machine routes there."""
    argv = [
        binary("etcd"),
        f"--data-dir={STATE / 'etcd'}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # a test cluster: speed before surviving a power cut
        "--log-level=warn",
    ]
    return Component(
        name="etcd", argv=argv, netns=CONTROL_PLANE.name, ready=lambda: healthy(2379, "/readyz", tls=False)
    )


def apiserver() -> Component:
    """Build kube-apiserver."""
    admission, audit = CONFIG / "admission.yaml", CONFIG / "audit.yaml"
    write_if_changed(admission, yaml.safe_dump(_admission()))
    write_if_changed(audit, yaml.safe_dump(_audit()))
    front_proxy = pki.certificate("front-proxy-client")
    kubelet_client = "apiserver-kubelet-client"
    argv = [
        binary("kube-apiserver"),
        f"--etcd-servers={ETCD}",
        f"--advertise-address={IP}",
        f"--bind-address={IP}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",  # as real clusters do; Pod Security is what refuses
        "--enable-admission-plugins=NodeRestriction",
        f"--admission-control-config-file={admission}",
        f"--audit-policy-file={audit}",
        f"--audit-log-path={AUDIT_LOG}",
        "--audit-log-maxsize=256",
        "--audit-log-maxbackup=1",
        "--anonymous-auth=false",
        "--profiling=false",
        f"--client-ca-file={pki.CA}",
        f"--tls-cert-file={pki.certificate('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki.SERVICE_ACCOUNT_PUBLIC_KEY}",
        f"--service-account-signing-key-file={pki.SERVICE_ACCOUNT_KEY}",
        f"--kubelet-certificate-authority={pki.CA}",
        f"--kubelet-client-certificate={pki.certificate(kubelet_client)}",
        f"--kubelet-client-key={pki.key(kubelet_client)}",
        "--kubelet-preferred-address-types=InternalIP",  # else `kubectl logs` looks the node's name up in DNS
        # metrics-server stands behind the aggregator; one CA signs all, so the proxy's name has to be given.
        f"--requestheader-client-ca-file={pki.CA}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={front_proxy}",
        f"--proxy-client-key-file={pki.key('front-proxy-client')}",
        "--enable-aggregator-routing=true",
        "--shutdown-delay-duration=0s",
    ]
    return Component(
        name="kube-apiserver",
        argv=argv,
        netns=CONTROL_PLANE.name,
        files=[admission, audit, pki.certificate("apiserver")],
        ready=lambda: healthy(6443, "/readyz"),
    )


def _audit() -> dict[str, object]:
    """What the operator asks for, without bodies; of a watch also that it began."""
    operator = {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{AUDITED_NAMESPACE}"]}
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [operator, {"level": "None"}],
    }


def _admission() -> dict[str, object]:
    """Pod Security `restricted` for every namespace that does not say otherwise."""
    levels = dict.fromkeys(("enforce", "audit", "warn"), "restricted")
    versions = {f"{mode}-version": "latest" for mode in levels}
    configuration = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": levels | versions,
        "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": EXEMPT_NAMESPACES},
    }
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "PodSecurity", "configuration": configuration}],
    }


def controller_manager() -> Component:
    """Build kube-controller-manager; one instance, so no leader election."""
    kubeconfig = pki.write_kubeconfig(PKI / "kube-controller-manager.kubeconfig", "kube-controller-manager")
    argv = [
        binary("kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki.SERVICE_ACCOUNT_KEY}",
        f"--root-ca-file={pki.CA}",
        "--horizontal-pod-autoscaler-sync-period=5s",  # tests wait for the autoscaler
        # EndpointSlices are what everything here reads; their predecessor is written for each change of a pod, too.
        "--controllers=*,-endpoints-controller,-endpointslice-mirroring-controller",
        "--profiling=false",
    ]
    return Component(name="kube-controller-manager", argv=argv, netns=CONTROL_PLANE.name, files=[kubeconfig])


def scheduler() -> Component:
    """Build kube-scheduler."""
    kubeconfig = pki.write_kubeconfig(PKI / "kube-scheduler.kubeconfig", "kube-scheduler")
    argv = [
        binary("kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
    ]
    return Component(name="kube-scheduler", argv=argv, netns=CONTROL_PLANE.name, files=[kubeconfig])
