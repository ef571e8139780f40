"""The training side of images."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelservice.contract.data import Format
from modelservice.contract.digests import sha256, written
from modelservice.contract.failure import DataError
from modelservice.modalities.base import FileOptions
from modelservice.modalities.image.entries import archive_entries, folder_entries
from modelservice.modalities.image.folder import read_pictures
from modelservice.modalities.image.npz_file import MAX_BYTES, Arrays, open_npz
from modelservice.modalities.image.source import ImageSource

_FEWEST_AXES = 3


class ImageReader:
    """Reads NPZ files, archives and folders of pictures, and objects of arrays."""

    formats = (Format.NPZ, Format.IMAGE_FOLDER)
    limit = MAX_BYTES

    def read(
        self,
        content: bytes,
        *,
        format: Format,  # noqa: A002 - the field's own word
        options: FileOptions,
        field: str,
    ) -> ImageSource:
        """Open an NPZ file, or an archive of pictures; for errors see ``open_npz`` and ``read_pictures``."""
        if format is Format.IMAGE_FOLDER:
            entries = archive_entries(content, field=field)
            return ImageSource(read_pictures(entries, options.image, field=field), sha256=sha256(content))
        return ImageSource(open_npz(content, field=field), sha256=sha256(content))

    def read_folder(self, folder: Path, *, options: FileOptions, field: str) -> ImageSource:
        """Read the pictures below a folder; for errors see ``folder_entries`` and ``read_pictures``."""
        entries = folder_entries(folder, field=field)
        state = hashlib.sha256()
        for entry in entries:
            state.update(f"{entry.path}\0{sha256(entry.read())}\0".encode())
        return ImageSource(read_pictures(entries, options.image, field=field), sha256=written(state))

    def join(self, sources: Mapping[str, ImageSource], *, sides: Sequence[int], field: str) -> ImageSource:  # noqa: ARG002
        """Images stand in one file.

        Raises:
            DataError: always.
        """
        message = "several files of images cannot be read: put all images into one file, and name it"
        raise DataError("FilesDiffer", message, field=field)

    def from_frame(self, frame: Any) -> ImageSource | None:
        """Take an object of arrays of which one has three axes or more, such as ``{"X": images, "y": labels}``."""
        if not isinstance(frame, Mapping):
            return None
        try:
            arrays = {str(name): np.asarray(values) for name, values in frame.items()}
        except ValueError as error:
            raise DataError("NotAnArray", f"a value of the object is no array: {error}: give numpy arrays") from None
        if not any(array.ndim >= _FEWEST_AXES for array in arrays.values()):
            return None
        if masked := next((name for name, values in frame.items() if np.ma.is_masked(values)), None):
            raise DataError("NotAnArray", f"{masked!r} hides values behind a mask: fill them, or leave their rows out")
        state = hashlib.sha256()
        for name, array in sorted(arrays.items()):
            state.update(f"{name} {array.dtype.str} {array.shape}".encode())
            state.update(np.ascontiguousarray(array).tobytes())
        load = arrays.__getitem__
        return ImageSource(Arrays(names=tuple(arrays), load=load), sha256=written(state))


IMAGES: Final = ImageReader()
