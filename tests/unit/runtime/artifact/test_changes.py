"""Whether another artifact may be in a folder, by its files' names, sizes and times alone."""

from pathlib import Path

import pytest

from modelservice.artifact.changes import Changes, changes_at
from modelservice.artifact.errors import ArtifactError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "iris"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder


def replace(folder: Path, content: str = "{ }") -> None:
    """As a training does: the new folder takes the place of the old one."""
    fresh = folder.with_name(".fresh")
    fresh.mkdir()
    (fresh / "manifest.json").write_text(content)
    folder.rename(folder.with_name(f".old-{content}"))
    fresh.rename(folder)


def test_what_stays_is_no_change(folder: Path) -> None:
    changes = Changes(folder)
    assert [changes.changed() for _ in range(3)] == [False] * 3


def test_another_folder_in_its_place_is_one_once_two_looks_saw_the_same(folder: Path) -> None:
    changes = Changes(folder)
    replace(folder)
    assert [changes.changed() for _ in range(4)] == [False, True, False, False]
    replace(folder, "{  }")
    assert [changes.changed() for _ in range(3)] == [False, True, False]


def test_files_that_are_copied_are_waited_for(folder: Path) -> None:
    changes = Changes(folder)
    told = []
    for number in range(4):
        (folder / f"{number}.onnx").write_text("x")
        told.append(changes.changed())
    assert told == [False] * 4
    assert changes.changed()


def test_a_file_that_is_written_anew_is_a_change(folder: Path) -> None:
    changes = Changes(folder)
    (folder / "manifest.json").write_text("other")
    assert [changes.changed() for _ in range(3)] == [False, True, False]


def test_a_folder_that_is_gone_is_none_until_it_is_back(folder: Path) -> None:
    changes = Changes(folder)
    folder.rename(folder.with_name("aside"))
    assert [changes.changed() for _ in range(3)] == [False] * 3
    folder.with_name("aside").rename(folder)
    assert [changes.changed() for _ in range(3)] == [False] * 3
    folder.rename(folder.with_name("aside"))
    changes.changed()
    folder.mkdir()
    (folder / "manifest.json").write_text("other")
    assert [changes.changed() for _ in range(3)] == [False, True, False]


def test_only_folders_are_looked_at(folder: Path) -> None:
    assert not changes_at("s3://models/iris")()
    changed = changes_at(str(folder))
    replace(folder)
    assert [changed(), changed()] == [False, True]
    with pytest.raises(ArtifactError, match="is no path of a folder"):
        changes_at("a\0b")
