"""Two releases over the same namespace, on a real apiserver, with the rights that the chart gives them."""

import asyncio
import dataclasses
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import kopf
import pytest
import yaml
from tests.support.cluster import kubectl
from tests.support.helm import NAMESPACE, RELEASE, helm_template
from tests.wiring.test_operator import ROOT, Object, free_port, model_service, namespace, run  # noqa: F401

from modelservice_operator.constants import LEASE_NAME
from modelservice_operator.handlers.login import connect
from modelservice_operator.kinds import LEASE
from modelservice_operator.kube.lease import ReleaseClient, release_annotations
from modelservice_operator.kube.transport import Transport, open_transport
from modelservice_operator.machinery.clock import SystemClock
from modelservice_operator.machinery.errors import Forbidden, KubeError
from modelservice_operator.machinery.rivals import ALL, Release, Rivals, Scope
from modelservice_operator.metrics import Metrics

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]

Install = Callable[..., str]
"""Makes the ServiceAccount and the roles of a release that works in some namespaces (none: in all); answers with where
the release is."""

_RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


_QUICK = """
import sys
from modelservice_operator.main import main
from modelservice_operator.machinery import rivals

rivals.LOOK_SECONDS, rivals.HANDOVER_SECONDS = 0.5, 1.0
sys.exit(main())
"""
"""The operator, which looks for others more often than each ten seconds, and takes over sooner than after fifteen."""


@pytest.fixture
def install(namespace: str) -> Iterator[Install]:  # noqa: F811 - it knows the cluster
    made: list[Object] = []

    def rights(*watched: str) -> str:
        release = f"wiring-{uuid.uuid4().hex[:8]}"
        text = helm_template(values={"watch": {"namespaces": list(watched)}, "rbac": {"aggregate": False}})
        rendered = yaml.safe_load_all(text.replace(NAMESPACE, release))
        objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": release}}]
        objects += [one for one in rendered if one and one["kind"] in _RIGHTS]
        made.extend(objects)
        run("create", "-f", "-", document={"apiVersion": "v1", "kind": "List", "items": objects})
        return release

    yield rights
    if made:
        left = kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", input=json.dumps({
            "apiVersion": "v1", "kind": "List", "items": made,
        }))  # fmt: skip
        assert left.returncode == 0, left.stderr


def connection_of(release: str) -> kopf.ConnectionInfo:
    """The apiserver, with the rights of the release's ServiceAccount."""
    token = run("create", "token", RELEASE, "-n", release).strip()
    admin = connect()
    return kopf.ConnectionInfo(server=admin.server, ca_data=admin.ca_data, ca_path=admin.ca_path, token=token)


@asynccontextmanager
async def transport_of(release: str, namespace: str) -> AsyncIterator[Transport]:  # noqa: F811
    """With the rights of the release once they count, in the namespace too: roles do a moment after they were made."""
    connection = connection_of(release)
    async with open_transport(connect=lambda: connection, metrics=Metrics()) as opened:
        releases = ReleaseClient(transport=opened, name=LEASE_NAME)

        async def look() -> str:
            try:
                await releases.list()
                return str(await releases.proven(written_by(release), namespace))
            except KubeError as error:
                return str(error)

        await reach(look, lambda said: said == str(True))
        yield opened


def written_by(release: str) -> Release:
    return Release(namespace=release, version="1", holder="x", renewed=None, account=RELEASE, scope=frozenset())


@asynccontextmanager
async def operator(release: str, watched: str, folder: Path, *, pod: str = "pod") -> AsyncIterator[int]:
    """A process of the release, until the block ends; answers with its port once its cache is complete."""
    connection, port = connection_of(release), free_port()
    cluster = {"server": connection.server, "certificate-authority": str(connection.ca_path)}
    kubeconfig = folder / f"{release}-{pod}"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": connection.token}}],
            }
        )
    )
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "MODELSERVICE_TRAINER_IMAGE": "none",
        "MODELSERVICE_SERVER_IMAGE": "none",
        "MODELSERVICE_WATCH_NAMESPACES": json.dumps([watched]),
        "MODELSERVICE_HTTP_PORT": str(port),
        "POD_NAME": pod,
        "POD_NAMESPACE": release,
        "POD_SERVICE_ACCOUNT": RELEASE,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "operator"), str(ROOT / "runtime"))),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _QUICK, env=environment)
    try:
        await reach(lambda: said_of(port), lambda said: said == "200 ok\n" or "already works" in said)
        yield port
    finally:
        process.terminate()
        await process.wait()
    assert process.returncode == 0


async def said_of(port: int) -> str:
    """Status and text of ``/readyz``."""
    url = f"http://127.0.0.1:{port}/readyz"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return f"{response.status} {await response.text()}"
    except aiohttp.ClientConnectionError:
        return ""


async def reach(look: Callable[[], Awaitable[str]], holds: Callable[[str], bool], *, seconds: float = 90) -> str:
    """Ask until the answer holds; answers with it."""
    async with asyncio.timeout(seconds):
        while not holds(answer := await look()):  # noqa: ASYNC110 - what it looks at announces nothing
            await asyncio.sleep(0.2)
    return answer


def holder(release: str) -> str:
    """Who holds the release's Lease; nothing where there is none."""
    found = run("get", "lease", "-n", release, LEASE_NAME, "--ignore-not-found", "-o", "json")
    return str(json.loads(found)["spec"]["holderIdentity"]) if found else ""


async def led_by(release: str, pod: str) -> None:
    async def look() -> str:
        return await asyncio.to_thread(holder, release)

    await reach(look, lambda holds: holds == pod)


def rivals_of(transport: Transport, release: str, scope: Scope) -> Rivals:
    releases = ReleaseClient(transport=transport, name=LEASE_NAME)
    return Rivals(releases=releases, namespace=release, scope=scope, clock=SystemClock())


async def test_the_second_release_writes_nothing_says_why_and_takes_over(
    install: Install,
    namespace: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    run("create", "-f", "-", document=model_service(namespace, "a"))
    first, second = install(namespace), install(namespace)
    async with AsyncExitStack() as stack:
        async with operator(first, namespace, tmp_path):
            await led_by(first, "pod")
            port = await stack.enter_async_context(operator(second, namespace, tmp_path))
            refused = f"503 {sentence(first, second, namespace)}\n"
            await reach(lambda: said_of(port), lambda said: said == refused)
            async with operator(first, namespace, tmp_path, pod="standby") as standby:
                assert await said_of(standby) == "200 ok\n", "replicas of one release are no rivals"
                assert holder(first) == "pod"
            assert holder(second) == "", "not even its own Lease is written"
            assert (await said_of(port)).startswith("503 ")
        await led_by(second, "pod")
        await reach(lambda: said_of(port), lambda said: said == "200 ok\n")
    assert (holder(first), holder(second)) == ("", "")


def sentence(theirs: str, ours: str, common: str) -> str:
    return (
        f"the release in namespace {theirs} already works in namespace {common}, where the one in namespace {ours} is"
        " to work too: uninstall one of the two, or set watch.namespaces of both so that they have none in common"
    )


@pytest.mark.parametrize("everywhere", [True, False], ids=["everywhere", "namespaces"])
async def test_the_charts_roles_suffice_for_looking_and_prove_what_they_allow(
    install: Install,
    namespace: str,  # noqa: F811
    everywhere: bool,
) -> None:
    release = install() if everywhere else install(namespace)
    written = written_by(release)
    async with transport_of(release, namespace) as transport:
        releases = ReleaseClient(transport=transport, name=LEASE_NAME)
        await releases.list()
        assert await releases.proven(written, namespace)
        assert await releases.proven(written, ALL) is everywhere
        assert not await releases.proven(dataclasses.replace(written, account="default"), namespace)
        with pytest.raises(Forbidden):
            await transport.request("list", "GET", LEASE, LEASE.path(None))
        with pytest.raises(Forbidden):
            await ReleaseClient(transport=transport, name="another").list()


async def test_a_lease_that_a_user_forged_in_a_namespace_of_theirs_stops_nobody(
    install: Install,
    namespace: str,  # noqa: F811
) -> None:
    release = install(namespace)
    annotations = release_annotations(scope=frozenset(), account="default")
    metadata = {"namespace": namespace, "name": LEASE_NAME, "annotations": annotations}
    spec = {"holderIdentity": "me", "renewTime": f"{SystemClock().now():%Y-%m-%dT%H:%M:%S.%fZ}"}
    forged = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
    run("create", "-f", "-", document=forged)
    async with transport_of(release, namespace) as transport:
        rivals = rivals_of(transport, release, frozenset((namespace,)))
        assert await rivals.look(), rivals.problem
