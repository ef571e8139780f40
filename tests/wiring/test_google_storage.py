"""Data in Google Cloud Storage: fake-gcs-server over a folder, on this machine's own loopback."""

import io
import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.cluster.toolchain import binary

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.modalities import objects as objects_module
from modelservice.modalities.objects import open_objects
from modelservice.modalities.sources import read_objects, read_rows
from modelservice.modalities.table import streamed
from modelservice.modalities.table.streamed import StreamedTable

pytestmark = pytest.mark.cluster

BUCKET = "tables"
TABLE = b"a,y\n1,x\n2,z\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server with an empty bucket; it takes any key, so nothing here is about rights."""
    program = Path(binary("fake-gcs-server"))
    if not program.exists():
        pytest.fail(f"there is no {program}: run `python -m tests.cluster build fake-gcs-server`", pytrace=False)
    folder = tmp_path_factory.mktemp("gcs")
    (folder / BUCKET).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number = int(probe.getsockname()[1])
    host = f"127.0.0.1:{number}"
    options = ["-scheme=http", "-host=127.0.0.1", f"-port={number}", f"-public-host={host}", "-log-level=error"]
    with subprocess.Popen([str(program), *options, "-filesystem-root", str(folder)]) as process:
        try:
            deadline = time.monotonic() + 30
            while not answers(number):
                assert process.poll() is None, "the server ended too soon"
                assert time.monotonic() < deadline, "the server did not begin"
                time.sleep(0.05)
            yield number
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def put(port: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    """Puts objects into the bucket of a server that the environment tells."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    key = {"gcs_base_url": f"http://127.0.0.1:{port}", "disable_oauth": True}
    unused = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key | unused))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def upload(name: str, content: bytes) -> None:
        query = urllib.parse.urlencode({"uploadType": "media", "name": name})
        address = f"http://127.0.0.1:{port}/upload/storage/v1/b/{BUCKET}/o?{query}"
        with opener.open(urllib.request.Request(address, data=content, method="POST")) as answer:
            assert answer.status == 200

    return upload


def test_an_object_or_several_are_read(put: Callable[[str, bytes], None]) -> None:
    for name in ("d/1.csv", "d/2.csv", "d/e/3.csv"):
        put(name, TABLE)
    for uri, rows in (("d/1.csv", 2), ("d/*.csv", 4)):
        assert len(read_objects(open_objects(f"gs://{BUCKET}/{uri}"), format=Format.CSV).target("y").codes) == rows


def test_a_large_table_is_read_in_parts(put: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    out = io.BytesIO()
    pq.write_table(pa.table({"n": range(1000), "y": [*"ab"] * 500}), out, row_group_size=300)
    put("t.parquet", out.getvalue())
    uri = f"gs://{BUCKET}/t.parquet"
    source = read_objects(open_objects(uri), format=Format.PARQUET)
    assert isinstance(source, StreamedTable)
    _, dataset = read_rows(source, Data.model_validate({"uri": uri, "target": "y"}), None)
    assert dataset.rows == 1000


@pytest.mark.parametrize(("uri", "what"), [("none.csv", "object"), ("none/*.csv", "object")])
@pytest.mark.usefixtures("put")
def test_what_is_not_there_is_said(uri: str, what: str) -> None:
    with pytest.raises(DataError, match=f"no such {what}|fits no {what}") as caught:
        read_objects(open_objects(f"gs://{BUCKET}/{uri}"), format=Format.CSV)
    assert (caught.value.reason, caught.value.field) == ("DataNotFound", "spec.data.uri")
