"""Progress: asked for over HTTP, never trusted, never a failure."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelservice.contract.progress import Progress
from modelservice_operator.answers import Answers
from modelservice_operator.kube.progress import ProgressClient, open_progress_client


class Pod:
    """A training pod that answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"done": 3, "total": 60, "loss": 0.5, "newer": true}'
        self.headers: dict[str, str] = {}
        self.asked: list[web.Request] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
def pod() -> Pod:
    return Pod()


@pytest.fixture
async def client(pod: Pod) -> AsyncIterator[ProgressClient]:
    application = web.Application()
    application.router.add_get("/{path:.*}", pod.handle)
    async with TestServer(application) as server, open_progress_client() as progress:
        assert server.port is not None
        yield ProgressClient(session=progress._session, port=server.port)


async def test_reads_progress_of_a_newer_runtime_too(client: ProgressClient, pod: Pod) -> None:
    assert await client.read("127.0.0.1") == Progress(done=3, total=60, loss=0.5)
    assert pod.asked[0].path == "/progress"
    assert pod.asked[0].headers["Accept-Encoding"] == "identity"


async def test_reads_what_a_server_counted(client: ProgressClient, pod: Pod) -> None:
    line = b'modelservice_requests_total{code="200",route="/v1/models/{name}:predict"} 3.0\n'
    pod.body = line + b"# more\n" * 100_000
    assert await client.read_answers("127.0.0.1", client._port) == Answers(answered=3)
    assert pod.asked[0].path == "/metrics"
    for pod.body in (line.replace(b"3.0", b"NaN"), line.replace(b'",route', b"\xff")):
        assert await client.read_answers("127.0.0.1", client._port) is None
    pod.status = 302
    assert await client.read_answers("127.0.0.1", client._port) is None
    for address in ("not an address", "localhost", "169.254.169.254/latest"):
        assert await client.read_answers(address, client._port) is None


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"done": -1}', b"[]", b'{"done": 1, "stage": "' + b"x" * 5000])
async def test_a_bad_answer_is_no_progress(client: ProgressClient, pod: Pod, body: bytes) -> None:
    pod.body = body
    assert await client.read("127.0.0.1") is None


async def test_an_answer_beyond_the_limit_is_no_progress_even_if_valid(client: ProgressClient, pod: Pod) -> None:
    pod.body += b" " * 5000
    assert await client.read("127.0.0.1") is None


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_redirects_and_errors_are_not_followed(client: ProgressClient, pod: Pod, status: int) -> None:
    pod.status, pod.headers = status, {"Location": "/progress"}
    assert await client.read("127.0.0.1") is None
    assert len(pod.asked) == 1


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1/evil?", "user@127.0.0.1"])
async def test_only_ip_addresses_are_asked(client: ProgressClient, pod: Pod, address: str) -> None:
    assert await client.read(address) is None
    assert pod.asked == []


async def test_a_closed_port_is_no_progress(client: ProgressClient) -> None:
    assert await ProgressClient(session=client._session, port=1).read("127.0.0.1") is None
