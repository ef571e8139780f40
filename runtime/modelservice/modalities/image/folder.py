"""Pictures in files, in a folder for each class or listed in ``metadata.csv``, as arrays of images and targets.

Both are as the datasets of Hugging Face have them: ``label`` is the name of a picture's folder, and a metadata.csv has
a column ``file_name`` and others to be learned.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.failure import DataError
from modelservice.contract.formats import ImageSize
from modelservice.modalities.image.entries import Entry
from modelservice.modalities.image.npz_file import MAX_BYTES, Arrays
from modelservice.modalities.image.pictures import MAX_PIXELS, PictureError, Size, decode_picture, picture_size

IMAGE: Final = "image"
"""Name of the array of pictures, and of the model's input."""
LABEL: Final = "label"
METADATA: Final = "metadata.csv"
FILE_NAME: Final = "file_name"
SIZE_FIELD: Final = "spec.data.image"


def read_pictures(entries: Sequence[Entry], size: ImageSize | None, *, field: str) -> Arrays:
    """Pictures and what is known of each, as arrays of one length.

    Args:
        entries: the files, in the order of their paths.
        size: that the pictures are brought to; None for the one that all have.
        field: what errors name as the field to change.

    Raises:
        DataError: a file is no picture, or nothing says what it shows; names it.
    """
    files = {entry.path: entry for entry in entries}
    metadata = files.pop(METADATA, None)
    files = files if metadata is not None else _below_root(files)
    if not files:
        message = (
            f"there are no pictures: put PNG or JPEG files into a folder for each class, or list them in {METADATA}"
        )
        raise DataError("NoPictures", message, field=field)
    known = {LABEL: _classes(files, field)} if metadata is None else _listed(metadata.read(), files, field)
    arrays: dict[str, NDArray[Any]] = {
        IMAGE: _images(files, size, field),
        **{name: np.array(values) for name, values in known.items()},
    }
    return Arrays(names=tuple(arrays), load=arrays.__getitem__, scaled=size is not None)


def _below_root(files: Mapping[str, Entry]) -> dict[str, Entry]:
    """The files by their paths below the folder that all of them are in, if that holds folders of its own."""
    while files and all(path.count("/") > 1 for path in files) and len({path.split("/")[0] for path in files}) == 1:
        files = {path.partition("/")[2]: entry for path, entry in files.items()}
    return dict(files)


def _classes(files: Mapping[str, Entry], field: str) -> list[str]:
    """The name of each picture's folder."""
    for path in files:
        if path.count("/") != 1:
            message = f"{path} is not in a folder of its class: put each picture into one folder, named after its class"
            raise DataError("NotInClassFolder", message, field=field)
    return [path.partition("/")[0] for path in files]


def _listed(content: bytes, files: Mapping[str, Entry], field: str) -> dict[str, list[str]]:
    """The columns of metadata.csv but the names, in the order of the files."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        listed = [(str(row.get(FILE_NAME)), reader.line_num, row) for row in reader]
        columns = [name for name in reader.fieldnames or () if name != FILE_NAME]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _metadata(f"cannot be read: {str(error)[:200]}: save it as CSV in UTF-8", field) from None
    if FILE_NAME not in (reader.fieldnames or ()) or not columns:
        raise _metadata(
            f"has the columns {reader.fieldnames}, expected {FILE_NAME} and one to predict: add them", field
        )
    if IMAGE in columns or len(set(columns)) < len(columns):
        raise _metadata(f"has a column {IMAGE}, or two of one name: rename it", field)
    rows: dict[str, tuple[int, dict[str, str]]] = {}
    for name, line, row in listed:
        if name in rows:
            raise _metadata(f"names {name[:200]!r} in lines {rows[name][0]} and {line}: leave one of them out", field)
        rows[name] = (line, row)
        if name not in files:
            raise _metadata(f"names {name[:200]!r} in line {line}, and there is no such file: add it", field)
        if None in row or None in row.values():
            raise _metadata(f"has more or fewer cells in line {line} than in its header: correct the line", field)
    for path in files:
        if path not in rows:
            raise _metadata(f"does not list {path}: add its row, or remove the picture", field)
    return {name: [rows[path][1][name] for path in files] for name in columns}


def _metadata(problem: str, field: str) -> DataError:
    return DataError("MetadataInvalid", f"{METADATA} {problem}", field=field)


def _images(files: Mapping[str, Entry], size: ImageSize | None, field: str) -> NDArray[np.uint8]:
    """uint8 [files, height, width, channels]."""
    sizes = {path: _measured(path, entry, field) for path, entry in files.items()}
    height, width, channels = _common(sizes, size)
    shape = (len(files), height, width, channels)
    if math.prod(shape) > MAX_BYTES:
        message = f"{len(files)} pictures of {height} x {width} x {channels} are more than {MAX_BYTES} bytes"
        raise DataError("DataTooLarge", f"{message}: set a smaller {SIZE_FIELD}, or give fewer", field=SIZE_FIELD)
    images = np.empty(shape, dtype=np.uint8)
    scalable = None if size is None else MAX_PIXELS
    for place, (path, entry) in enumerate(files.items()):
        try:
            images[place] = decode_picture(
                entry.read(), height=height, width=width, channels=channels, scalable=scalable
            )
        except PictureError as error:
            raise _not_a_picture(path, error, field) from None
    return images


def _measured(path: str, entry: Entry, field: str) -> Size:
    try:
        return picture_size(entry.read())
    except PictureError as error:
        raise _not_a_picture(path, error, field) from None


def _not_a_picture(path: str, error: PictureError, field: str) -> DataError:
    return DataError("NotAPicture", f"{path} {error}: correct or remove the file", field=field)


def _common(sizes: Mapping[str, Size], size: ImageSize | None) -> Size:
    """What all pictures are brought to."""
    channels = max(one.channels for one in sizes.values())
    if size is not None:
        return Size(height=size.height, width=size.width, channels=size.channels or channels)
    first_path, first = next(iter(sizes.items()))
    for path, one in sizes.items():
        if one[:2] != first[:2]:
            found = f"{first_path} has {first.width} x {first.height} pixels, and {path} {one.width} x {one.height}"
            message = f"{found}: set {SIZE_FIELD}, such as {{height: 64, width: 64}}"
            raise DataError("SizesDiffer", message, field=SIZE_FIELD)
    return Size(height=first.height, width=first.width, channels=channels)
