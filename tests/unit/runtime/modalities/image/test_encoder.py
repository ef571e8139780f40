"""Requests for images in all their forms, and what is said about those that are none."""

import io
import struct
import zlib
from base64 import b64encode
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from tests.unit.runtime.modalities.image.archives import pixels

from modelservice.modalities.base import merge_rows
from modelservice.modalities.errors import InputError
from modelservice.modalities.image import requests
from modelservice.modalities.image.encoder import ImageEncoder
from modelservice.modalities.image.preprocessing import ImagePreprocessing
from modelservice.modalities.tensors import Tensor

GREY = ImagePreprocessing(
    name="X", height=4, width=6, channels=1, channel_axis=False, datatype="UINT8", mean=(100.0,), std=(50.0,)
)
COLOUR = ImagePreprocessing(
    name="X", height=4, width=6, channels=3, channel_axis=True, datatype="UINT8", mean=(1, 2, 3), std=(4, 5, 6)
)
FLOATS = GREY.model_copy(update={"datatype": "FP32", "mean": (0.5,), "std": (0.25,)})
IMAGES = pixels(2)


def picture(image: NDArray[Any], form: str = "PNG", **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=form, **more)
    return buffer.getvalue()


def png(lines: list[bytes], *, bits: int, kind: int, transparent: bytes | None = None) -> bytes:
    """A PNG of 6 pixels a line, as Pillow writes none: bits a channel, kind and tRNS are those of its specification."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 6, len(lines), bits, kind, 0, 0, 0))
    clear = b"" if transparent is None else chunk(b"tRNS", transparent)
    filtered = b"".join(b"\0" + line for line in lines)  # each begins with how it is filtered: not at all
    return b"\x89PNG\r\n\x1a\n" + head + clear + chunk(b"IDAT", zlib.compress(filtered)) + chunk(b"IEND", b"")


def b64(content: bytes) -> dict[str, str]:
    return {"b64": b64encode(content).decode()}


def tensor(datatype: str, shape: tuple[int, ...], values: Any) -> Tensor:
    return Tensor("X", datatype, shape, values)


def standardised(images: NDArray[Any]) -> NDArray[np.float32]:
    return ((images.astype(np.float32) - 100) / np.float32(50))[:, None]


FLAT = IMAGES.ravel()
FORMS: list[tuple[str, Any]] = [
    ("from_instances", IMAGES.tolist()),
    ("from_instances", IMAGES[..., None].tolist()),
    ("from_instances", [{"X": image.tolist()} for image in IMAGES]),
    ("from_instances", [b64(picture(image)) for image in IMAGES]),
    ("from_instances", [IMAGES[0].tolist(), {"X": b64(picture(IMAGES[1]))}]),
    ("from_instances", IMAGES.astype(float).tolist()),
    ("from_inputs", IMAGES.tolist()),
    ("from_inputs", {"X": IMAGES.tolist()}),
    ("from_tensors", [tensor("UINT8", (2, 4, 6), FLAT)]),
    ("from_tensors", [tensor("UINT8", (2, 4, 6, 1), FLAT)]),
    ("from_tensors", [tensor("FP32", (2, 4, 6), FLAT.astype(np.float32))]),
    ("from_tensors", [tensor("INT64", (2, 4, 6), FLAT.tolist())]),
    ("from_tensors", [tensor("BYTES", (2,), [picture(image) for image in IMAGES])]),
    ("from_tensors", [tensor("BYTES", (2, 1), [b64(picture(image))["b64"] for image in IMAGES])]),
    ("from_frame", IMAGES),
    ("from_frame", IMAGES[..., None].astype(np.int64)),
    ("from_frame", list(IMAGES)),
    ("from_frame", [picture(image) for image in IMAGES]),
    ("from_frame", [Image.fromarray(image) for image in IMAGES]),
    ("from_frame", {"X": IMAGES, "y": [1, 2]}),
]


def test_an_image_that_hides_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="hides pixels behind a mask"):
        ImageEncoder(GREY).from_frame(np.ma.masked_equal(IMAGES, IMAGES.flat[0]))


@pytest.mark.parametrize(("way", "given_rows"), FORMS)
def test_the_same_images_in_every_form_are_the_same_features(way: str, given_rows: Any) -> None:
    encoder = ImageEncoder(GREY)
    encoded = encoder.encode(getattr(encoder, way)(given_rows))
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, standardised(IMAGES), atol=1e-6)


def test_colours_keep_their_channels_and_come_first() -> None:
    images = pixels(2, 4, 6, 3)
    encoder = ImageEncoder(COLOUR)
    expected = ((images - np.array([1, 2, 3])) / np.array([4, 5, 6])).transpose(0, 3, 1, 2)
    for rows in (
        encoder.from_instances(images.tolist()),
        encoder.from_instances([b64(picture(image)) for image in images]),
        encoder.from_tensors([tensor("UINT8", images.shape, images.ravel())]),
    ):
        np.testing.assert_allclose(encoder.encode(rows), expected, atol=1e-5)
    assert encoder.encode(images).flags.c_contiguous


def test_floats_are_taken_as_they_are() -> None:
    encoder = ImageEncoder(FLOATS)
    images = np.linspace(-1, 2, 24).reshape(1, 4, 6)
    np.testing.assert_allclose(
        encoder.encode(encoder.from_instances(images.tolist())), ((images - 0.5) / 0.25)[:, None], atol=1e-5
    )


def test_a_jpeg_is_close_to_what_it_was_made_of() -> None:
    flat = np.full((4, 6), 130, dtype=np.uint8)
    encoder = ImageEncoder(GREY)
    rows = encoder.decoded(encoder.from_instances([b64(picture(flat, "JPEG", quality=95))]))
    np.testing.assert_allclose(rows, 130, atol=3)


def test_colour_becomes_grey_and_grey_colour() -> None:
    red = np.zeros((4, 6, 3), dtype=np.uint8)
    red[..., 0] = 255
    assert set(np.asarray(ImageEncoder(GREY).from_frame([picture(red)])).ravel().tolist()) == {76}
    grey = ImageEncoder(COLOUR).from_frame([picture(IMAGES[0])])
    np.testing.assert_array_equal(np.asarray(grey)[0, ..., 1], IMAGES[0])


def test_of_deep_colour_the_upper_eight_bits_are_read() -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (4, 6, 3)).astype(">u2")
    content = png([line.tobytes() for line in deep], bits=16, kind=2)
    np.testing.assert_array_equal(ImageEncoder(COLOUR).from_frame([content]), (deep >> 8)[None])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_grey_of_few_bits_is_transparent_where_the_picture_says_so(bits: int) -> None:
    """The second of the six pixels of each line, whose bits are 0...01 as those of no other."""
    size = -(-6 * bits // 8)
    line = (1 << 8 * size - 2 * bits).to_bytes(size, "big")
    content = png([line] * 4, bits=bits, kind=0, transparent=struct.pack(">H", 1))
    clear = ImageEncoder(COLOUR.model_copy(update={"channels": 4})).from_frame([content])
    assert np.asarray(clear)[0, :, :, 3].tolist() == [[255, 0, 255, 255, 255, 255]] * 4
    with pytest.raises(InputError, match="is transparent in places"):
        ImageEncoder(GREY).from_frame([content])
    unused = png([bytes(size)] * 4, bits=bits, kind=0, transparent=struct.pack(">H", 1))
    assert not np.asarray(ImageEncoder(GREY).from_frame([unused])).any()


@pytest.mark.parametrize(
    ("channels", "kind", "transparent", "text"),
    [
        (2, 4, None, r"has pixels of kind LA;16: save it with 8 bits a channel"),
        (3, 2, struct.pack(">HHH", 1, 2, 3), r"has a transparent colour of 16 bits a channel: save it with 8 bits"),
    ],
)
def test_deep_pixels_that_would_be_read_as_others_are_refused(
    channels: int, kind: int, transparent: bytes | None, text: str
) -> None:
    content = png([bytes(2 * 6 * channels)] * 4, bits=16, kind=kind, transparent=transparent)
    for taken in (GREY, COLOUR, COLOUR.model_copy(update={"channels": 4})):
        with pytest.raises(InputError, match=text):
            ImageEncoder(taken).from_frame([content])


def test_a_picture_is_turned_as_its_orientation_says() -> None:
    turned = Image.fromarray(np.rot90(IMAGES[0]).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    buffer = io.BytesIO()
    turned.save(buffer, format="PNG", exif=exif)
    rows = ImageEncoder(GREY).from_frame([buffer.getvalue()])
    np.testing.assert_array_equal(np.asarray(rows)[0, ..., 0], IMAGES[0])


def test_a_plain_example_is_answered_and_is_no_real_row() -> None:
    for preprocessing in (GREY, COLOUR, FLOATS):
        encoder = ImageEncoder(preprocessing)
        encoded = encoder.encode(encoder.from_instances([encoder.example()]))
        assert encoded.shape == (1, *encoder.shape)
        np.testing.assert_allclose(encoded, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "datatype", "picture"),
    [(1, "UINT8", True), (3, "UINT8", True), (2, "UINT8", False), (3, "FP32", False)],
)
def test_the_example_of_large_images_is_a_picture_where_one_can_hold_it(
    channels: int, datatype: Literal["UINT8", "FP32"], picture: bool
) -> None:
    large = ImagePreprocessing(
        name="X",
        height=80,
        width=60,
        channels=channels,
        channel_axis=channels > 1,
        datatype=datatype,
        mean=(70.0,) * channels,
        std=(2.0,) * channels,
    )
    encoder = ImageEncoder(large)
    example = encoder.example()
    assert isinstance(example, dict) == picture
    np.testing.assert_allclose(encoder.encode(encoder.from_instances([example])), 0, atol=1e-6)


def test_metadata_names_one_tensor() -> None:
    assert ImageEncoder(COLOUR).tensors() == [{"name": "X", "datatype": "UINT8", "shape": [-1, 4, 6, 3]}]


def test_images_of_several_requests_stay_one_array() -> None:
    encoder = ImageEncoder(GREY)
    parts = [encoder.from_instances(IMAGES.tolist()), encoder.from_tensors([tensor("UINT8", (2, 4, 6), FLAT)])]
    merged = merge_rows(parts)
    assert isinstance(merged, np.ndarray)
    assert (str(merged.dtype), merged.shape) == ("uint8", (4, 4, 6, 1))


GOOD = IMAGES[0].tolist()
BIG = pixels(1, 5, 6)[0]
CLEAR = np.zeros((4, 6, 4), dtype=np.uint8)


@pytest.mark.parametrize(
    ("instances", "text"),
    [
        ([GOOD, 3], "[1]: the number 3 is not an image; expected nested arrays of shape [4, 6], or {'b64': ...} of a"),
        ([GOOD, "x"], "[1]: the text 'x' is not an image"),
        ([GOOD, None], "[1]: null is not an image"),
        ([GOOD, BIG.tolist()], "[1]: has shape [5, 6]; expected [4, 6]"),
        ([BIG.tolist()], "[0]: has shape [5, 6]; expected [4, 6]"),
        ([[[1, 2], [3]]], "[0]: its arrays differ in length; expected shape [4, 6]"),
        ([[[1, 2], [3, "x"]]], "[0]: holds a value that is not a number"),
        ([[[1, 2], [3, None]]], "[0]: holds a value that is not a number"),
        ([(IMAGES[0] > 9).tolist()], "[0]: holds a value that is not a number"),
        ([[[10**30] * 6] * 4], "[0]: holds a value that is not a number"),
        ([GOOD, [[256] * 6] * 4], "[1]: holds values beyond 0 to 255, in which this model was trained"),
        ([GOOD, [[-1] * 6] * 4], "[1]: holds values beyond 0 to 255"),
        ([GOOD, [[float("nan")] * 6] * 4], "[1]: holds values beyond 0 to 255"),
        ([GOOD, [[0.5] * 6] * 4], "[1]: holds parts of numbers, but this model was trained on whole ones, 0 to 255"),
        ([{"b64": 3}], "[0]: must be a base64 text of a PNG or JPEG"),
        ([{"b64": "?"}], "[0]: is not base64"),
        ([{"b64": "ü"}], "[0]: is not base64"),
        ([{"b64": "AAAA"}], "[0]: is neither a PNG nor a JPEG"),
        ([{"b65": "AAAA"}], "[0]: is an object, of which only {'b64': ...} is an image"),
        ([GOOD, b64(picture(BIG))], "[1]: is 6 x 5 pixels (width x height); expected 6 x 4: scale it first"),
        ([b64(picture(np.zeros((6, 4), np.uint8)))], "[0]: is 4 x 6 pixels (width x height); expected 6 x 4"),
        ([b64(picture(np.zeros((4, 6), np.uint16)))], "[0]: has pixels of kind I;16: save it with 8 bits a channel"),
        ([b64(picture(CLEAR))], "[0]: is transparent in places, and this model takes no such"),
        ([b64(picture(IMAGES[0], "GIF"))], "[0]: is neither a PNG nor a JPEG"),
        ([b64(picture(IMAGES[0])[:60])], "[0]: is a damaged picture"),
    ],
)
def test_the_first_wrong_image_is_named(instances: Any, text: str) -> None:
    encoder = ImageEncoder(GREY)
    with pytest.raises(InputError) as caught:
        encoder.encode(encoder.from_instances(instances))
    assert str(caught.value).startswith(text)


def test_a_picture_with_odd_exif_is_turned_as_its_orientation_says() -> None:
    """Pillow cannot write anew what is in it, which nobody asked for."""
    entries = struct.pack("<HHLL", 0x0112, 3, 1, 6) + struct.pack("<HHLL", 282, 2, 6, 38) + struct.pack("<L", 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<LH", 8, 2) + entries + b"abcde\0"
    encoder = ImageEncoder(GREY)
    for form in ("PNG", "JPEG"):
        content = picture(np.rot90(IMAGES[0], 1), form, exif=exif, **({"quality": 100} if form == "JPEG" else {}))
        (found,) = np.asarray(encoder.decoded(encoder.from_instances([b64(content)]))).reshape(1, 4, 6)
        assert np.abs(found.astype(int) - IMAGES[0]).mean() < (1 if form == "PNG" else 20)


def test_whatever_pillow_raises_is_said_of_the_picture() -> None:
    """A colour profile without its parts: IndexError."""
    whole = picture(IMAGES[0])
    profile = struct.pack(">L", 0) + b"iCCP" + struct.pack(">L", zlib.crc32(b"iCCP"))
    encoder = ImageEncoder(GREY)
    with pytest.raises(InputError, match=r"^\[0\]: is a damaged picture: "):
        encoder.decoded(encoder.from_instances([b64(whole[:-12] + profile + whole[-12:])]))


def test_pictures_stay_what_they_are_until_somebody_decodes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, content = ImageEncoder(GREY), picture(IMAGES[0])
    with monkeypatch.context() as patching:
        patching.setattr(requests, "decode_picture", lambda *_, **__: pytest.fail("decoded"))
        by_row = encoder.from_instances([IMAGES[1].tolist(), b64(content)])
        by_tensor = encoder.from_tensors([tensor("BYTES", (2,), [content, b64encode(content).decode()])])
    assert [encoder.compressed(rows) for rows in (by_row, by_tensor, encoder.from_instances([GOOD]))] == [1, 2, 0]
    assert by_tensor == [content, content]
    assert encoder.compressed(encoder.decoded(by_row)) == 0
    assert np.asarray(encoder.decoded(by_row)).nbytes == 2 * encoder.row_bytes


def test_a_picture_for_a_model_of_floats_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[0\]: is a picture, and this model was trained on FP32 values"):
        ImageEncoder(FLOATS).from_instances([b64(picture(IMAGES[0]))])


def test_a_picture_for_a_model_of_other_channels_is_refused() -> None:
    two = GREY.model_copy(update={"channels": 2, "channel_axis": True, "mean": (0.0, 0.0), "std": (1.0, 1.0)})
    encoder = ImageEncoder(two)
    with pytest.raises(InputError, match="a picture has 1, 3 or 4 channels, and this model takes 2: send numbers"):
        encoder.encode(encoder.from_instances([b64(picture(IMAGES[0]))]))


@pytest.mark.parametrize(
    ("inputs", "text", "column"),
    [
        ({"Z": []}, "must be one array of images, or an object of X, not an object", None),
        (3, "must be an array of images, not the number 3", None),
        ({"X": 3}, "must be an array of images, not the number 3", "X"),
    ],
)
def test_inputs_that_are_none(inputs: Any, text: str, column: Any) -> None:
    with pytest.raises(InputError) as caught:
        ImageEncoder(GREY).from_inputs(inputs)
    assert (caught.value.message, caught.value.column) == (text, column)


@pytest.mark.parametrize(
    ("tensors", "part", "row", "text"),
    [
        ([tensor("UINT8", (2, 4, 6), FLAT)] * 2, None, None, "is one too many; expected one tensor, X"),
        ([tensor("BOOL", (2, 4, 6), FLAT > 9)], "datatype", None, "BOOL; images are numbers such as UINT8 or FP32"),
        ([tensor("UINT8", (2, 6, 4), FLAT)], "shape", None, "[2, 6, 4]; expected [rows, 4, 6]"),
        ([tensor("UINT8", (48,), FLAT)], "shape", None, "[48]; expected [rows, 4, 6]"),
        ([tensor("BYTES", (1, 4, 6), ["a"] * 24)], "shape", None, "[1, 4, 6]; expected [rows] or [rows, 1]"),
        ([tensor("BYTES", (1,), [None])], None, 0, "must be a base64 text"),
        ([tensor("FP32", (2, 4, 6), [0.0] * 24 + [None] * 24)], None, 1, "null is not a value of an image"),
        ([tensor("UINT64", (1, 4, 6), [2**80] * 24)], None, 0, "a very large number is not a value of an image"),
        ([tensor("FP32", (2, 4, 6), [0.0] * 24 + [300.0] * 24)], None, 1, "holds values beyond 0 to 255"),
    ],
)
def test_tensors_that_are_none(tensors: Any, part: Any, row: Any, text: str) -> None:
    with pytest.raises(InputError) as caught:
        ImageEncoder(GREY).from_tensors(tensors)
    assert caught.value.message.startswith(text)
    assert (caught.value.part, caught.value.row) == (part, row)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (3, "a int is neither an array nor a list of images"),
        ({"y": 1}, "X: is missing"),
        (np.array(3), "the array has shape []; expected [rows, 4, 6]"),
        (IMAGES[0], "the array has shape [4, 6]; expected [rows, 4, 6]"),
        (IMAGES.astype(str), "an array of <U"),
    ],
)
def test_frames_that_are_none(frame: Any, text: str) -> None:
    with pytest.raises(InputError) as caught:
        ImageEncoder(GREY).from_frame(frame)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("far", [1e300, np.inf, np.nan])
def test_floats_that_are_none_are_named(far: float) -> None:
    images = np.zeros((3, 4, 6))
    images[2, 1, 1] = far
    with pytest.raises(InputError, match=r"\[2\]: holds a value that is not a finite number"):
        ImageEncoder(FLOATS).from_frame(images)


def test_a_float_that_leaves_float32_when_standardised_is_named() -> None:
    images = np.zeros((3, 4, 6), dtype=np.float32)
    images[1] = 3e38
    encoder = ImageEncoder(FLOATS)
    with pytest.raises(InputError, match=r"\[1\]: holds a value that is too far from the training data"):
        encoder.encode(encoder.from_frame(images))


@pytest.mark.parametrize("preprocessing", [GREY, COLOUR, FLOATS])
def test_no_images_are_no_images(preprocessing: Any) -> None:
    encoder = ImageEncoder(preprocessing)
    for rows in (encoder.from_instances([]), encoder.from_tensors([tensor("BYTES", (0,), [])])):
        assert encoder.encode(rows).shape == (0, *encoder.shape)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=4), st.sampled_from(["PNG", "JPEG"]))
def test_whatever_bytes_come_are_decoded_or_refused(at: int, damage: bytes, form: str) -> None:
    content = bytearray(picture(IMAGES[0], form))
    content[at % len(content) : at % len(content) + len(damage)] = damage
    try:
        rows = ImageEncoder(GREY).from_frame([bytes(content)])
    except InputError:
        return
    assert np.asarray(rows).shape == (1, 4, 6, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["X", "b64"]), inner, max_size=2),
    max_leaves=12,
)


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [-1, 0, 1, 255, 256, 2**70, 2.0, 1.5, float("nan"), True, None, "3", [], [1], {}]
)


@pytest.mark.parametrize("preprocessing", [GREY, COLOUR])
@given(data=st.data())
def test_whole_numbers_taken_quickly_are_those_taken_slowly(preprocessing: ImagePreprocessing, data: Any) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 9)))
    images = random.integers(0, 256, (2, *preprocessing.row_shape)).tolist()
    place = images
    for _ in range(data.draw(st.integers(0, len(preprocessing.row_shape)))):
        place = place[data.draw(st.integers(0, len(place) - 1))]
    place[data.draw(st.integers(0, len(place) - 1))] = data.draw(ODD)

    def outcome(instances: Any) -> Any:
        try:
            return np.asarray(ImageEncoder(preprocessing).from_instances(instances)).tolist()
        except InputError as error:
            return str(error)

    quickly = outcome(images)
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(requests.RequestReader, "_whole", lambda *_: None)
        assert quickly == outcome(images)


@given(st.lists(JSON | st.just(GOOD), max_size=3))
def test_whatever_json_holds_is_encoded_or_refused(instances: Any) -> None:
    encoder = ImageEncoder(GREY)
    try:
        encoded = encoder.encode(encoder.from_instances(instances))
    except InputError:
        return
    assert encoded.shape == (len(instances), 1, 4, 6)
    assert np.isfinite(encoded).all()


@pytest.mark.parametrize("wrong", [{"mean": [1.0, 2.0]}, {"channels": 2, "mean": [1, 2], "std": [1, 2]}, {"std": [0]}])
def test_a_preprocessing_that_contradicts_itself_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        ImagePreprocessing.model_validate(GREY.model_dump() | wrong)


def with_scans(content: bytes, count: int) -> bytes:
    """A JPEG with its last scan so many times more."""
    start, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:end] + content[start:end] * count + content[end:]


def test_a_jpeg_that_goes_over_its_pixels_again_and_again_is_refused() -> None:
    """8,192 x 8,192 equal pixels in 50 KiB took half a minute."""
    large = picture(np.full((64, 64, 3), 130, dtype=np.uint8), "JPEG", progressive=True)
    scaled = ImageEncoder(COLOUR.model_copy(update={"scaled": True}))
    ordinary = [large, with_scans(large, 20), large + b"\xff\xda" * 100]  # a film follows, as of a telephone
    np.testing.assert_allclose(scaled.from_frame(ordinary), 130, atol=3)
    with pytest.raises(InputError, match=r"is a JPEG of more than 32 scans: save it anew"):
        scaled.from_frame([with_scans(large, 32)])
