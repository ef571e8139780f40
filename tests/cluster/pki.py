"""Keys, certificates and kubeconfigs, made by openssl. Nothing here is ever printed."""

import base64
import json
from pathlib import Path

from tests.cluster.network import API_SERVER, CONTROL_PLANE, KUBERNETES_SERVICE_IP, NodeAddress
from tests.cluster.paths import PKI, STATE, private_folder, write_if_changed
from tests.cluster.shell import run

CA = PKI / "ca.crt"
CA_KEY = PKI / "ca.key"
SERVICE_ACCOUNT_KEY = PKI / "service-account.key"
SERVICE_ACCOUNT_PUBLIC_KEY = PKI / "service-account.pub"
DAYS = "3650"  # a test cluster's state may be old; its age must not be what breaks it

# A configuration of our own: the distribution's adds extensions (CA:TRUE among them) that contradict ours.
OPENSSL_CONFIG = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = unused\n"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def certificate(name: str) -> Path:
    """Return where a certificate lies; its key is beside it."""
    return PKI / f"{name}.crt"


def key(name: str) -> Path:
    """Return where a certificate's key lies."""
    return PKI / f"{name}.key"


def ensure_authority() -> None:
    """Make what is missing of the CA, the control plane's certificates and the service accounts' key pair."""
    private_folder(STATE)
    private_folder(PKI)
    write_if_changed(PKI / "openssl.cnf", OPENSSL_CONFIG)
    if not CA.exists():
        extensions = (
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        )
        _request("-keyout", CA_KEY, "-out", CA, "-subj", "/CN=modelservice-cluster", *extensions)
    if not SERVICE_ACCOUNT_PUBLIC_KEY.exists():
        run("openssl", "genrsa", "-out", SERVICE_ACCOUNT_KEY, "2048")
        run("openssl", "rsa", "-in", SERVICE_ACCOUNT_KEY, "-pubout", "-out", SERVICE_ACCOUNT_PUBLIC_KEY)
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    addresses = (CONTROL_PLANE.ip, "127.0.0.1", KUBERNETES_SERVICE_IP)
    sans = [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
    issue("apiserver", "/CN=kube-apiserver", sans=sans)
    issue("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    issue("front-proxy-client", "/CN=front-proxy-client")
    issue("admin", "/O=system:masters/CN=admin")
    for component in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        issue(component, f"/CN=system:{component}")


def ensure_node(node: NodeAddress) -> None:
    """Make a kubelet's certificate: a client of the apiserver and a server for logs and metrics."""
    sans = [f"DNS:{node.name}", f"IP:{node.ip}"]
    issue(f"kubelet-{node.name}", f"/O=system:nodes/CN=system:node:{node.name}", sans=sans)


def issue(name: str, subject: str, *, sans: list[str] | None = None) -> None:
    """Make a key and a certificate signed by the CA, unless they are there."""
    if certificate(name).exists() and key(name).exists():
        return
    usage = "extendedKeyUsage=clientAuth" + (",serverAuth" if sans else "")
    extensions = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", usage]
    if sans:
        extensions += ["-addext", "subjectAltName=" + ",".join(sans)]
    _request(
        "-CA", CA, "-CAkey", CA_KEY, "-keyout", key(name), "-out", certificate(name), "-subj", subject, *extensions
    )


def _request(*arguments: str | Path) -> None:
    run("openssl", "req", "-x509", "-config", PKI / "openssl.cnf", "-days", DAYS, *NEW_KEY, *arguments)


def write_kubeconfig(path: Path, name: str) -> Path:
    """Write a kubeconfig for the holder of the certificate `name`; only its owner can read it."""

    def data(source: Path) -> str:
        return base64.b64encode(source.read_bytes()).decode()

    user = {"client-certificate-data": data(certificate(name)), "client-key-data": data(key(name))}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "modelservice", "cluster": {"server": API_SERVER, "certificate-authority-data": data(CA)}},
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "modelservice", "context": {"cluster": "modelservice", "user": name}}],
        "current-context": "modelservice",
    }
    write_if_changed(path, json.dumps(config, indent=1))
    return path


def user_kubeconfig(name: str) -> Path:
    """Return the kubeconfig of a user with no rights but what RBAC binds to the user name."""
    issue(f"user-{name}", f"/CN={name}")
    return write_kubeconfig(STATE / "users" / f"{name}.kubeconfig", f"user-{name}")
