"""Handshakes are counted by how they ended, those that nobody finishes too."""

import asyncio
from pathlib import Path

import pytest
from tests.unit.runtime.serving.access.test_certificates import (
    SERVERS,
    SHOP,
    STRANGER,
    core,
    serving,
    talk,
    unless_refused,
)
from tests.unit.runtime.serving.access.test_rates import Clock
from tests.unit.runtime.serving.pki import client_context
from tests.unit.runtime.serving.talking import DEADLINE, until

from modelservice.serving.access import handshakes as module
from modelservice.serving.access.handshakes import Handshakes, Outcome
from modelservice.serving.transports.http import server as server_module


def counts(handshakes: Handshakes) -> dict[str, float]:
    (family,) = handshakes.collect()
    return {sample.labels["outcome"]: sample.value for sample in family.samples}


def test_what_is_too_old_was_left() -> None:
    clock = Clock()
    handshakes = Handshakes(clock=clock)
    first, second, third = (handshakes.begin() for _ in range(3))
    handshakes.end(second, Outcome.COMPLETED)
    handshakes.end(third, Outcome.FAILED)
    handshakes.end(third, Outcome.COMPLETED)
    assert counts(handshakes) == {"completed": 1, "failed": 1, "unfinished": 0}
    clock.now = 10.0
    assert counts(handshakes) == {"completed": 1, "failed": 1, "unfinished": 1}
    handshakes.end(first, Outcome.COMPLETED)
    assert counts(handshakes) == {"completed": 1, "failed": 1, "unfinished": 1}


def test_few_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNDER_WAY", 2)
    handshakes = Handshakes(clock=Clock())
    for _ in range(5):
        handshakes.begin()
    assert len(handshakes._under_way) <= 3
    assert counts(handshakes)["unfinished"] == 3


async def test_connections_are_counted(tmp_path: Path) -> None:
    served = core(tmp_path, {})
    async with serving(served) as port:
        assert b"200 OK" in await talk(port, client_context(SERVERS, tmp_path, SHOP))
        assert await unless_refused(port, client_context(SERVERS, tmp_path, STRANGER)) == b""
        assert await unless_refused(port, None) == b""  # speaks HTTP
        assert served.common.gate.certificates is not None
        handshakes = served.common.gate.certificates.handshakes
        await until(lambda: counts(handshakes) == {"completed": 1, "failed": 2, "unfinished": 0})
        page = served.common.exposition.render().body.decode()
    assert 'modelservice_tls_handshakes_total{outcome="failed"} 2.0' in page


async def test_who_says_nothing_is_cut_off_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_SECONDS", 0.05)
    monkeypatch.setattr(module, "_SURELY", 0.0)
    served = core(tmp_path)
    async with serving(served) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        writer.close()
    assert served.common.gate.certificates is not None
    assert counts(served.common.gate.certificates.handshakes) == {"completed": 0, "failed": 0, "unfinished": 1}
