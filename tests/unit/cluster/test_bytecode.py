"""Bytecode goes from one checkout to the next, and Python takes it where the source is the same file."""

import py_compile
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster import bytecode

TAG = sys.implementation.cache_tag


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def packages_of(venv: Path) -> Path:
    return venv / "lib" / "python3.99" / "site-packages"


def installed(venv: Path, source: Path) -> Path:
    """A .venv with one package, of one module that is a link to ``source``, as uv makes it."""
    package = packages_of(venv) / "many"
    package.mkdir(parents=True)
    (package / "words.py").hardlink_to(source)
    return package / "words.py"


def test_what_one_checkout_compiled_is_loaded_by_another(tmp_path: Path, store: Path) -> None:
    source = tmp_path / "words.py"
    source.write_text("said = 'well'\n")
    first, second = (installed(tmp_path / name, source) for name in ("first", "second"))
    py_compile.compile(str(first), doraise=True)
    bytecode.keep(tmp_path / "first", store=store)
    bytecode.give(tmp_path / "second", store=store)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import many.words as words; print(words.said)"
    loaded = subprocess.run(
        [sys.executable, "-v", "-c", code, packages_of(tmp_path / "second")], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "well\n"
    assert f"{second.parent}/__pycache__/words.{TAG}.pyc matches {second}" in loaded.stderr
    assert not list(store.rglob(".*")), "no draft is left"


def test_what_was_compiled_anew_takes_the_place_of_what_was_kept(tmp_path: Path, store: Path) -> None:
    source = tmp_path / "words.py"
    source.write_text("said = 'well'\n")
    module = installed(tmp_path / "first", source)
    kept = store / "many" / "__pycache__" / f"words.{TAG}.pyc"
    contents = []
    for text in ("said = 'well'\n", "said = 'better'\n"):
        module.write_text(text)
        py_compile.compile(str(module), doraise=True)
        bytecode.keep(tmp_path / "first", store=store)
        contents.append(kept.read_bytes())
    assert contents[0] != contents[1]
    bytecode.keep(tmp_path / "first", store=store)
    assert kept.stat().st_nlink == 2


def test_a_package_that_is_not_installed_gets_no_folder(tmp_path: Path, store: Path) -> None:
    gone = store / "gone" / "__pycache__"
    gone.mkdir(parents=True)
    (gone / f"a.{TAG}.pyc").write_bytes(b"x")
    packages_of(tmp_path / "venv").mkdir(parents=True)
    bytecode.give(tmp_path / "venv", store=store)
    assert list(packages_of(tmp_path / "venv").iterdir()) == []


def test_where_nothing_was_kept_nothing_is_given(tmp_path: Path, store: Path) -> None:
    bytecode.give(tmp_path / "venv", store=store)
    bytecode.keep(tmp_path / "venv", store=store)
    assert not store.exists()
