"""etcd, kube-apiserver, controller-manager and scheduler on the loopback, and kwok in the place of kubelets.

They are the binaries of ``tests/cluster``, but a control plane of the bench's own: what else runs on a cluster neither
disturbs the figures nor is disturbed. It is gone with the ``with`` block.
"""

import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from tests.bench.kwok.api import Api, Object
from tests.bench.kwok.audit import POLICY, AuditLog
from tests.bench.kwok.process import free_port, running
from tests.cluster.toolchain import binary

USERS = ("bench", "operator", "controllers", "scheduler", "kwok", "kueue")
"""Each component has a token of its own, so that the audit log tells them apart."""

START_SECONDS = 60.0
SERVICE_RANGE = "198.18.0.0/20"
POD_RANGE = "198.19.0.1/16"
"""Addresses that nobody is asked at."""

RATE_LIMIT = ("--kube-api-qps=500", "--kube-api-burst=1000")
"""The operator is measured, not the patience of the others: their own default is 20 requests each second."""


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A Kubernetes without kubelets: the bench's own access, the kubeconfigs of others, and what they asked for."""

    api: Api
    kubeconfigs: Mapping[str, Path]
    audit: AuditLog


@contextmanager
def control_plane(folder: Path, stages: Sequence[Object]) -> Iterator[ControlPlane]:
    """Run a control plane with its state in the folder; ``stages`` tell kwok what becomes of nodes and pods."""
    tokens = {user: secrets.token_hex(16) for user in USERS}
    port = free_port()
    with ExitStack() as stack:
        etcd_url = stack.enter_context(running_etcd(folder))
        apiserver = stack.enter_context(
            running("kube-apiserver", apiserver_command(folder, port, etcd_url, tokens), folder=folder)
        )
        authority = folder / "pki" / "apiserver.crt"  # self-signed, made by the apiserver itself
        apiserver.wait_until(authority.exists, what="the apiserver's certificate", seconds=START_SECONDS)
        api = Api(port=port, token=tokens["bench"], authority=authority)
        stack.callback(api.close)
        apiserver.wait_until(api.is_ready, what="the apiserver", seconds=START_SECONDS)
        kubeconfigs = {user: write_kubeconfig(folder, user, port, token, authority) for user, token in tokens.items()}
        for name, argv in _others(folder, kubeconfigs, stages).items():
            stack.enter_context(running(name, argv, folder=folder))
        yield ControlPlane(api=api, kubeconfigs=kubeconfigs, audit=AuditLog(folder / "audit.log"))


@contextmanager
def running_etcd(folder: Path) -> Iterator[str]:
    """An etcd with its data in the folder's ``etcd``; gives its URL, before it answers."""
    url = f"http://127.0.0.1:{free_port()}"
    argv = [
        binary("etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={8 << 30}",  # 2 GiB by default, which attacks fill
        "--log-level=warn",
    ]
    with running("etcd", argv, folder=folder):
        yield url  # the apiserver waits for it


def apiserver_command(folder: Path, port: int, etcd_url: str, tokens: Mapping[str, str]) -> list[str]:
    """The command line of an apiserver that allows all these users everything; its keys are made in the folder."""
    key, public, users, policy = (folder / name for name in ("sa.key", "sa.pub", "tokens.csv", "audit-policy.yaml"))
    for arguments in (("genrsa", "-out", key, "2048"), ("rsa", "-in", key, "-pubout", "-out", public)):
        subprocess.run(("openssl", *map(str, arguments)), check=True, capture_output=True)
    users.write_text("".join(f'{token},{user},{user},"system:masters"\n' for user, token in tokens.items()))
    policy.write_text(yaml.safe_dump(POLICY))
    return [
        binary("kube-apiserver"),
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'pki'}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--endpoint-reconciler-type=none",  # an endpoint may not be a loopback address, and no pod looks for it
        "--authorization-mode=AlwaysAllow",
        "--anonymous-auth=false",
        f"--token-auth-file={users}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={key}",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
    ]


def _others(folder: Path, kubeconfigs: Mapping[str, Path], stages: Sequence[Object]) -> dict[str, list[str]]:
    kwok = folder / "kwok.yaml"
    kwok.write_text(yaml.safe_dump_all(stages))
    return {
        "kube-controller-manager": [
            binary("kube-controller-manager"),
            f"--kubeconfig={kubeconfigs['controllers']}",
            f"--service-account-private-key-file={folder / 'sa.key'}",
            "--leader-elect=false",
            "--secure-port=0",
            *RATE_LIMIT,
        ],
        "kube-scheduler": [
            binary("kube-scheduler"),
            f"--kubeconfig={kubeconfigs['scheduler']}",
            "--leader-elect=false",
            "--secure-port=0",
            *RATE_LIMIT,
        ],
        "kwok": [
            binary("kwok"),
            f"--kubeconfig={kubeconfigs['kwok']}",
            f"--config={kwok}",
            f"--cidr={POD_RANGE}",
            "--manage-all-nodes",
            "--node-lease-duration-seconds=40",  # as a kubelet's; without a lease a node is given up after 50 s
        ],
    }


def write_kubeconfig(folder: Path, user: str, port: int, token: str, authority: Path) -> Path:
    """A kubeconfig in the folder."""
    path = folder / f"{user}.kubeconfig"
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
        "current-context": "bench",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path
