"""Record what KServe's client sends: ``python -m tests.support.kserve_recording [VERSION]``.

The client cannot be installed beside the locked packages (0.21 needs an older pandas and an older psutil), so it runs
in an environment of its own, made for the call, against a server as tests have it. The bytes that it sends, and what it
makes of the answers, go to ``tests/data/kserve/recorded.json``, which ``test_kserve.py`` sends again.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

from tests.unit.runtime.serving.fakes import core_of, numeric_model
from tests.unit.runtime.serving.talking import listening

from modelservice.serving.core import Models
from modelservice.serving.transports.grpc.server import start_grpc
from modelservice.serving.transports.http.connection import InferenceConnection

FOLDER = Path(__file__).parents[1] / "data" / "kserve"
VERSION = "0.21.0"


class Recorder:
    """Passes connections on to a server, and keeps what clients send, a connection each."""

    def __init__(self, port: int) -> None:
        self.sent: list[bytearray] = []
        self._port = port

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self.sent.append(bytearray())
        await asyncio.gather(self._pass(reader, to_server, self.sent[-1]), self._pass(from_server, writer, bytearray()))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
        while piece := await reader.read(2**16):
            kept += piece
            writer.write(piece)
        writer.close()


async def record(version: str) -> None:
    grpc_server, grpc_port, _ = await start_grpc(Models([core_of(numeric_model())]), host="127.0.0.1", port=0)
    async with listening(InferenceConnection, numeric_model()) as (port, _):
        recorder = Recorder(port)
        async with await asyncio.start_server(recorder.connected, "127.0.0.1", 0) as between:
            command = ["uv", "run", "--no-project", "--isolated", "--python", sys.executable]
            command += ["--with", f"kserve=={version}", str(FOLDER / "client.py")]
            ports = [str(between.sockets[0].getsockname()[1]), f"127.0.0.1:{grpc_port}"]
            client = await asyncio.create_subprocess_exec(*command, *ports, stdout=asyncio.subprocess.PIPE)
            said, _ = await client.communicate()
    await grpc_server.stop(None)
    if client.returncode:
        raise SystemExit(client.returncode)
    recorded = json.loads(said.splitlines()[-1])
    for call, sent in zip(recorded["rest"], recorder.sent, strict=True):
        call["request"] = base64.b64encode(sent).decode()
    (FOLDER / "recorded.json").write_text(json.dumps(recorded, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1] if len(sys.argv) > 1 else VERSION))
