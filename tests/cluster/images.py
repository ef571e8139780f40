"""The project's images: names made from content, built when missing, and a record of what is current.

A tag is a hash of everything that goes into the image, so an unchanged image is neither built nor loaded again.
Dependencies are an image of their own below the code: a change of code builds and moves a few kilobytes.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import base_image, engine
from tests.cluster.dockerfile import copied, stages
from tests.cluster.paths import IMAGE_SIZES, IMAGES_RECORD, ROOT, write_if_changed

PREFIX = "localhost/modelservice"
_MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image: a stage of this name in its Dockerfile, on top of the stage ``NAME-dependencies``."""

    name: str
    folder: str
    arguments: tuple[str, ...] = ()
    """Variables of the environment that its dependencies are built with, where they are set."""

    @property
    def dockerfile(self) -> Path:
        """Its Dockerfile."""
        return ROOT / self.folder / "Dockerfile"

    @property
    def dependencies(self) -> str:
        """The stage below its code."""
        return f"{self.name}-dependencies"


OPERATOR = Image(name="operator", folder="operator")
TRAINER = Image(name="trainer", folder="runtime", arguments=("TORCH_BACKEND",))
SERVER = Image(name="server", folder="runtime")
ALL = (OPERATOR, TRAINER, SERVER)


def base() -> str:
    """Return the image below everything: BASE_IMAGE, else a local one for buildah, the public one for docker."""
    given = os.environ.get("BASE_IMAGE", "")
    if given or engine.name() == "docker":
        return given
    return base_image.ensure_base()


def names(image: Image, arguments: Mapping[str, str], root: Path = ROOT) -> tuple[str, str]:
    """The names of an image and of its dependencies: each a hash of its stages and of what these copy.

    Args:
        image: which one.
        arguments: what the dependencies are built with.
        root: the folder that it is built in.
    """
    recipe = stages((root / image.folder / "Dockerfile").read_text())
    below = _hash(
        [
            json.dumps(dict(arguments), sort_keys=True).encode(),
            *(recipe[stage].encode() for stage in ("", "tools")),
            *_content(recipe[image.dependencies], root),
        ]
    )
    own = _hash([below.encode(), *_content(recipe[image.name], root)])
    return f"{PREFIX}/{image.name}:{own}", f"{PREFIX}/{image.dependencies}:{below}"


def _content(stage: str, root: Path) -> Iterable[bytes]:
    yield stage.encode()
    for path in copied(stage, root):
        yield str(path.relative_to(root)).encode()
        yield path.read_bytes()


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]


def build(image: Image) -> str:
    """Build an image and its dependencies where they are missing; return its name."""
    below = base()
    arguments = {"BASE_IMAGE": below} if below else {}
    arguments |= {name: value for name in image.arguments if (value := os.environ.get(name, ""))}
    reference, dependencies = names(image, arguments)
    if not engine.exists(reference):
        if not engine.exists(dependencies):
            title = f"dependencies of the {image.name} image"
            target = image.dependencies
            engine.build(dependencies, image.dockerfile, title=title, target=target, arguments=arguments)
        arguments[image.dependencies.replace("-", "_").upper()] = dependencies
        engine.build(reference, image.dockerfile, title=f"{image.name} image", target=image.name, arguments=arguments)
    engine.tag(reference, f"{PREFIX}/{image.name}:dev")
    return reference


def build_all() -> dict[str, str]:
    """Build all images; record their names and sizes."""
    references = {image.name: build(image) for image in ALL}
    for image in ALL:  # of the code, which is small, a few are kept: for another checkout, and for a way back
        engine.prune(f"{PREFIX}/{image.name}", keep=4)
        engine.prune(f"{PREFIX}/{image.dependencies}", keep=1)
    record(references)
    sizes = {name: round(engine.size(reference) / _MEGABYTE) for name, reference in references.items()}
    write_if_changed(IMAGE_SIZES, json.dumps(sizes, indent=1) + "\n", mode=0o644)
    return references


def record(references: dict[str, str]) -> None:
    """Write down which images are current; the demo and the end-to-end tests read it."""
    write_if_changed(IMAGES_RECORD, json.dumps(references, indent=1) + "\n", mode=0o644)


def recorded() -> dict[str, str]:
    """Return the names of the images that were built last."""
    loaded: dict[str, str] = json.loads(IMAGES_RECORD.read_text())
    return loaded


def recorded_sizes() -> dict[str, int]:
    """Return the sizes of the images that were built last, uncompressed, in MB (10^6 bytes)."""
    loaded: dict[str, int] = json.loads(IMAGE_SIZES.read_text())
    return loaded
