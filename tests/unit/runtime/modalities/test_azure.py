"""Data in Azure's Blob Service: a small server that looks at signatures, and answers as the real one does."""

import base64
import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.blob_server import BlobServer, blob_server

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.modalities import objects as objects_module
from modelservice.modalities.objects import open_objects
from modelservice.modalities.sources import read_objects, read_rows
from modelservice.modalities.table import streamed
from modelservice.modalities.table.streamed import StreamedTable

TABLE = b"a,y\n1,x\n2,z\n"


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobServer]:
    """A server that the environment tells, with a table in a folder."""
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)
    with blob_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        server.blobs.update({"tables/d/1.csv": TABLE, "tables/d/2.csv": TABLE, "tables/d/e/3.csv": TABLE})
        yield server


@pytest.mark.parametrize(("uri", "texts"), [("d/1.csv", ["x", "z"]), ("d/*.csv", ["x", "z", "x", "z"])])
@pytest.mark.usefixtures("azure")
def test_a_blob_or_several_are_read(uri: str, texts: list[str]) -> None:
    cells = read_objects(open_objects(f"az://tables/{uri}"), format=Format.CSV).target("y")
    assert [cells.texts[code] for code in cells.codes.tolist()] == texts


def test_a_large_table_is_read_in_parts(azure: BlobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    out = io.BytesIO()
    pq.write_table(pa.table({"n": range(100), "y": [*"ab"] * 50}), out)
    azure.blobs["tables/t.parquet"] = out.getvalue()
    source = read_objects(open_objects("az://tables/t.parquet"), format=Format.PARQUET)
    assert isinstance(source, StreamedTable)
    _, dataset = read_rows(source, Data.model_validate({"uri": "az://tables/t.parquet", "target": "y"}), None)
    assert dataset.rows == 100
    assert all(" bytes=" in one for one in azure.asked[1:])


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("az://tables/none.csv", "there is no such object"),
        ("az://none/1.csv", "there is no such bucket"),
        ("az://none/*.csv", "there is no such bucket"),
    ],
)
@pytest.mark.usefixtures("azure")
def test_what_is_not_there_is_told_apart(uri: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_objects(open_objects(uri), format=Format.CSV)
    assert (caught.value.reason, caught.value.field) == ("DataNotFound", "spec.data.uri")


@pytest.mark.parametrize(
    ("name", "value", "reason", "words"),
    [
        ("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"another").decode(), "DataForbidden", "AuthenticationFailed"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "no key", "DataSettingsInvalid", "Invalid Access Key"),
        ("AZURE_ALLOW_HTTP", "false", "DataSettingsInvalid", "which needs AZURE_ALLOW_HTTP set to true"),
    ],
)
@pytest.mark.usefixtures("azure")
def test_settings_that_do_not_open_it_name_the_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(DataError, match=words) as caught:
        read_objects(open_objects("az://tables/d/1.csv"), format=Format.CSV)
    assert (caught.value.reason, caught.value.field) == (reason, "spec.data.secretRef")
