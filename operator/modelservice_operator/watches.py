"""What the operator watches: ModelServices, and by our label their children; and what the cache keeps of each."""

from collections.abc import Mapping
from typing import Any, Final

from modelservice_operator.constants import LABEL_NAME, OPERATOR_SELECTOR
from modelservice_operator.kinds import CHILD_KINDS, CONFIG_MAP, MODEL_SERVICE, OPTIONAL_KINDS, POD
from modelservice_operator.machinery.watch import Watch, own_key, without_copies
from modelservice_operator.objects import Key, Kind, Object

_POD_SPEC = ("nodeName",)


def owner_by_label(obj: Mapping[str, Any]) -> Key | None:
    """The ModelService that an object belongs to, by its label."""
    metadata = obj["metadata"]
    name = (metadata.get("labels") or {}).get(LABEL_NAME)
    return Key(metadata["namespace"], name) if name else None


def without_data(config_map: Mapping[str, Any]) -> Object:
    """A ConfigMap without its data: ours are immutable, and named by what they hold."""
    kept = without_copies(config_map)
    return {name: value for name, value in kept.items() if name not in {"data", "binaryData"}}


def without_spec(pod: Mapping[str, Any]) -> Object:
    """A Pod with nothing of its spec but its node: what a pod should be, its owner knows."""
    spec = {name: value for name, value in pod.get("spec", {}).items() if name in _POD_SPEC}
    return {**without_copies(pod), "spec": spec}


_TRANSFORMS = {CONFIG_MAP: without_data, POD: without_spec}


def _child(kind: Kind, *, optional: bool = False) -> Watch:
    return Watch(
        kind=kind,
        request=owner_by_label,
        transform=_TRANSFORMS.get(kind, without_copies),
        label_selector=OPERATOR_SELECTOR,
        optional=optional,
    )


WATCHES: Final = (
    Watch(kind=MODEL_SERVICE, request=own_key, owned=False),
    *(_child(kind) for kind in CHILD_KINDS),
    *(_child(kind, optional=True) for kind in OPTIONAL_KINDS),
)
"""Everything that the cache holds, in the order in which it is made complete."""
