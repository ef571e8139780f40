"""TLS: what a server shows and asks for, and how that is exchanged under connections that stay."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import uvloop
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.unit.runtime.serving.fakes import core_of, numeric_model
from tests.unit.runtime.serving.mounts import mount
from tests.unit.runtime.serving.pki import Authority, Identity, client_context
from tests.unit.runtime.serving.talking import DEADLINE, GOOD, LAST, request, until
from tests.unit.runtime.serving.transports.test_grpc import HEALTH, INFER, request_of, served

from modelservice.contract.access import Access
from modelservice.contract.places import TLS_FOLDER
from modelservice.serving.access.audit import AuditLog
from modelservice.serving.access.gate import build_gate
from modelservice.serving.callers import names_of
from modelservice.serving.core import Core, Models
from modelservice.serving.errors import NotServedError
from modelservice.serving.listening import bind
from modelservice.serving.transports.http.server import build_server

SERVERS, CLIENTS, OTHERS = (Authority(name) for name in ("servers", "clients", "others"))
SHOP, BANK = (CLIENTS.issue(name, f"spiffe://cluster/{name}") for name in ("shop", "bank"))
STRANGER = OTHERS.issue("shop", "spiffe://cluster/shop")


def secret(*, common: str = "first", clients: Authority = CLIENTS) -> Identity:
    """The server's Secret."""
    return SERVERS.issue(common) | {"ca.crt": clients.pem}


def core(folder: Path, clients: dict[str, Any] | None = None, audit: AuditLog | None = None) -> Core:
    tls = {"secretRef": {"name": "tls"}, **({} if clients is None else {"clientCertificates": clients})}
    mount(folder / TLS_FOLDER, secret())
    access = Access.model_validate({"tls": tls, "audit": None if audit is None else {}})
    return core_of(numeric_model(), gate=build_gate(access, folder), audit=audit)


@asynccontextmanager
async def serving(core: Core) -> AsyncIterator[int]:
    server = build_server(Models([core]))
    with bind("127.0.0.1", 0) as listener:
        running = asyncio.create_task(server._serve([listener]))
        await until(lambda: server.started and bool(server.servers))
        yield listener.getsockname()[1]
        server.should_exit = True
        await running


async def talk(port: int, context: ssl.SSLContext | None, sent: bytes = LAST) -> bytes:
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(sent)
        try:
            return await reader.read()
        finally:
            writer.close()


async def unless_refused(port: int, context: ssl.SSLContext | None, sent: bytes = LAST) -> bytes:
    try:
        return await talk(port, context, sent)
    except OSError:  # an alert of TLS, or a reset
        return b""


async def shown(port: int) -> str:
    """The common name of the certificate that a new connection is shown."""
    context = client_context(SERVERS, Path())
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate: dict[str, Any] = writer.get_extra_info("peercert")
    writer.close()
    return names_of({"subject": certificate["subject"]})[0]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_certificate_is_exchanged_under_a_connection_that_stays(tmp_path: Path, loop: Callable[[], Any]) -> None:
    async def story() -> None:
        served = core(tmp_path)
        async with serving(served) as port:
            context = client_context(SERVERS, tmp_path)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            for name in ("second", "third"):
                writer.write(request())
                assert b"200 OK" in await reader.readuntil(b"}]}")
                mount(tmp_path / TLS_FOLDER, secret(common=name))
                await served.common.gate.refresh()
                assert await shown(port) == name
            large = request(b'{"instances": [%b]}' % b",".join([b"[1,2]"] * 10_000))
            writer.write(large + LAST)
            assert (await reader.read()).count(b"200 OK") == 2
            writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


async def test_plain_http_is_not_answered(tmp_path: Path) -> None:
    async with serving(core(tmp_path)) as port:
        assert b"200" not in await talk(port, None)
        assert b"200 OK" in await talk(port, client_context(SERVERS, tmp_path))


@pytest.mark.parametrize(
    ("subjects", "client", "status"),
    [
        ([], SHOP, b"200 OK"),
        ([], None, None),
        ([], STRANGER, None),
        (["spiffe://cluster/shop"], SHOP, b"200 OK"),
        (["shop"], SHOP, b"200 OK"),
        (["shop"], BANK, b"403 Forbidden"),
    ],
)
async def test_clients_show_a_certificate(
    tmp_path: Path, subjects: list[str], client: Identity | None, status: bytes | None
) -> None:
    async with serving(core(tmp_path, {"subjects": subjects})) as port:
        context = client_context(SERVERS, tmp_path, client)
        for body in (GOOD, GOOD + b" " * 100_000):
            said = await unless_refused(port, context, request(body, b"connection: close"))
            assert (status is None and said == b"") or (status is not None and status in said)


async def test_health_is_told_to_whoever_has_a_certificate(tmp_path: Path) -> None:
    guarded = core(tmp_path, {"subjects": ["spiffe://cluster/shop"]})
    context = client_context(SERVERS, tmp_path, BANK)
    async with serving(guarded) as port, served(guarded) as address:
        for path, status in ((b"/v2/health/ready", b"200 OK"), (b"/v2/models/iris", b"403 Forbidden")):
            assert status in await talk(port, context, request(b"", b"connection: close", method=b"GET", path=path))
        assert await call(address, BANK, method=HEALTH) == "OK"
        assert await call(address, BANK) == "PERMISSION_DENIED"


async def test_the_authority_of_clients_may_be_signed_by_another_one(tmp_path: Path) -> None:
    served_by = core(tmp_path, {})
    mount(tmp_path / TLS_FOLDER, secret() | {"ca.crt": OTHERS.sign(CLIENTS)})
    await served_by.common.gate.refresh()
    async with serving(served_by) as port, served(served_by) as address:
        assert b"200 OK" in await unless_refused(port, client_context(SERVERS, tmp_path, SHOP))
        assert await unless_refused(port, client_context(SERVERS, tmp_path, STRANGER)) == b""
        assert await call(address, SHOP) == "OK"
        assert await call(address, STRANGER) == "UNAVAILABLE"


async def test_an_authority_of_clients_is_forgotten(tmp_path: Path) -> None:
    served = core(tmp_path, {})
    async with serving(served) as port:
        assert b"200 OK" in await talk(port, client_context(SERVERS, tmp_path, SHOP))
        comment = "# Zürich\n".encode()  # as openssl writes subjects before certificates
        mount(tmp_path / TLS_FOLDER, secret(clients=OTHERS) | {"ca.crt": comment + OTHERS.pem})
        await served.common.gate.refresh()
        assert await unless_refused(port, client_context(SERVERS, tmp_path, SHOP)) == b""
        assert b"200 OK" in await talk(port, client_context(SERVERS, tmp_path, STRANGER))


async def test_a_key_that_does_not_belong_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    served = core(tmp_path)
    async with serving(served) as port:
        for wrong in ({"tls.key": SHOP["tls.key"]}, {"tls.crt": b"-"}):
            mount(tmp_path / TLS_FOLDER, secret(common="torn") | wrong)
            await served.common.gate.refresh()
            assert await shown(port) == "first"
        assert caplog.text.count("no certificate and key that belong together") == 2


def encrypted(key: bytes) -> bytes:
    private = load_pem_private_key(key, None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"has no tls\.crt and no tls\.key and no ca\.crt"),
        ({**SHOP, "tls.key": BANK["tls.key"]}, "no certificate and key that belong together"),
        ({**SHOP, "ca.crt": b"?"}, r"ca\.crt is no certificate"),
        ({**SHOP, "ca.crt": b""}, r"ca\.crt is no certificate"),
        ({**SHOP, "tls.key": encrypted(SHOP["tls.key"])}, r"tls\.key is encrypted, .* put it in without"),
    ],
)
def test_a_server_without_a_certificate_says_so(tmp_path: Path, files: Identity, said: str) -> None:
    mount(tmp_path / TLS_FOLDER, files)
    access = Access.model_validate({"tls": {"secretRef": {"name": "tls"}, "clientCertificates": {}}})
    with pytest.raises(NotServedError, match=rf"^spec\.serving\.tls: .*({said})"):
        build_gate(access, tmp_path)


def credentials(client: Identity) -> Any:
    return grpc.ssl_channel_credentials(SERVERS.pem, client["tls.key"], client["tls.crt"])


async def call(address: str, client: Identity, method: str = INFER) -> str:
    async with grpc.aio.secure_channel(address, credentials(client)) as channel:
        message = request_of().SerializeToString() if method == INFER else b""
        asked = channel.unary_unary(method)(message, timeout=DEADLINE)
        try:
            await asked
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return "OK"


async def test_the_best_name_of_a_client_is_the_same_in_each_transport(tmp_path: Path) -> None:
    log = AuditLog(io.BytesIO())
    shown = core(tmp_path, {}, audit=log)
    async with served(shown) as address, serving(shown) as port:
        assert await call(address, SHOP) == "OK"
        assert b"200 OK" in await talk(port, client_context(SERVERS, tmp_path, SHOP))
    assert [who for _, (_, _, who, *_), _ in log._waiting] == ["spiffe://cluster/shop"] * 2


async def test_a_certificate_without_a_name_names_nobody_in_each_transport(tmp_path: Path) -> None:
    log, nameless = AuditLog(io.BytesIO()), CLIENTS.issue("", dns="")
    shown = core(tmp_path, {}, audit=log)
    async with served(shown) as address, serving(shown) as port:
        assert await call(address, nameless) == "OK"
        assert b"200 OK" in await talk(port, client_context(SERVERS, tmp_path, nameless))
    assert [who for _, (_, _, who, *_), _ in log._waiting] == [None] * 2


async def test_calls_are_encrypted_and_their_clients_known(tmp_path: Path) -> None:
    guarded = core(tmp_path, {"subjects": ["spiffe://cluster/shop"]})
    async with served(guarded) as address:
        assert await call(address, SHOP) == "OK"
        assert await call(address, BANK) == "PERMISSION_DENIED"
        assert await call(address, STRANGER) == "UNAVAILABLE"
        mount(tmp_path / TLS_FOLDER, secret(clients=OTHERS))
        await guarded.common.gate.refresh()
        assert await call(address, STRANGER) == "OK"
        assert await call(address, SHOP) == "UNAVAILABLE"
