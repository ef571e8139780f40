"""The names of images: what they are made from, and what leaves them as they are."""

import shutil
from pathlib import Path

import pytest
from tests.cluster.dockerfile import copied, stages
from tests.cluster.images import ALL, OPERATOR, SERVER, TRAINER, names
from tests.cluster.paths import ROOT

RUNTIME = (ROOT / "runtime" / "Dockerfile").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout with this one's Dockerfiles."""
    for folder in ("operator", "runtime"):
        (tmp_path / folder).mkdir()
        shutil.copy(ROOT / folder / "Dockerfile", tmp_path / folder)
    for file in (
        "runtime/modelservice/cli.py",
        "runtime/modelservice/serving/main.py",
        "runtime/modelservice/training/loop.py",
        "runtime/modelservice/contract/keys.py",
        "operator/modelservice_operator/__main__.py",
        *(f"requirements-{image.name}.lock" for image in ALL),
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(file)
    return tmp_path


def all_names(checkout: Path) -> dict[str, str]:
    """Names of all images and their dependencies."""
    both = {image: names(image, {"BASE_IMAGE": "base"}, checkout) for image in ALL}
    return {
        **{image.name: reference for image, (reference, _) in both.items()},
        **{image.dependencies: dependencies for image, (_, dependencies) in both.items()},
    }


@pytest.mark.parametrize(
    ("file", "renamed"),
    [
        ("runtime/modelservice/training/loop.py", {"trainer"}),
        ("runtime/modelservice/serving/main.py", {"trainer", "server"}),
        ("runtime/modelservice/contract/keys.py", {"trainer", "server", "operator"}),
        ("operator/modelservice_operator/__main__.py", {"operator"}),
        ("requirements-server.lock", {"server", "server-dependencies"}),
        ("requirements-trainer.lock", {"trainer", "trainer-dependencies"}),
        ("README.md", set()),
        ("runtime/modelservice/serving/__pycache__/main.cpython-311.pyc", set()),
    ],
)
def test_a_changed_file_renames_the_images_that_hold_it(checkout: Path, file: str, renamed: set[str]) -> None:
    before = all_names(checkout)
    (checkout / file).parent.mkdir(parents=True, exist_ok=True)
    (checkout / file).write_text("changed")
    after = all_names(checkout)
    assert {name for name in after if after[name] != before[name]} == renamed


def test_a_changed_stage_leaves_the_other_image_of_its_dockerfile_alone(checkout: Path) -> None:
    before = all_names(checkout)
    dockerfile = checkout / "runtime" / "Dockerfile"
    text = dockerfile.read_text()
    dockerfile.write_text(text.replace(" AS trainer-dependencies\n", " AS trainer-dependencies\nARG MORE\n", 1))
    after = all_names(checkout)
    assert {name for name in after if after[name] != before[name]} == {"trainer", "trainer-dependencies"}


def test_what_dependencies_are_built_with_names_them() -> None:
    plain, cpu = ({"BASE_IMAGE": "base"}, {"BASE_IMAGE": "base", "TORCH_BACKEND": "cpu"})
    assert names(TRAINER, plain)[1] != names(TRAINER, cpu)[1]
    assert names(OPERATOR, plain) == names(OPERATOR, dict(plain))


def test_a_stage_ends_where_the_next_begins() -> None:
    text = "# Why.\nARG BASE\n\nFROM ${BASE} AS one\nCOPY a b /there\n\n# FROM x AS y\nFROM one AS two\nRUN true\n"
    assert stages(text) == {
        "": "ARG BASE\n\n",
        "one": "FROM ${BASE} AS one\nCOPY a b /there\n\n",
        "two": "FROM one AS two\nRUN true\n",
    }


def test_copied_files_are_those_of_all_sources(tmp_path: Path) -> None:
    for file in ("a/x.py", "a/b/y.py", "c.py", "d.py", "e.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = copied("FROM base AS one\nCOPY a *.py /there/\n", tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a/b/y.py", "a/x.py", "c.py", "d.py"]


def test_the_server_holds_no_code_that_only_training_needs() -> None:
    held = {path.relative_to(ROOT / "runtime" / "modelservice").parts[0] for path in copied_by(SERVER.name)}
    assert {"serving", "inference", "contract"} <= held
    assert held.isdisjoint({"families", "training", "compression", "stages"})


def copied_by(stage: str) -> list[Path]:
    """Files of this checkout that a stage of the runtime's Dockerfile copies."""
    return copied(stages(RUNTIME)[stage], ROOT)


def test_every_lock_and_source_may_enter_the_build() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for image in ALL:
        recipe = stages(image.dockerfile.read_text())
        for path in (*copied(recipe[image.dependencies], ROOT), *copied(recipe[image.name], ROOT)):
            assert any(str(path.relative_to(ROOT)).startswith(prefix) for prefix in allowed), path
