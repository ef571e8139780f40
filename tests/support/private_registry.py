"""A registry of images beside the cluster, for one test: nodes pull from it, and who asks may have to say who he is."""

import base64
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import yaml
from tests.bench.serving_processes import free_port
from tests.cluster import node
from tests.cluster.network import BRIDGE_IP
from tests.cluster.toolchain import binary
from tests.support.e2e import eventually
from tests.unit.runtime.serving.pki import Authority

USER, PASSWORD = "puller", "pull-password-of-tests"
_HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuvYhgi3OC04oE1N.eACVAcrqoIVv/.su\n"
"""bcrypt of the password: the standard library makes none."""


@dataclass(frozen=True, kw_only=True)
class PrivateRegistry:
    """One that runs.

    Attributes:
        host: with the port, as it stands in names of images.
        variables: by which buildah and skopeo trust its certificate, and are somebody who has logged in.
    """

    host: str
    variables: Mapping[str, str]


@contextmanager
def private_registry(*, storage: Path | None = None, asks: bool = True) -> Iterator[PrivateRegistry]:
    """Run CNCF distribution where the nodes reach it, by TLS.

    Args:
        storage: what it holds already, such as that of the cluster's own registry; left out, a folder of its own.
        asks: whether it wants a password, also of who pulls.
    """
    host = f"{BRIDGE_IP}:{free_port()}"
    hosts = node.hosts_folder() / host
    with TemporaryDirectory() as there:
        folder = Path(there)
        (folder / "htpasswd").write_text(_HTPASSWD, encoding="utf-8")
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(storage or folder / "data")}},
            "http": {"addr": host, "tls": {"certificate": str(folder / "tls.crt"), "key": str(folder / "tls.key")}},
            **({"auth": {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}} if asks else {}),
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        for name, content in Authority("registries").issue("registry", ip=BRIDGE_IP).items():
            (folder / name).write_bytes(content)
        logged_in = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
        (folder / "auth.json").write_text(json.dumps({"auths": {host: logged_in}}), encoding="utf-8")
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(f'server = "https://{host}"\nca = "{folder / "ca.crt"}"\n', encoding="utf-8")
        environment = {"OTEL_TRACES_EXPORTER": "none"}  # it looks for a collector otherwise
        command = [binary("registry"), "serve", str(folder / "config.yaml")]
        try:
            with (folder / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
                try:
                    eventually(lambda: _answers(host, folder / "ca.crt"), what=f"a registry at {host}", seconds=30)
                    variables = {
                        "SSL_CERT_FILE": str(folder / "ca.crt"),
                        "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
                    }
                    yield PrivateRegistry(host=host, variables=variables)
                finally:
                    process.kill()
        finally:
            shutil.rmtree(hosts)


def _answers(host: str, authority: Path) -> bool:
    context = ssl.create_default_context(cafile=authority)
    try:
        return httpx.get(f"https://{host}/v2/", trust_env=False, verify=context).status_code in {200, 401}
    except httpx.TransportError:
        return False
