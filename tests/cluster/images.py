"""The project's images: names made from content, built when missing, and a record of what is current.

A tag is a hash of everything that goes into the image, so an unchanged image is neither built nor loaded again.
Dependencies are an image of their own below the code: a change of code builds and moves a few kilobytes.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import base_image, engine
from tests.cluster.paths import IMAGES_RECORD, ROOT, write_if_changed

PREFIX = "localhost/modelservice"


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image of the project."""

    name: str
    lock: str
    sources: tuple[str, ...]

    @property
    def dockerfile(self) -> Path:
        """Its Dockerfile."""
        return ROOT / self.name / "Dockerfile"


OPERATOR = Image(
    name="operator",
    lock="requirements-operator.lock",
    sources=("operator/modelservice_operator", "runtime/modelservice/__init__.py", "runtime/modelservice/contract"),
)
RUNTIME = Image(name="runtime", lock="requirements-runtime.lock", sources=("runtime/modelservice",))
ALL = (OPERATOR, RUNTIME)


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]


def _source_files(image: Image) -> list[Path]:
    roots = [ROOT / source for source in image.sources]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    return sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts)


def base() -> str:
    """Return the image below everything: BASE_IMAGE, else a local one for buildah, the public one for docker."""
    given = os.environ.get("BASE_IMAGE", "")
    if given or engine.name() == "docker":
        return given
    return base_image.ensure_base()


def build(image: Image) -> str:
    """Build an image and its dependencies where they are missing; return its name."""
    below = base()
    arguments = {"BASE_IMAGE": below} if below else {}
    backend = os.environ.get("TORCH_BACKEND", "")
    if backend and image is RUNTIME:
        arguments["TORCH_BACKEND"] = backend
    # What comes after the last FROM is about the code, and must not make the dependencies anew.
    below_code, _, code_recipe = image.dockerfile.read_bytes().rpartition(b"\nFROM ")
    recipe = [below_code, json.dumps(arguments, sort_keys=True).encode()]
    dependencies_hash = _hash([*recipe, (ROOT / image.lock).read_bytes()])
    dependencies = f"{PREFIX}/{image.name}-dependencies:{dependencies_hash}"
    files = _source_files(image)
    named = [part for path in files for part in (str(path.relative_to(ROOT)).encode(), path.read_bytes())]
    reference = f"{PREFIX}/{image.name}:{_hash([dependencies_hash.encode(), code_recipe, *named])}"
    if not engine.exists(reference):
        if not engine.exists(dependencies):
            title = f"dependencies of the {image.name} image"
            engine.build(dependencies, image.dockerfile, title=title, target="dependencies", arguments=arguments)
        arguments["DEPENDENCIES"] = dependencies
        engine.build(reference, image.dockerfile, title=f"{image.name} image", arguments=arguments)
    engine.tag(reference, f"{PREFIX}/{image.name}:dev")
    return reference


def build_all() -> dict[str, str]:
    """Build all images and record their names."""
    references = {image.name: build(image) for image in ALL}
    for image in ALL:  # of the code, which is small, a few are kept: for another checkout, and for a way back
        engine.prune(f"{PREFIX}/{image.name}", keep=4)
        engine.prune(f"{PREFIX}/{image.name}-dependencies", keep=1)
    record(references)
    return references


def record(references: dict[str, str]) -> None:
    """Write down which images are current; the demo and the end-to-end tests read it."""
    write_if_changed(IMAGES_RECORD, json.dumps(references, indent=1) + "\n", mode=0o644)


def recorded() -> dict[str, str]:
    """Return the names of the images that were built last."""
    loaded: dict[str, str] = json.loads(IMAGES_RECORD.read_text())
    return loaded
