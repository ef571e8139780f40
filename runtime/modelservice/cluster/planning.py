"""``plan``: what applying a file would come to, from keys and from what differs; pure."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from modelservice.contract.digests import joined
from modelservice.contract.keys import (
    claim_digest,
    compress_key,
    content_digest,
    elsewhere_digest,
    fetch_key,
    pretrained_key,
    train_key,
    uri_digest,
)
from modelservice.contract.resource import ModelServiceSpec

KEY_LABEL: Final = "modelservice.dev/key"
_SCALES: Final = ("serving.replicas", "serving.autoscaling")
_QUIET: Final = ("suspend", "revisionHistoryLimit", "promotion", "artifacts.deletionPolicy", "training.checkpoint")
"""Fields whose change restarts nothing by itself."""
_COMPUTED: Final = ("data", "task", "model", "training", "compression")


class Change(NamedTuple):
    """A field that the file says otherwise than the cluster; None where it is not there."""

    path: str
    before: Any
    after: Any


class Step(NamedTuple):
    """Something that would happen; ``costs``: whether a Job runs for it."""

    said: str
    costs: bool = False


def changes(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Fields that differ, in the order of the file, then those that it no longer has."""
    old, new = ({} if one is None else one for one in (before, after))
    if isinstance(old, Mapping) and isinstance(new, Mapping) and (old or new):
        for name in [*new, *(one for one in old if one not in new)]:
            yield from changes(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif before != after:
        yield Change(path, before, after)


def data_digest(spec: ModelServiceSpec, config_map: Mapping[str, Any] | None) -> str | None:
    """What keys begin with, as the operator finds it; None where the ConfigMap is not there or has no clear key.

    Args:
        spec: of the file.
        config_map: that ``data.configMap`` names, as the file or the cluster has it.
    """
    if (declared := elsewhere_digest(spec)) is not None:
        return declared
    data = spec.known_data
    if data.persistent_volume_claim is not None:
        return claim_digest(data.persistent_volume_claim, data.version)
    if data.uri is not None:
        return uri_digest(data.uri, data.version)
    assert data.config_map is not None  # noqa: S101 - the contract asks for one of three
    held, beside = _contents(config_map), tuple(data.split.given_files.values())
    key = data.config_map.chosen_key(held, beside=beside)
    if key is None or not {key, *beside} <= held.keys():
        return None
    return joined([content_digest(held[one]) for one in (key, *beside)])


def with_encoder(spec: ModelServiceSpec, encoder: Mapping[str, Any] | None) -> ModelServiceSpec | None:
    """The spec with what its keys need of a shared encoder; None where that does not answer.

    Args:
        spec: of the file.
        encoder: the ModelService that it names, as the cluster has it.
    """
    if spec.shared_encoder is None or not spec.is_trained:
        return spec
    digest = None if encoder is None else encoder.get("status", {}).get("digest")
    return None if digest is None else spec.with_encoder(digest)


def final_keys(spec: ModelServiceSpec, digest: str) -> dict[str, str]:
    """The key of the result of each stage that the spec asks for, the last one is served."""
    if spec.fetched is not None:
        keys = {"fetch": fetch_key(spec.fetched, digest if spec.reads_data else None)}
    elif spec.pretrained is not None:
        keys = {"fetch": pretrained_key(spec.pretrained)}
    else:
        keys = {"train": train_key(spec, digest)}
    if spec.compressed:
        keys["compress"] = compress_key(next(iter(keys.values())), spec)
    return keys


def known_keys(live: Mapping[str, Any] | None, records: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Keys of what was made before and is kept: of revisions, and of the records of stages."""
    revisions = [] if live is None else live.get("status", {}).get("revisions", [])
    labels = (record["metadata"].get("labels", {}).get(KEY_LABEL) for record in records)
    return frozenset((*(one["key"] for one in revisions), *filter(None, labels)))


def plan(
    live: Mapping[str, Any] | None,
    spec: Mapping[str, Any],
    keys: Mapping[str, str] | None,
    known: frozenset[str],
    *,
    missing: str = "the ConfigMap with the data is neither in the file nor there",
) -> list[Step]:
    """What would happen, in order.

    Args:
        live: the ModelService in the cluster, None where it is new.
        spec: that of the file, as the apiserver would store it.
        keys: of the stages of the file, None where the data is not there yet, or what else they come from.
        known: keys of results that the cluster has.
        missing: what is not there where there are no keys.
    """
    before = {} if live is None else live.get("spec", {})
    differing = list(changes(before, spec))
    if live is not None and not differing and keys and set(keys.values()) <= known:
        return [Step("nothing changes")]
    if keys is None:
        return [Step(f"what would be trained is not known: {missing}"), *_serving(live, differing)]
    return [*_stages(live, spec, keys, known, differing), *_serving(live, differing)]


def _stages(
    live: Mapping[str, Any] | None,
    spec: Mapping[str, Any],
    keys: Mapping[str, str],
    known: frozenset[str],
    differing: list[Change],
) -> Iterator[Step]:
    why = ", ".join(_told(one) for one in differing if one.path.partition(".")[0] in _COMPUTED)
    verbs = {"train": "trains a model", "fetch": f"fetches {_fetched(spec)}", "compress": "compresses it"}
    last = list(keys.values())[-1]
    for stage, key in keys.items():
        if key not in known:
            because = f", since {why} changed" if live is not None and why else ""
            because = because or (", since the data changed" if live is not None else "")
            yield Step(f"{verbs[stage]} ({key}){because}", costs=True)
    yield from _gate(live, spec, last)
    if last in known and live is not None:
        serving = live.get("status", {}).get("key")
        if serving == last:
            yield Step(f"trains nothing: {last} is what was asked for before")
        else:
            yield Step(f"trains nothing: {last} is kept, and serves again")
    elif last not in known:
        yield Step("rolls the new model out, where its promotion allows")


def _gate(live: Mapping[str, Any] | None, spec: Mapping[str, Any], key: str) -> Iterator[Step]:
    """That what is new is compared with what serves; each pair once, which the cluster alone knows."""
    required = (spec.get("promotion") or {}).get("require") or ()
    bounds = (one["metric"] for one in required if "metric" in one)
    metrics = sorted({one["name"] for one in bounds if "notWorseThanCurrent" in one})
    if live is None or not metrics or "pinRevision" in spec.get("serving", {}):
        return
    status = live.get("status", {})
    number = status.get("revision")
    serves = next((one["key"] for one in status.get("revisions", ()) if one["number"] == number), None)
    if serves is not None and serves != key:
        yield Step(f"compares {key} with revision {number} by {', '.join(metrics)}, unless it did before", costs=True)


def _fetched(spec: Mapping[str, Any]) -> str:
    return "the pretrained model" if "pretrained" in spec["model"] else "the artifact"


def _serving(live: Mapping[str, Any] | None, differing: list[Change]) -> Iterator[Step]:
    if live is None:
        return
    served = [one for one in differing if one.path.startswith(("serving", "podMetadata", "artifacts"))]
    scales = [one for one in served if one.path.startswith(_SCALES)]
    restarts = [one for one in served if one not in scales and not one.path.startswith(_QUIET)]
    if scales:
        yield Step(f"scales: {', '.join(map(_told_whole, scales))}")
    if restarts:
        yield Step(f"may replace serving pods, one by one: {', '.join(map(_told_whole, restarts))}")
    quiet = [one for one in differing if one.path.startswith(_QUIET)]
    if quiet:
        yield Step(f"restarts nothing: {', '.join(map(_told_whole, quiet))}")


def _told(change: Change) -> str:
    return change.path


def _told_whole(change: Change) -> str:
    return f"{change.path} {_short(change.before)} → {_short(change.after)}"


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004


def _contents(config_map: Mapping[str, Any] | None) -> dict[str, bytes]:
    if config_map is None:
        return {}
    plain = {name: text.encode() for name, text in (config_map.get("data") or {}).items()}
    return plain | {name: base64.b64decode(text) for name, text in (config_map.get("binaryData") or {}).items()}
