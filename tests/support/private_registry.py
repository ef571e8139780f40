"""A registry of images beside the cluster, for one test: nodes pull from it, and who asks may have to say who he is."""

import shutil
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

USER, PASSWORD = "puller", "pull-password-of-tests"
_HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuvYhgi3OC04oE1N.eACVAcrqoIVv/.su\n"
"""bcrypt of the password: the standard library makes none."""


@dataclass(frozen=True, kw_only=True)
class PrivateRegistry:
    """One that runs.

    Attributes:
        host: with the port, as it stands in names of images.
        variables: by which buildah and skopeo speak to it: plain HTTP, and a file for who logs in.
    """

    host: str
    variables: Mapping[str, str]


@contextmanager
def private_registry(*, storage: Path | None = None, asks: bool = True) -> Iterator[PrivateRegistry]:
    """Run CNCF distribution where the nodes reach it, in plain HTTP.

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
            "http": {"addr": host},
            **({"auth": {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}} if asks else {}),
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        plain = f'[[registry]]\nlocation = "{host}"\ninsecure = true\n'
        (folder / "registries.conf").write_text(plain, encoding="utf-8")
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(f'server = "http://{host}"\n', encoding="utf-8")
        command = [binary("registry"), "serve", str(folder / "config.yaml")]
        try:
            with subprocess.Popen(command, env={"OTEL_TRACES_EXPORTER": "none"}) as process:
                try:
                    eventually(lambda: _answers(host), what=f"a registry at {host}", seconds=30)
                    variables = {
                        "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
                        "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
                    }
                    yield PrivateRegistry(host=host, variables=variables)
                finally:
                    process.kill()
        finally:
            shutil.rmtree(hosts)


def _answers(host: str) -> bool:
    try:
        return httpx.get(f"http://{host}/v2/", trust_env=False).status_code in {200, 401}
    except httpx.TransportError:
        return False
