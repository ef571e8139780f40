"""Data in a store: obstore's store in memory, and a small server that refuses in many ways."""

import gzip
import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import HTTPStore, MemoryStore
from tests.support.object_server import ObjectServer, object_server

from modelservice.contract.data import Data, Format
from modelservice.contract.digests import sha256
from modelservice.contract.failure import About, DataError, Retry, StageError
from modelservice.contract.formats import Excel
from modelservice.modalities import objects as objects_module
from modelservice.modalities.base import FileOptions, Source
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.objects import DataUnavailableError, Objects, StoredObject, open_objects
from modelservice.modalities.sources import read_objects, read_rows, read_source
from modelservice.modalities.table import streamed
from modelservice.modalities.table.streamed import StreamedTable

ROWS = "".join(f"{n},{'ab'[n % 2]}\n" for n in range(40))
TABLE = f"n,y\n{ROWS}".encode()
LIMIT = 1000
URI = "s3://tables/2026/train.csv"


@pytest.fixture
def bucket() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with object_server(monkeypatch) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "MAX_RETRIES", 0)


def named(bucket: MemoryStore, path: str) -> Objects:
    return Objects(store=bucket, root="s3://tables", path=path)


@pytest.mark.parametrize("packed", [TABLE, gzip.compress(TABLE)], ids=["plain", "gzip"])
def test_an_object_is_the_data_of_a_file(bucket: MemoryStore, packed: bytes) -> None:
    bucket.put("2026/train.csv", packed)
    found = read_objects(named(bucket, "2026/train.csv"), format=Format.CSV)
    assert found.sha256 == read_source(TABLE, format=Format.CSV).sha256


def test_a_star_names_all_objects_of_a_folder_in_the_order_of_their_names(bucket: MemoryStore) -> None:
    for name in ("d/b.csv", "d/a.csv", "d/a.csv.gz", "d/.c.csv", "d/e/f.csv", "g.csv"):
        bucket.put(name, b"")
    assert named(bucket, "d/*.csv").paths() == ["d/a.csv", "d/b.csv"]
    assert named(bucket, "*").paths() == ["g.csv"]
    assert named(bucket, "d/a*").paths() == ["d/a.csv", "d/a.csv.gz"]


def test_rows_of_several_objects_are_those_of_one_table(bucket: MemoryStore) -> None:
    lines = ROWS.splitlines(keepends=True)
    bucket.put("d/2.csv", f"n,y\n{''.join(lines[20:])}".encode())
    bucket.put("d/1.csv", f"n,y\n{''.join(lines[:20])}".encode())
    data = Data.model_validate({"uri": "s3://tables/d/*.csv", "target": "y"})
    several = build_dataset(read_objects(named(bucket, "d/*.csv"), format=Format.CSV), data)
    one = build_dataset(read_source(TABLE, format=Format.CSV), data)
    assert several.rows == one.rows == 40
    assert (several.train.features == one.train.features).all()
    assert several.sha256 != one.sha256


def test_an_error_names_the_object(bucket: MemoryStore) -> None:
    bucket.put("d/1.csv", TABLE)
    bucket.put("d/2.csv", b"n,y\n1,a,b\n")
    with pytest.raises(DataError, match=r"^2\.csv: line 2 has 3 values") as refused:
        read_objects(named(bucket, "d/*.csv"), format=Format.CSV)
    assert refused.value.field == "spec.data.uri"


def test_options_of_another_format_are_refused_before_anything_is_fetched(bucket: MemoryStore) -> None:
    with pytest.raises(DataError, match="the file is read as CSV"):
        read_objects(named(bucket, "a.csv"), format=Format.CSV, options=FileOptions(excel=Excel(sheet="1")))


def test_no_object_fits(bucket: MemoryStore) -> None:
    bucket.put("d/a.parquet", b"")
    with pytest.raises(DataError, match=r"s3://tables/d/\*\.csv fits no object: correct spec\.data\.uri") as refused:
        named(bucket, "d/*.csv").paths()
    assert refused.value.reason == "DataNotFound"


def test_too_many_objects_are_refused(bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "MAX_FILES", 1)
    bucket.put("a.csv", b"")
    bucket.put("b.csv", b"")
    with pytest.raises(DataError, match="fits 2 objects, at most 1 are read"):
        named(bucket, "*.csv").paths()


@pytest.mark.parametrize("content", [b"x" * (LIMIT + 1), gzip.compress(b"x" * (LIMIT + 1))], ids=["plain", "gzip"])
def test_what_is_larger_than_can_be_read_is_refused(bucket: MemoryStore, content: bytes) -> None:
    bucket.put("a.csv", content)
    with pytest.raises(DataError, match=f"{LIMIT}.*give fewer rows") as refused:
        named(bucket, "a.csv").read("a.csv", limit=LIMIT)
    assert (refused.value.reason, refused.value.field) == ("DataTooLarge", "spec.data.uri")


def test_a_large_object_comes_in_parts(s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "PART_BYTES", 100)
    s3.objects["tables/2026/train.csv"] = content = bytes(range(250))
    assert open_objects(URI).read("2026/train.csv", limit=LIMIT) == content
    first, *parts = s3.asked
    assert first == "tables/2026/train.csv"
    assert parts == [f"{first} bytes={one}" for one in ("0-99", "100-199", "200-249")]


def test_parts_of_two_versions_are_not_mixed(bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "PART_BYTES", 100)
    bucket.put("a.csv", b"a" * 250)

    class Changing:
        def get(self, path: str, **kwargs: object) -> object:
            found = bucket.get(path, **kwargs)  # type: ignore[arg-type]
            bucket.put("a.csv", b"b" * 250)
            return found

    with pytest.raises(DataUnavailableError, match="does not answer as it should"):
        Objects(store=Changing(), root="s3://tables", path="a.csv").read("a.csv", limit=LIMIT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "reason", "field", "about", "retry"),
    [
        ((403, "AccessDenied"), "DataForbidden", "spec.data.secretRef", About.DATA, Retry.ON_CHANGE),
        ((401, "Unauthorized"), "DataForbidden", "spec.data.secretRef", About.DATA, Retry.ON_CHANGE),
        ((404, "NoSuchKey"), "DataNotFound", "spec.data.uri", About.DATA, Retry.ON_CHANGE),
        ((404, "NoSuchBucket"), "DataNotFound", "spec.data.uri", About.DATA, Retry.ON_CHANGE),
        ((400, "InvalidRequest"), "DataSettingsInvalid", "spec.data.secretRef", About.DATA, Retry.ON_CHANGE),
        ((301, "PermanentRedirect"), "DataSettingsInvalid", "spec.data.secretRef", About.DATA, Retry.ON_CHANGE),
        ((500, "InternalError"), "DataUnavailable", None, About.STORAGE, Retry.SOON),
        ((503, "SlowDown"), "DataUnavailable", None, About.STORAGE, Retry.SOON),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_refusals_say_what_must_change(
    s3: ObjectServer, *, answer: tuple[int, str], reason: str, field: str | None, about: About, retry: Retry
) -> None:
    s3.refusals, s3.for_ever = [answer], True
    objects = open_objects(URI)
    with pytest.raises(StageError) as caught:
        objects.read(objects.path, limit=LIMIT)
    failure = caught.value.failure()
    assert (failure.reason, failure.field, failure.about, failure.retry) == (reason, field, about, retry)
    assert URI in failure.message
    assert "Debug source" not in failure.message


@pytest.mark.usefixtures("impatient")
def test_a_folder_that_may_not_be_listed_is_said(s3: ObjectServer) -> None:
    s3.refusals, s3.for_ever = [(403, "AccessDenied")], True
    with pytest.raises(DataError, match=r"get and list objects there with spec\.data\.secretRef"):
        open_objects("s3://tables/2026/*.csv").paths()


def test_a_store_that_is_away_for_a_moment_is_waited_for(s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "FIRST_WAIT_SECONDS", 0.001)
    s3.objects["tables/2026/train.csv"] = TABLE
    s3.refusals = [(503, "SlowDown"), (500, "InternalError")]
    assert open_objects(URI).read("2026/train.csv", limit=LIMIT) == TABLE
    assert len(s3.asked) == 3


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_not_there_may_come(s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataUnavailableError) as caught:
        open_objects(URI).read("2026/train.csv", limit=LIMIT)
    assert caught.value.failure().exit_code == 75


def test_a_store_is_waited_for_as_long_as_is_said(s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(objects_module, "RETRY_SECONDS", 0.2)
    s3.refusals, s3.for_ever = [(503, "SlowDown")], True
    with pytest.raises(DataUnavailableError, match="max_retries: 60, retry_timeout: 200ms"):
        open_objects(URI).read("2026/train.csv", limit=LIMIT)
    assert len(s3.asked) < 60


def test_time_decides_and_no_number_of_tries(s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store has ten, and more pass while it is away for a moment."""
    monkeypatch.setattr(objects_module, "FIRST_WAIT_SECONDS", 0.001)
    s3.objects["tables/2026/train.csv"] = TABLE
    s3.refusals = [(503, "SlowDown")] * 12
    assert open_objects(URI).read("2026/train.csv", limit=LIMIT) == TABLE
    assert len(s3.asked) == 13


@pytest.mark.usefixtures("impatient")
def test_keys_that_nobody_gave_are_named(s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then obstore asks the machine, here at an address that does not answer."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataUnavailableError, match=r"no keys are given with spec\.data\.secretRef") as caught:
        open_objects(URI).read("2026/train.csv", limit=LIMIT)
    assert (caught.value.field, s3.asked) == ("spec.data.secretRef", [])
    assert "on a laptop set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in str(caught.value)


def test_names_with_blanks_and_signs_are_found(s3: ObjectServer) -> None:
    s3.objects["tables/year=2026/grün & rot+1.csv"] = TABLE
    objects = open_objects("s3://tables/year=2026/grün & rot+1.csv")
    assert objects.read(objects.path, limit=LIMIT) == TABLE


def test_objects_of_a_bucket_are_listed(s3: ObjectServer) -> None:
    for name in ("tables/2026/b.csv", "tables/2026/a.csv", "tables/a.csv"):
        s3.objects[name] = TABLE
    assert open_objects("s3://tables/2026/*.csv").paths() == ["2026/a.csv", "2026/b.csv"]
    assert open_objects("s3://tables/*.csv").paths() == ["a.csv"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AWS_ALLOW_HTTP": "false"}, "plain HTTP, which needs AWS_ALLOW_HTTP"),
        ({"AWS_ALLOW_HTTP": "perhaps"}, 'failed to parse "perhaps" as boolean'),
        ({"AWS_ENDPOINT_URL": "not a URL"}, "cannot be read as it is set"),
    ],
)
@pytest.mark.usefixtures("s3", "impatient")
def test_settings_that_cannot_be_are_said(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DataError, match=words) as caught:
        open_objects(URI).read("2026/train.csv", limit=LIMIT)
    assert (caught.value.reason, caught.value.field) == ("DataSettingsInvalid", "spec.data.secretRef")


def test_an_account_that_nobody_names_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(DataError, match=r"az://tables/a\.csv cannot be read as it is set: .*Account must be specified"):
        open_objects("az://tables/a.csv")


def on_web(server: ObjectServer, path: str, *, plain: bool = True) -> Objects:
    """An object of a web server; the tests' own speaks plain HTTP, under an address of https."""
    store = HTTPStore.from_url(
        f"{server.address}/{path}", client_options={"allow_http": plain}, retry_config={"max_retries": 0}
    )
    return Objects(store=store, root="https://tables.example.com/train.csv", path="")


def test_an_address_of_the_web_is_asked_for_as_it_is_written(s3: ObjectServer) -> None:
    assert (
        open_objects("https://tables.example.com/a%20b/c.csv").address("") == "https://tables.example.com/a%20b/c.csv"
    )
    s3.objects["a b/c.csv"] = TABLE
    objects = on_web(s3, "a%20b/c.csv")
    assert (objects.many, objects.paths()) == (False, [""])
    assert objects.read("", limit=LIMIT) == TABLE
    assert s3.access_keys == [""], "no credentials of the environment go to it"


@pytest.mark.parametrize(
    ("answer", "reason", "field"),
    [
        ((403, ""), "DataForbidden", "spec.data.uri"),
        ((401, ""), "DataForbidden", "spec.data.uri"),
        ((404, ""), "DataNotFound", "spec.data.uri"),
        ((410, ""), "DataSettingsInvalid", "spec.data.uri"),
        ((502, ""), "DataUnavailable", None),
    ],
)
def test_refusals_of_the_web_name_its_address(
    s3: ObjectServer, answer: tuple[int, str], reason: str, field: str | None
) -> None:
    s3.refusals = [answer]
    with pytest.raises(StageError, match=r"https://tables\.example\.com/train\.csv") as caught:
        on_web(s3, "train.csv").read("", limit=LIMIT)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert "secretRef" not in caught.value.message


def test_the_web_is_never_read_in_plain(s3: ObjectServer) -> None:
    """Of a redirect obstore says the same: so no redirect leads to what only plain HTTP serves, as clouds' metadata."""
    with pytest.raises(DataError, match="it leads on to plain HTTP") as caught:
        on_web(s3, "train.csv", plain=False).read("", limit=LIMIT)
    assert (caught.value.reason, s3.asked) == ("DataSettingsInvalid", [])


def parquet(rows: int) -> bytes:
    """Of two groups of rows, whose pages are small."""
    columns = {"n": np.arange(rows) / 7, "t": [f"t{n % 3}" for n in range(rows)], "y": [*"ab"] * (rows // 2)}
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=rows // 2)
    return out.getvalue()


@pytest.fixture
def nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MAX_HELD", 0)


def streamed_rows(source: Source, uri: str) -> tuple[int, ...]:
    """How many rows each side has, all of them encoded."""
    assert isinstance(source, StreamedTable)
    _, dataset = read_rows(source, Data.model_validate({"uri": uri, "target": "y"}), None)
    assert dataset.stream is not None
    read = sum(len(side.values) for side in dataset.stream.training(0))
    assert (read, dataset.dropped) == (dataset.stream.rows[0], 0)
    return dataset.stream.rows


@pytest.mark.usefixtures("nothing_is_held")
def test_a_parquet_table_that_is_too_large_is_read_in_parts_of_its_object(s3: ObjectServer) -> None:
    content = parquet(20_000)
    s3.objects["tables/2026/train.parquet"] = content
    source = read_objects(open_objects("s3://tables/2026/train.parquet"), format=Format.PARQUET)
    assert source.sha256 == sha256(content)
    assert sum(streamed_rows(source, "s3://tables/2026/train.parquet")) == 20_000
    first, *others = s3.asked
    assert " bytes=" not in first
    assert others
    assert all(" bytes=" in one for one in others)


@pytest.mark.usefixtures("nothing_is_held")
def test_of_a_large_row_group_no_more_is_fetched_at_once_than_is_read_ahead(
    s3: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a small one is one request."""
    s3.objects["tables/2026/train.parquet"] = parquet(40_000)
    source = read_objects(open_objects("s3://tables/2026/train.parquet"), format=Format.PARQUET)
    assert isinstance(source, StreamedTable)

    def fetched() -> list[int]:
        s3.asked.clear()
        for _ in source._pieces.read(["n", "y"]):
            pass
        ranges = [one.partition(" bytes=")[2].split("-") for one in s3.asked]
        return [int(last) - int(begin) + 1 for begin, last in ranges]

    assert sum(size > 100_000 for size in fetched()) == 2
    monkeypatch.setattr(StoredObject, "ahead", 0)
    parts = fetched()
    assert max(parts) <= 2**16
    assert sum(parts) > 300_000


@pytest.mark.usefixtures("nothing_is_held")
def test_parquet_objects_that_are_too_large_together_are_one_table(bucket: MemoryStore) -> None:
    bucket.put("d/a.parquet", parquet(200))
    bucket.put("d/b.parquet", parquet(100))
    source = read_objects(named(bucket, "d/*.parquet"), format=Format.PARQUET)
    assert sum(streamed_rows(source, "s3://tables/d/*.parquet")) == 300


def test_a_small_parquet_table_is_held(bucket: MemoryStore) -> None:
    bucket.put("a.parquet", parquet(20))
    assert not isinstance(read_objects(named(bucket, "a.parquet"), format=Format.PARQUET), StreamedTable)


@pytest.mark.usefixtures("nothing_is_held", "impatient")
def test_what_a_store_says_in_the_middle_of_an_object_is_said(s3: ObjectServer) -> None:
    uri = "s3://tables/2026/train.parquet"
    s3.objects[uri.removeprefix("s3://")] = parquet(20_000)
    source = read_objects(open_objects(uri), format=Format.PARQUET)
    s3.refusals, s3.for_ever = [(503, "SlowDown")], True
    with pytest.raises(DataUnavailableError, match=f"{uri} does not answer as it should"):
        streamed_rows(source, uri)
    s3.refusals = [(403, "AccessDenied")]
    with pytest.raises(DataError, match=f"{uri} refuses to be read"):
        streamed_rows(source, uri)


@pytest.mark.usefixtures("nothing_is_held", "impatient")
def test_an_object_that_is_replaced_meanwhile_is_not_read_on(s3: ObjectServer) -> None:
    uri = "s3://tables/2026/train.parquet"
    s3.objects[uri.removeprefix("s3://")] = parquet(20_000)
    source = read_objects(open_objects(uri), format=Format.PARQUET)
    s3.objects[uri.removeprefix("s3://")] = parquet(20_002)
    with pytest.raises(DataUnavailableError, match="PreconditionFailed"):
        streamed_rows(source, uri)


@pytest.mark.parametrize(("content", "reason"), [(TABLE, "NotParquet"), (parquet(20)[:-9], "DamagedParquet")])
def test_what_is_no_parquet_is_told_as_ever(bucket: MemoryStore, content: bytes, reason: str) -> None:
    bucket.put("a.parquet", content)
    with pytest.raises(DataError) as refused:
        read_objects(named(bucket, "a.parquet"), format=Format.PARQUET)
    assert refused.value.reason == reason
