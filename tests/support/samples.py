"""The sample files: those that users copy, those that set every field, and those that must be refused."""

import base64
import copy
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.support.helm import ROOT

from modelservice.contract.data import Data, Format
from modelservice.contract.resource import KIND
from modelservice.modalities.base import FileOptions
from modelservice.modalities.table.columns import texts_of
from modelservice.modalities.table.formats import FORMATS

SAMPLES = ROOT / "manifests" / "samples"
BAD = ROOT / "tests" / "data" / "bad"
FULL = ROOT / "tests" / "data" / "full"

Object = dict[str, Any]


@cache
def _read(path: Path) -> list[Object]:
    """What stands in a file, read once: some hold whole tables, and hundreds of tests begin with one."""
    return [one for one in yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) if one]


def objects(path: Path) -> list[Object]:
    """All objects of a file, to be changed at will."""
    return copy.deepcopy(_read(path))


def _services(path: Path) -> list[Object]:
    return [one for one in _read(path) if one.get("kind") == KIND]


def model_service(path: Path) -> Object:
    """The ModelService of a file, to be changed at will."""
    return copy.deepcopy(_services(path)[0])


def sample_files() -> list[Path]:
    """The files with a ModelService that users may copy."""
    return [path for path in sorted(SAMPLES.rglob("*.yaml")) if _services(path)]


def trained_samples() -> list[Path]:
    """Those whose model is trained, and not fetched."""
    return [path for path in sample_files() if "data" in _services(path)[0]["spec"]]


def sample_table(path: Path) -> bytes:
    """The file of data that stands in a sample, that of training rows where there are others.

    Where kustomize makes a ConfigMap of it, it stands beside the sample.
    """
    for one in _read(path):
        if one["kind"] == "ConfigMap":
            key = _services(path)[0]["spec"]["data"]["configMap"].get("key")
            if "binaryData" in one:
                (packed,) = one["binaryData"].values()
                return base64.b64decode(packed, validate=True)
            (content,) = [text for name, text in one["data"].items() if key in {None, name}]
            return str(content).encode()
    (table,) = path.parent.glob("*.csv")
    return table.read_bytes()


def sample_format(path: Path) -> Format:
    """What the data of a sample is, by the name of its key."""
    config_maps = [one for one in _read(path) if one["kind"] == "ConfigMap"]
    keys = [key for one in config_maps for part in ("data", "binaryData") for key in one.get(part, {})]
    return _data(path).format_of(keys[0] if keys else "")


def sample_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a sample's table, as the texts that say its cells."""
    parse = next(one.parse for one in FORMATS if one.format is sample_format(path))
    columns = parse(sample_table(path), FileOptions.of(_data(path)), "spec.data").columns
    texts = [texts_of(cells).to_pylist() for cells in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*texts, strict=True)]


def _data(path: Path) -> Data:
    return Data.model_validate(_services(path)[0]["spec"]["data"])


@dataclass(frozen=True, kw_only=True)
class BadSample:
    """A ModelService that must be refused: at which field, and in which words by whom."""

    name: str
    field: str
    apiserver: str
    pydantic: str
    text: str


def bad_samples() -> list[BadSample]:
    """All files of ``tests/data/bad``; ``message`` in the header stands for the words of both."""
    return [_bad_sample(path) for path in sorted(BAD.glob("*.yaml"))]


def _bad_sample(path: Path) -> BadSample:
    text = path.read_text(encoding="utf-8")
    header: dict[str, str] = dict(re.findall(r"^# (\w+): (.*)$", text, flags=re.MULTILINE))
    words = header.get("message", "")
    return BadSample(
        name=path.stem,
        field=header["field"],
        apiserver=header.get("apiserver", words),
        pydantic=header.get("pydantic", words),
        text=text,
    )


def field_path(location: tuple[str | int, ...]) -> str:
    """pydantic's location as the apiserver writes it, but with a dot before the keys of maps as well."""
    if location[-1] == "[key]":
        location = location[:-2]
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(str(part) for part in location))


def dotted(path: str) -> str:
    """The apiserver's path with a dot before the keys of maps."""
    return re.sub(r"\[([^\[\]\d][^\[\]]*)\]", r".\1", path)
