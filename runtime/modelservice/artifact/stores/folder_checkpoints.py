"""Checkpoints beside the folder of an artifact, in a hidden folder of their own."""

import contextlib
import os
from pathlib import Path

from modelservice.artifact.files import read_file
from modelservice.artifact.keys import NO_KEYS, Keys
from modelservice.artifact.stores.base import StoreOptions, checkpoint_name, sealed_name
from modelservice.artifact.stores.folder import discard, folder_of, sync_folder, temporary_name


class FolderCheckpoints:
    """Files of ``.NAME.checkpoints`` beside the artifact ``NAME``; see ``Checkpoints``."""

    def __init__(self, artifact: Path, *, scratch: str, keys: Keys = NO_KEYS) -> None:
        """Args: the artifact's folder, what makes the temporary file beside it unique, and keys."""
        self._artifact, self._keys = artifact, keys
        self._folder = artifact.with_name(f".{artifact.name}.checkpoints")
        self._scratch = artifact.with_name(temporary_name(artifact, f"{scratch}-checkpoint"))

    def read(self, name: str, *, limit: int) -> bytes | None:
        """Read a plain file; see ``Checkpoints``."""
        path = self._folder / checkpoint_name(name)
        if self._folder.is_symlink() or not os.path.lexists(path):
            return None
        stored = read_file(path, limit=self._keys.form.size(limit))
        return self._keys.opened(sealed_name(self._artifact.name, name), stored, where=str(self._folder))[0]

    def write(self, name: str, *content: bytes | memoryview) -> None:
        """Write a temporary file, flush it, and give it the name; see ``Checkpoints``."""
        path = self._folder / checkpoint_name(name)
        if self._folder.is_symlink() or not self._folder.is_dir():
            discard(self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        discard(self._scratch)
        try:
            with self._scratch.open("xb") as file:
                file.writelines(self._keys.form.store(sealed_name(self._artifact.name, name), content))
                file.flush()
                os.fsync(file.fileno())
            self._scratch.replace(path)
        except BaseException:  # a signal raises, too
            with contextlib.suppress(OSError):
                discard(self._scratch)
            raise
        sync_folder(self._folder)

    def discard(self) -> None:
        """Remove the folder; see ``Checkpoints``."""
        discard(self._folder)


def open_folder_checkpoints(address: str, options: StoreOptions) -> FolderCheckpoints:
    """Those beside the folder of an address.

    Raises:
        ArtifactError: no folder can have that path.
    """
    return FolderCheckpoints(folder_of(address), scratch=options.scratch, keys=options.keys)
