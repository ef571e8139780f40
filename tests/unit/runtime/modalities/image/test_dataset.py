"""NPZ files to datasets, and what is said about files that are none."""

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.modalities.image.archives import npz, pixels, settings

from modelservice.contract.data import Format
from modelservice.contract.failure import DataError
from modelservice.modalities.dataset import build_dataset, divide_rows
from modelservice.modalities.image import npz_file
from modelservice.modalities.image.source import ImageExamples
from modelservice.modalities.sources import from_frame, read_source

CLASSES = np.arange(60) % 3


def refused(content: bytes, **more: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        build_dataset(read_source(content, format=Format.NPZ), settings(**more))
    return caught.value


@pytest.mark.parametrize(
    ("images", "shape", "row"),
    [
        (pixels(), (1, 4, 6), (4, 6)),
        (pixels(60, 4, 6, 1), (1, 4, 6), (4, 6, 1)),
        (pixels(60, 4, 6, 3), (3, 4, 6), (4, 6, 3)),
    ],
)
def test_images_become_channels_first_and_are_standardised_by_training_rows(images: Any, shape: Any, row: Any) -> None:
    dataset = build_dataset(read_source(npz(X=images, y=CLASSES), format=Format.NPZ), settings())
    assert (dataset.modality, dataset.task.name, dataset.shape) == ("Image", "Multiclass", shape)
    assert dataset.labels == ("0", "1", "2")
    (given,) = dataset.inputs
    assert (given.kind, given.name, given.datatype, given.shape) == ("Tensor", "X", "UINT8", row)  # type: ignore[union-attr]
    split = divide_rows(read_source(npz(X=images, y=CLASSES), format=Format.NPZ), settings()).split
    train = images[split.train].reshape(-1, 4, 6, shape[0]).astype(np.float64)
    test = images[split.test].reshape(-1, 4, 6, shape[0]).astype(np.float64)
    expected = ((test - train.mean(axis=(0, 1, 2))) / train.std(axis=(0, 1, 2))).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(dataset.test.features, expected, atol=1e-5)
    np.testing.assert_array_equal(dataset.test.values, CLASSES[split.test])
    assert dataset.features == images[0].size


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_width_are_read_as_float32(dtype: Any) -> None:
    images = (pixels() / 255).astype(dtype)
    dataset = build_dataset(read_source(npz(X=images, y=CLASSES), format=Format.NPZ), settings())
    assert dataset.inputs[0].datatype == "FP32"
    assert dataset.train.features.dtype == np.float32


@pytest.mark.parametrize(
    ("target", "labels"),
    [
        (CLASSES.astype(np.uint8), ("0", "1", "2")),
        (CLASSES.astype(np.float64), ("0", "1", "2")),
        (CLASSES[:, None], ("0", "1", "2")),
        (np.array([" cat ", "dog"] * 30), ("cat", "dog")),
        (np.array([b"cat", b"dog"] * 30), ("cat", "dog")),
        (np.array([True, False] * 30), ("False", "True")),
        (np.array([2**63, 2**63 + 1] * 30, dtype=np.uint64), ("9223372036854775808", "9223372036854775809")),
    ],
)
def test_targets_of_many_types_are_labels(target: Any, labels: Any) -> None:
    dataset = build_dataset(read_source(npz(X=pixels(), y=target), format=Format.NPZ), settings())
    assert dataset.labels == labels


def test_images_can_predict_a_number() -> None:
    target = np.linspace(0, 1, 60)
    dataset = build_dataset(read_source(npz(X=pixels(), y=target), format=Format.NPZ), settings())
    assert (dataset.task.name, dataset.notes) == ("Regression", ("task: regression, since y holds numbers",))


def test_images_without_a_target_are_dropped() -> None:
    target = np.where(CLASSES == 2, np.nan, CLASSES)
    dataset = build_dataset(read_source(npz(X=pixels(), y=target), format=Format.NPZ), settings())
    assert (dataset.rows, dataset.dropped, dataset.labels) == (40, 20, ("0", "1"))


def test_equal_images_are_on_one_side_and_appended_ones_move_no_other() -> None:
    images = np.concatenate([pixels(30), pixels(30)])
    target = np.tile(np.arange(30) % 3, 2)
    split = divide_rows(read_source(npz(X=images, y=target), format=Format.NPZ), settings()).split
    for side in (split.train, split.validation, split.test):
        assert {row % 30 for row in side.tolist() if row < 30} == {row % 30 for row in side.tolist() if row >= 30}
    more = npz(X=np.concatenate([images, pixels(9, seed=1)]), y=np.concatenate([target, np.arange(9) % 3]))
    after = divide_rows(read_source(more, format=Format.NPZ), settings()).split
    assert [row for row in after.test.tolist() if row < 60] == split.test.tolist()


def test_images_that_differ_in_the_sign_of_zeros_alone_are_equal() -> None:
    images = (pixels() * (pixels() % 2) / 255).astype(np.float32)
    both = np.concatenate([images, np.where(images == 0, np.float32(-0.0), images)])
    split = divide_rows(read_source(npz(X=both, y=np.tile(CLASSES, 2)), format=Format.NPZ), settings()).split
    for side in (split.train, split.validation, split.test):
        assert set(side[side < 60] + 60) == set(side[side >= 60])


def test_arrays_in_memory_give_the_dataset_of_the_file() -> None:
    from_file = build_dataset(read_source(npz(X=pixels(), y=CLASSES), format=Format.NPZ), settings())
    in_memory = build_dataset(from_frame({"X": pixels(), "y": CLASSES.tolist()}), settings())
    np.testing.assert_array_equal(from_file.test.features, in_memory.test.features)
    assert in_memory.sha256 != build_dataset(from_frame({"X": pixels(seed=1), "y": CLASSES}), settings()).sha256


def test_a_further_array_may_stand_beside_them() -> None:
    content = npz(X=pixels(), y=CLASSES, names=CLASSES)
    dataset = build_dataset(read_source(content, format=Format.NPZ), settings(features=["X"]))
    assert dataset.rows == 60


NAN = pixels().astype(np.float32)
NAN[7, 2, 2] = np.nan
HUGE = pixels().astype(np.float64)
HUGE[9] = 1e300


@pytest.mark.parametrize(
    ("arrays", "more", "reason", "words"),
    [
        (
            {"X": pixels(), "label": CLASSES},
            {"target": "Labels"},
            "TargetNotFound",
            "no array 'Labels'; it has X, label",
        ),
        ({"X": pixels(), "label": CLASSES}, {"target": "Labels"}, "TargetNotFound", "did you mean label?"),
        (
            {"X": pixels(), "y": CLASSES},
            {"features": ["Z"]},
            "FeatureNotFound",
            "no array 'Z'; it has X, y: name one of",
        ),
        (
            {"X": pixels(), "y": CLASSES, "m": CLASSES},
            {},
            "FeaturesNotClear",
            "has X, y, m: name the one array of images",
        ),
        ({"X": pixels(), "y": CLASSES}, {"features": ["X", "m"]}, "FeaturesNotClear", "name the one array"),
        ({"y": CLASSES}, {}, "NoFeatures", "the file has y: name the one array of images"),
        ({"X": pixels(60, 4), "y": CLASSES}, {}, "NotImages", "X is uint8 of shape [60, 4], and images are"),
        ({"X": pixels(60, 2, 2, 2, 2), "y": CLASSES}, {}, "NotImages", "[n, h, w] or [n, h, w, c]"),
        ({"X": pixels().astype(np.int64), "y": CLASSES}, {}, "NotImages", "is int64"),
        ({"X": pixels().astype(np.complex64), "y": CLASSES}, {}, "NotImages", "is complex64"),
        ({"X": np.zeros((60, 0, 6), np.uint8), "y": CLASSES}, {}, "NotImages", "shape [60, 0, 6]: there is nothing"),
        ({"X": np.zeros((60, 1, 5000), np.uint8), "y": CLASSES}, {}, "NotImages", "at most 4096 x 4096 pixels"),
        ({"X": NAN, "y": CLASSES}, {}, "NotANumber", "image 7 of array X holds a value that is not a finite"),
        ({"X": HUGE, "y": CLASSES}, {}, "NotANumber", "image 9 of array X"),
        ({"X": pixels(), "y": CLASSES[:50]}, {}, "LengthsDiffer", "X has 60 images, and y has 50 values"),
        (
            {"X": pixels(), "y": CLASSES, "w": np.zeros(50) + (np.arange(50) > 0)},
            {"features": ["X"], "sampleWeight": "w"},
            "LengthsDiffer",
            "w has 50 values, and y has 60",
        ),
        ({"X": pixels(), "y": np.eye(60)}, {}, "NotATarget", "y is float64 of shape [60, 60], expected one number"),
        ({"X": pixels(), "y": CLASSES.astype(complex)}, {}, "NotATarget", "y is complex128"),
        ({"X": pixels(), "y": np.array([b"\xff", b"a"] * 30)}, {}, "NotATarget", "not UTF-8"),
        ({"X": pixels(), "y": CLASSES * 0}, {}, "SingleClass", "array y holds only the class '0'"),
        ({"X": pixels() * 0 + 7, "y": CLASSES}, {}, "TooFewRows", "no class has three different rows"),
        ({"X": pixels(), "y": CLASSES.astype(object)}, {}, "NotAnArray", "array y holds Python objects"),
        ({"X": pixels().astype(object), "y": CLASSES}, {}, "NotAnArray", "array X holds Python objects"),
    ],
)
def test_arrays_that_are_no_images_or_no_target(arrays: Any, more: Any, reason: str, words: str) -> None:
    error = refused(npz(**arrays), **more)
    assert error.reason == reason
    assert words in error.message


@pytest.mark.parametrize("name", ["X", "y"])
def test_arrays_that_hide_values_are_refused(name: str) -> None:
    given: dict[str, Any] = {"X": pixels(), "y": CLASSES}
    given[name] = np.ma.masked_equal(given[name], given[name].flat[0])
    with pytest.raises(DataError, match=f"'{name}' hides values behind a mask: fill them"):
        from_frame(given)


def test_what_an_image_of_no_weight_says_of_the_target_decides_nothing() -> None:
    said, heavy = CLASSES.astype(np.float64), np.ones(60)
    said[7], heavy[7] = 1.5, 0
    content = npz(X=pixels(), y=said, w=heavy)
    dataset = build_dataset(read_source(content, format=Format.NPZ), settings(features=["X"], sampleWeight="w"))
    assert (dataset.task.name, dataset.labels, dataset.rows, dataset.dropped) == ("Multiclass", ("0", "1", "2"), 59, 1)


@pytest.mark.parametrize("point", [0xD800, 0xDFFF, 0x110000, 0x7FFFFFFF])
@pytest.mark.parametrize("order", ["<", ">"])
def test_texts_of_numpy_that_are_none(point: int, order: str) -> None:
    """numpy stores 32 bits for each character, and reads whatever they are."""
    points = np.array([ord("a"), ord("b"), point] * 20, dtype=f"{order}u4")
    error = refused(npz(X=pixels(), y=points.view(f"{order}U1")))
    assert (error.reason, "array y holds no characters in row 2" in error.message) == ("NotATarget", True)


def archive(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", "NotNPZ", "no NPZ archive"),
        (b"a,y\n1,2\n", "NotNPZ", "save it by numpy.savez"),
        (npy(pixels()), "NotNPZ", "no NPZ archive"),
        (npz(X=pixels(), y=CLASSES)[:-30], "NotNPZ", "no NPZ archive"),
        (archive({"a.txt": b"x"}), "NotNPZ", "holds no arrays"),
        (archive({"X.npy": b"x", "y.npy": npy(CLASSES)}), "DamagedNPZ", "array X cannot be read"),
        (archive({"X.npy": npy(pixels())[:-9], "y.npy": npy(CLASSES)}), "DamagedNPZ", "needs 1440 bytes"),
    ],
)
def test_files_that_are_no_archives_of_arrays(content: bytes, reason: str, words: str) -> None:
    error = refused(content)
    assert error.reason == reason
    assert words in error.message


def test_a_header_that_promises_more_than_there_is_allocates_nothing() -> None:
    big = io.BytesIO()
    np.lib.format.write_array_header_1_0(big, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 4, 6)})
    error = refused(archive({"X.npy": big.getvalue() + b"\0" * 64, "y.npy": npy(CLASSES)}))
    assert (error.reason, "needs 26388279066624 bytes" in error.message) == ("DamagedNPZ", True)


def test_an_array_that_inflates_to_too_much_is_refused_before_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz_file, "MAX_BYTES", 1000)
    error = refused(npz(X=pixels(), y=CLASSES))
    assert (error.reason, error.message) == (
        "DataTooLarge",
        "array X has more than 1000 bytes: give fewer or smaller images",
    )


def test_an_entry_larger_than_it_says_is_damaged() -> None:
    content = bytearray(archive({"X.npy": npy(pixels()), "y.npy": npy(CLASSES)}))
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02"))
    size = struct.unpack_from("<I", content, at + 24)[0]
    struct.pack_into("<I", content, at + 24, size - 100)
    assert refused(bytes(content)).reason == "DamagedNPZ"


def test_values_that_leave_float32_when_standardised_are_refused() -> None:
    images = np.zeros((60, 4, 6), np.float32)
    images[:, 0, 0] = np.arange(60) * 1e-30
    split = divide_rows(read_source(npz(X=images, y=CLASSES), format=Format.NPZ), settings()).split
    images[split.test[0], 1, 1] = 1e38
    examples = ImageExamples(name="X", images=images)
    preprocessing, _ = examples.fit(split.train)
    with pytest.raises(DataError, match="array X: holds a value that is too far from the training data") as caught:
        examples.encode(preprocessing, split.test)
    assert caught.value.reason == "NotANumber"


def test_an_object_of_arrays_that_differ_in_length_is_refused() -> None:
    with pytest.raises(DataError, match="a value of the object is no array"):
        from_frame({"X": pixels(), "y": [[1], [1, 2]]})


def header(descr: str, shape: str, more: str = "") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {more}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header("'|S0'", "(10000000000,)"), "have no bytes"),
        (header("'|u1'", "(60, 0, 99999999999999999999)"), "its shape is (60, 0, 99999999999999999999)"),
        (header("'|u1'", "(-60, -4, 6)") + bytes(1440), "its shape is (-60, -4, 6)"),
        (header("'|u1'", "(True, 4, 6)") + bytes(1440), "its shape is (True, 4, 6)"),
        (header("()", "(60,)") + bytes(60), "its header is damaged (IndexError"),
        (header("'|u1'", "(60,)", "{") + bytes(60), "its header is damaged (TokenError"),
        (header("'|u1'", "-" * 9000 + "1"), "its header is damaged (MemoryError"),
    ],
)
def test_an_array_is_described_as_numpy_would_or_refused(content: bytes, words: str) -> None:
    for entries in ({"X.npy": content, "y.npy": npy(CLASSES)}, {"X.npy": npy(pixels()), "y.npy": content}):
        error = refused(archive(entries))
        assert (error.reason, words in error.message) == ("DamagedNPZ", True)


def test_the_member_that_is_read_is_the_one_that_was_checked() -> None:
    """numpy.load takes a member ``X`` for the array X before it takes ``X.npy``."""
    content = archive({"X.npy": npy(pixels()), "X": header("'|u1'", f"({2**40}, 4, 6)"), "y.npy": npy(CLASSES)})
    assert build_dataset(read_source(content, format=Format.NPZ), settings()).rows == 60
