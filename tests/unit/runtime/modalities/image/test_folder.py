"""Pictures in archives and folders to datasets, and what is said of those that cannot be read."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.formats import ImageSize
from modelservice.modalities.base import FileOptions
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.encoders import build_encoder
from modelservice.modalities.errors import InputError
from modelservice.modalities.image import entries, pictures, requests
from modelservice.modalities.sources import read_file, read_source

SETTINGS = Data.model_validate({"persistentVolumeClaim": {"claimName": "c", "path": "a.zip"}, "target": "label"})
ORIENTATION = 0x0112


def picture(pixels: NDArray[np.uint8], kind: str = "PNG", **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **more)
    return buffer.getvalue()


def drawn(number: int, shape: tuple[int, ...] = (4, 6)) -> bytes:
    return picture(np.random.default_rng(number).integers(0, 256, size=shape, dtype=np.uint8))


def classes(count: int = 12, root: str = "") -> dict[str, bytes]:
    return {f"{root}{name}/{place}.png": drawn(place) for place in range(count) for name in ("cat", "dog")}


def zipped(files: dict[str, bytes], mode: int = stat.S_IFREG | 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], kind: bytes = tarfile.REGTYPE, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read(content: bytes, size: ImageSize | None = None) -> Any:
    return read_source(content, format=Format.IMAGE_FOLDER, options=FileOptions(image=size))


def refused(content: bytes, size: ImageSize | None = None, **more: Any) -> tuple[str, str, str | None]:
    with pytest.raises(DataError) as caught:
        build_dataset(read(content, size), SETTINGS.model_copy(update=more))
    return caught.value.reason, caught.value.message, caught.value.field


@pytest.mark.parametrize("content", [zipped(classes()), tarred(classes()), tarred(classes(), mode="w:gz")])
def test_an_archive_with_a_folder_for_each_class_is_a_dataset(content: bytes) -> None:
    dataset = build_dataset(read(content), SETTINGS)
    assert (dataset.modality, dataset.labels, dataset.shape, dataset.rows) == ("Image", ("cat", "dog"), (1, 4, 6), 24)
    (given,) = dataset.inputs
    assert (given.name, given.datatype, given.shape) == ("image", "UINT8", (4, 6, 1))  # type: ignore[union-attr]


def test_a_folder_is_read_as_an_archive_of_it_is(tmp_path: Path) -> None:
    for name, content in {**classes(root="pets/"), "pets/cat/.DS_Store": b"1", "Thumbs.db": b"1"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    source = read_file(tmp_path, format=Format.IMAGE_FOLDER)
    packed = build_dataset(read(zipped(classes())), SETTINGS)
    found = build_dataset(source, SETTINGS)
    np.testing.assert_array_equal(found.train.features, packed.train.features)
    (tmp_path / "pets" / "cat" / "0.png").write_bytes(drawn(99))
    assert read_file(tmp_path, format=Format.IMAGE_FOLDER).sha256 != source.sha256
    (tmp_path / "pets" / "cat" / "link.png").symlink_to("0.png")
    with pytest.raises(DataError, match=r"'pets/cat/link\.png' is a link, and is not read"):
        read_file(tmp_path, format=Format.IMAGE_FOLDER)


def test_metadata_names_the_files_and_what_is_to_be_learned() -> None:
    lines = ["file_name,age,name", *(f"a/{place}.png,{place / 7},x" for place in range(30))]
    files = {"metadata.csv": "\n".join(lines).encode(), **{f"a/{place}.png": drawn(place) for place in range(30)}}
    dataset = build_dataset(read(zipped(files)), SETTINGS.model_copy(update={"target": "age", "features": ("image",)}))
    assert (dataset.task.name, dataset.rows) == ("Regression", 30)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b"file_name,y\na.png,1,2\n", "has more or fewer cells in line 2 than in its header"),
        (b"file_name,y\nb.png,1\n", "names 'b.png' in line 2, and there is no such file"),
        (b"file_name,y\n", "does not list a.png"),
        (b"file_name,y\na.png,1\na.png,2\n", "names 'a.png' in lines 2 and 3: leave one of them out"),
        (b"name,y\n", "has the columns ['name', 'y'], expected file_name and one to predict"),
        (b"file_name\na.png\n", "expected file_name and one to predict"),
        (b"file_name,image\na.png,1\n", "has a column image"),
        (b"file_name,y\na.png,\xff\n", "cannot be read: 'utf-8' codec"),
        (b'file_name,y\na.png,"1', "cannot be read: unexpected end of data"),
        (b"", "has the columns None"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(metadata: bytes, message: str) -> None:
    reason, found, _ = refused(zipped({"metadata.csv": metadata, "a.png": drawn(0)}))
    assert reason == "MetadataInvalid"
    assert found.startswith("metadata.csv ")
    assert message in found


@pytest.mark.parametrize(
    ("content", "reason", "message"),
    [
        (zipped({}), "NoPictures", "there are no pictures: put PNG or JPEG files into a folder for each class"),
        (zipped({".x/a.png": b""}), "NoPictures", "there are no pictures"),
        (zipped({"a.png": drawn(0)}), "NotInClassFolder", "a.png is not in a folder of its class"),
        (zipped({**classes(1), "cat/x/1.png": drawn(0)}), "NotInClassFolder", "cat/x/1.png is not in a folder"),
        (zipped({"cat/a.txt": b"text"}), "NotAPicture", "cat/a.txt is neither a PNG nor a JPEG"),
        (zipped({"cat/a.png": drawn(0)[:60]}), "NotAPicture", "cat/a.png is a damaged picture"),
        (zipped({"../a.png": b""}), "UnsafeArchive", "'../a.png' has a name that leads out of it"),
        (zipped({"/a.png": b""}), "UnsafeArchive", "'/a.png' has a name that leads out of it"),
        (zipped({"a/b\\c.png": b""}), "UnsafeArchive", "has a name that leads out of it"),
        (zipped({"a/b.png": b"x"}, stat.S_IFLNK), "UnsafeArchive", "'a/b.png' is a link or a device"),
        (tarred({"a/b.png": b""}, tarfile.SYMTYPE), "UnsafeArchive", "'a/b.png' is a link, a device or a sparse"),
        (tarred({"a/b.png": b""}, tarfile.FIFOTYPE), "UnsafeArchive", "'a/b.png' is a link, a device or a sparse"),
        (tarred({"a/b.png": b""}, tarfile.LNKTYPE), "UnsafeArchive", "'a/b.png' is a link, a device or a sparse"),
        (tarred({"a/b.png": b"", "./a/b.png": b""}), "DamagedArchive", "'a/b.png' is in it twice"),
        (zipped(classes())[:200], "DamagedArchive", "the file is no .zip and no .tar of pictures"),
        (b"no archive", "DamagedArchive", "the file is no .zip and no .tar of pictures"),
        (zipped({**classes(), "cow/1.png": drawn(1)}), "ClassTooSmall", "array label has the class 'cow' in one row"),
    ],
)
def test_what_cannot_be_read_is_named(content: bytes, reason: str, message: str) -> None:
    found, said, _ = refused(content)
    assert found == reason
    assert message in said


def test_a_member_that_is_damaged_encrypted_or_too_large_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(zipped({"cat/a.png": b"p" * 40}))
    content[content.index(b"pppp")] = 0
    assert refused(bytes(content))[:2] == (
        "DamagedArchive",
        "'cat/a.png' cannot be unpacked: Bad CRC-32 for file 'cat/a.png': pack it again",
    )
    locked = zipped({"cat/a.png": b"p"})
    place = locked.index(b"PK\x01\x02") + 8
    assert "'cat/a.png' is encrypted" in refused(locked[:place] + b"\x01" + locked[place + 1 :])[1]
    monkeypatch.setattr(entries, "MAX_FILE_BYTES", 10)
    assert "'cat/0.png' has more than 10 bytes" in refused(zipped(classes()))[1]
    monkeypatch.setattr(entries, "MAX_ENTRIES", 3)
    assert "there are more than 3 files" in refused(zipped(classes()))[1]


def test_pictures_of_several_sizes_need_one() -> None:
    files = {**classes(), "dog/a.png": drawn(99, (8, 4, 3))}
    assert refused(zipped(files)) == (
        "SizesDiffer",
        "cat/0.png has 6 x 4 pixels, and dog/a.png 4 x 8: set spec.data.image, such as {height: 64, width: 64}",
        "spec.data.image",
    )
    dataset = build_dataset(read(zipped(files), ImageSize(height=3, width=3)), SETTINGS)
    assert dataset.shape == (3, 3, 3)
    grey = build_dataset(read(zipped(files), ImageSize(height=3, width=3, channels=1)), SETTINGS)
    assert grey.shape == (1, 3, 3)


def test_a_request_gets_what_training_saw() -> None:
    """A picture of another size, turned by its camera, becomes the same pixels on both sides."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    generator = np.random.default_rng(1)
    photos = [
        picture(generator.integers(0, 256, size=(10, 16, 3), dtype=np.uint8), "JPEG", exif=exif) for _ in range(20)
    ]
    assert pictures.picture_size(photos[0]) == (16, 10, 3)
    files = {f"{('cat', 'dog')[place % 2]}/{place}.jpg": photo for place, photo in enumerate(photos)}
    dataset = build_dataset(read(zipped(files), ImageSize(height=5, width=4)), SETTINGS)
    encoder = build_encoder("Image", dataset.preprocessing)
    served = encoder.encode(encoder.from_frame(photos))
    seen = np.concatenate([dataset.train.features, dataset.validation.features, dataset.test.features])
    assert {one.tobytes() for one in seen} == {one.tobytes() for one in served}


def test_the_size_of_a_picture_is_had_without_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pixels = np.zeros((10, 16), dtype=np.uint8)
    files = [picture(pixels, kind, **more) for kind in ("PNG", "JPEG") for more in ({}, {"exif": exif})]
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it was inflated"))
    monkeypatch.setattr(PngImageFile, "load", lambda _: pytest.fail("it was inflated"))
    assert [pictures.picture_size(one) for one in files] == [(10, 16, 1), (16, 10, 1)] * 2


def test_pictures_of_other_sizes_are_bounded_before_they_are_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = build_dataset(read(zipped(classes()), ImageSize(height=2, width=2)), SETTINGS)
    encoder = build_encoder("Image", dataset.preprocessing)
    monkeypatch.setattr(requests, "MAX_DECODED", 40)
    assert encoder.encode(encoder.from_frame([drawn(1)])).shape == (1, 1, 2, 2)
    with pytest.raises(InputError, match="has 6 x 4 pixels, at most 20 are read"):
        encoder.from_frame([drawn(1), drawn(2)])
    monkeypatch.setattr(pictures, "MAX_PIXELS", 20)
    monkeypatch.setattr(pictures.picture_size, "__kwdefaults__", {"most": 20})
    assert refused(zipped(classes()))[:2] == (
        "NotAPicture",
        "cat/0.png has 6 x 4 pixels, at most 20 are read: scale it first: correct or remove the file",
    )
