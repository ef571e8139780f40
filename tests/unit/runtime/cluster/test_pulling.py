"""``pull``: the artifact of a revision is there whole, or nothing is."""

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.cluster.fakes import FakeAccess, FakePod, all_files, archive_of, refusal, serving_pod
from tests.unit.runtime.stages.pipelines import produce, store, train_work

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes
from modelservice.artifact.stores import load_artifact
from modelservice.cluster import pulling, unpacking
from modelservice.cluster.errors import ClusterError
from modelservice.cluster.pulling import Pulled, pull
from modelservice.cluster.unpacking import unpack
from modelservice.contract.manifest import MANIFEST_FILE, METRICS_FILE, MODEL_FILE
from modelservice.stages.base import Produced

KEY = "shop-0123456789abcdef"


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=1))


@pytest.fixture
def other(trained: Produced) -> Produced:
    """The same files under another key, so another digest."""
    return Produced(
        manifest=trained.manifest.model_copy(update={"key": "another"}),
        files=trained.files,
        signature=trained.signature,
        measured=trained.measured,
    )


def revision(digest: str, *, number: int = 1, uri: str = "pvc://iris-key/key") -> dict[str, Any]:
    return {"number": number, "key": "key", "digest": digest, "uri": uri}


def pulled(folder: Path, pod: FakePod, digest: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Pulled:
    monkeypatch.setattr(pulling, "forwarded", pod.forwarded)
    access: Any = FakeAccess(serving=[serving_pod("iris-new", "sha256:new", revision=2), serving_pod("iris-1", digest)])
    return pull(access, "iris", revision(digest), folder, **more)


def nothing_but(folder: Path, *names: str) -> bool:
    return sorted(one.name for one in folder.iterdir()) == sorted(names)


def test_the_artifact_of_the_pod_that_serves_the_revision_is_there_as_it_was_stored(
    trained: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, told = FakePod(archive_of(all_files(trained))), list[tuple[int, int]]()
    found = pulled(
        tmp_path / "iris", pod, trained.digest, monkeypatch, token=KEY, told=lambda *count: told.append(count)
    )
    assert found.origin == "pod/iris-1"
    assert found.manifest == trained.manifest
    assert load_artifact(tmp_path / "iris", digest=trained.digest).contents == trained.files
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "iris").iterdir()} == {0o444}
    assert pod.asked == [("/v2/models/iris/versions/1/artifact", f"Bearer {KEY}")]
    assert told[-1] == (len(pod.body), len(pod.body))
    assert nothing_but(tmp_path, "iris")


def test_what_lies_there_already_is_asked_for_no_more(
    trained: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = FakePod(archive_of(all_files(trained)))
    pulled(tmp_path / "iris", pod, trained.digest, monkeypatch)
    assert pulled(tmp_path / "iris", pod, trained.digest, monkeypatch).origin is None
    assert len(pod.asked) == 1
    # A damaged one is made whole.
    (tmp_path / "iris" / MODEL_FILE).chmod(0o644)
    (tmp_path / "iris" / MODEL_FILE).write_bytes(b"torn")
    assert pulled(tmp_path / "iris", pod, trained.digest, monkeypatch).origin == "pod/iris-1"
    assert load_artifact(tmp_path / "iris").digest == trained.digest


def test_another_artifact_is_replaced_by_force_alone_and_what_is_none_is_never(
    trained: Produced, other: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pod = store(other, tmp_path / "iris"), FakePod(archive_of(all_files(trained)))
    with pytest.raises(ClusterError, match=r"iris holds another artifact .*give --force"):
        pulled(folder, pod, trained.digest, monkeypatch)
    assert load_artifact(folder).digest == other.digest
    pulled(folder, pod, trained.digest, monkeypatch, force=True)
    assert load_artifact(folder).digest == trained.digest
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="is no artifact"):
        pulled(tmp_path / "home", pod, trained.digest, monkeypatch, force=True)
    assert (tmp_path / "home" / "letter.txt").read_text() == "mine"


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_transfer_that_is_cut_goes_on_in_the_next_run(
    share: float, ranges: bool, trained: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = archive_of(all_files(trained))
    pod, sent = FakePod(body, sent=int(share * len(body)), ranges=False), int(share * len(body))
    words = rf"pod iris-1 stopped after {sent} bytes: .*; run the same again, and it goes on from there"
    with pytest.raises(ClusterError, match=words):
        pulled(tmp_path / "iris", pod, trained.digest, monkeypatch)
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == body[:sent]
    whole = FakePod(body, ranges=ranges)
    assert pulled(tmp_path / "iris", whole, trained.digest, monkeypatch).manifest == trained.manifest
    assert whole.started == [sent if ranges else 0]
    assert load_artifact(tmp_path / "iris").digest == trained.digest
    assert nothing_but(tmp_path, "iris")


def test_a_connection_that_ends_is_followed_by_another_one(
    trained: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, told = archive_of(all_files(trained)), list[tuple[int, int]]()
    pod = FakePod(body, sent=len(body) // 3)
    pulled(tmp_path / "iris", pod, trained.digest, monkeypatch, told=lambda *count: told.append(count))
    assert pod.started == [at * (len(body) // 3) for at in range(len(pod.started))]
    assert len(pod.started) > 2
    assert told == sorted(told)
    assert {total for _, total in told} == {len(body)}
    assert nothing_but(tmp_path, "iris")


def test_what_came_of_another_artifact_is_not_gone_on_from(
    trained: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = archive_of(all_files(trained))
    with pytest.raises(ClusterError, match="pod iris-1 stopped after 0 bytes"):
        pulled(tmp_path / "iris", FakePod(body, sent=0), trained.digest, monkeypatch)
    assert nothing_but(tmp_path)
    part = tmp_path / f".iris.part-{trained.digest.removeprefix('sha256:')[:16]}"
    part.write_bytes(b"forged" * 1000)
    with pytest.raises(ArtifactError, match="the archive cannot be read"):
        pulled(tmp_path / "iris", FakePod(body), trained.digest, monkeypatch)
    assert nothing_but(tmp_path)
    part.with_name(".iris.part-of-another").write_bytes(body[:100])
    pulled(tmp_path / "iris", FakePod(body), trained.digest, monkeypatch)
    assert nothing_but(tmp_path, "iris")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, r"iris refuses: not given away \(HTTP 403\)$"),
        (401, r"iris refuses: not given away \(HTTP 401\); give an API key or a token with --token$"),
    ],
)
def test_a_server_that_does_not_give_its_model_away_is_quoted(
    status: int, words: str, trained: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match=words):
        pulled(tmp_path / "iris", FakePod(refusal("not given away"), status=status), trained.digest, monkeypatch)
    assert nothing_but(tmp_path)


def test_an_archive_of_another_artifact_is_refused_before_it_is_taken(
    trained: Produced, other: Produced, tmp_path: Path
) -> None:
    read = 0

    def pieces() -> Any:
        nonlocal read
        for file in (archive_of(all_files(other)),):
            for start in range(0, len(file), 512):
                read += 512
                yield file[start : start + 512]

    with pytest.raises(ArtifactError, match=f"has digest {other.digest}, expected {trained.digest}"):
        unpack(pieces(), tmp_path / "iris", digest=trained.digest)
    assert read < len(archive_of(all_files(other))) / 2
    assert nothing_but(tmp_path)


def without(name: str) -> Any:
    return lambda files: {one: content for one, content in files.items() if one != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: {**files, "extra.txt": b"more"}, "holds 'extra.txt' beside what its manifest lists"),
        (without(METRICS_FILE), "the archive has no metrics.json, which its manifest lists"),
        (lambda files: {**files, MODEL_FILE: b"x"}, "model.onnx has 1 bytes, the manifest says"),
        (lambda files: {**files, MODEL_FILE: files[MODEL_FILE][::-1]}, "model.onnx .*its sha256 differs"),
        (lambda files: dict(reversed(files.items())), "begins with .* and manifest.json is expected first"),
        (lambda _: {}, "the archive is empty, and manifest.json is expected first"),
        (lambda _: {MANIFEST_FILE: bytes(2**20 + 1)}, "at most 1048576 are read"),
    ],
)
def test_what_is_not_what_the_manifest_lists_is_not_kept(
    change: Any, words: str, trained: Produced, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=words):
        unpack([archive_of(change(all_files(trained)))], tmp_path / "iris", digest=trained.digest)
    assert nothing_but(tmp_path)


def extension(kind: bytes, size: int, content: bytes = b"") -> bytes:
    """An extension of tar, which says more of the next file than its header holds."""
    member = tarfile.TarInfo("more")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT) + content.ljust(-(-len(content) // 512) * 512, b"\0")


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (extension(tarfile.XHDTYPE, 8 * 2**30 - 1), "the archive holds 'more', which is no plain file"),
        (extension(tarfile.XHDTYPE, 10, b"10 a=bbbb\n") * 3000, "cannot be read: maximum recursion"),
        (extension(tarfile.GNUTYPE_LONGNAME, 14, b"manifest.json\0") * 3000, "cannot be read: maximum recursion"),
        (
            extension(tarfile.XHDTYPE, 44, b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n")
            + extension(tarfile.REGTYPE, 512, b"zz\n"),
            "cannot be read: invalid literal",
        ),
    ],
    ids=["endless", "deep", "names", "sparse"],
)
def test_extensions_of_tar_do_no_harm(tmp_path: Path, archive: bytes, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        unpack([archive, bytes(2**10)], tmp_path / "iris", digest=f"sha256:{'0' * 64}")
    assert not any(tmp_path.iterdir())


def test_what_is_no_archive_is_said(tmp_path: Path, trained: Produced) -> None:
    with pytest.raises(ArtifactError, match="the archive cannot be read"):
        unpack([b"<html>no" * 200], tmp_path / "iris", digest=trained.digest)
    assert nothing_but(tmp_path)


def test_an_interruption_leaves_what_was_there(
    trained: Produced, other: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store(other, tmp_path / "iris")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(unpacking, "put_in_place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack([archive_of(all_files(trained))], folder, digest=trained.digest)
    assert load_artifact(folder).digest == other.digest
    assert nothing_but(tmp_path, "iris")


def test_a_revision_that_nobody_serves_comes_from_its_bucket_or_is_refused_by_name(
    trained: Produced, tmp_path: Path
) -> None:
    waiting: Any = FakeAccess(serving=[serving_pod("iris-1", trained.digest, ready=False)])
    words = (
        "no ready pod serves revision 3, and its artifact lies in pvc://iris-key/key, which only pods read: serve it"
    )
    with pytest.raises(ClusterError, match=words):
        pull(waiting, "iris", revision(trained.digest, number=3), tmp_path / "iris")
    bucket = store(trained, tmp_path / "bucket")
    found = pull(waiting, "iris", revision(trained.digest, uri=str(bucket)), tmp_path / "iris")
    assert found.origin == str(bucket)
    assert load_artifact(tmp_path / "iris").digest == trained.digest
    wrong = "sha256:" + hashlib.sha256(b"").hexdigest()
    with pytest.raises(ArtifactError, match=f"expected {wrong}"):
        pull(waiting, "iris", revision(wrong, uri=str(bucket)), tmp_path / "other")


def test_the_digest_is_that_of_the_manifest(trained: Produced) -> None:
    raw = document_bytes(trained.manifest)
    assert trained.digest == f"sha256:{hashlib.sha256(raw).hexdigest()}"
