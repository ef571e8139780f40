"""What others added to the fields of a child that decide how it behaves.

A server-side apply puts right what it says itself, and cannot take away what another field manager added beside it: a
key of a selector, a variable, a container. Such additions are found here by comparison, and removed by JSON patch.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelservice.contract.keys import short_hash
from modelservice_operator.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from modelservice_operator.objects import Kind

SOMEBODY: Final = "somebody"
"""Who manages a field that no field manager is known of."""

IMPOSED: Final = "is put back by a webhook as soon as it is removed, and is left"
"""What is said of an addition that is lived with."""

_DECISIVE: Final[Mapping[Kind, tuple[str, ...]]] = {
    DEPLOYMENT: ("minReadySeconds", "paused", "selector", "strategy", "template"),
    HORIZONTAL_POD_AUTOSCALER: ("behavior", "metrics"),
    SERVICE: ("externalName", "ports", "publishNotReadyAddresses", "selector", "type"),
    NETWORK_POLICY: ("podSelector", "policyTypes", "ingress", "egress"),
    POD_DISRUPTION_BUDGET: ("selector",),
}
"""The fields of ``spec`` in which nothing is but what we say."""

_NEVER_LEFT: Final = frozenset({"externalName", "paused", "selector", "podSelector"})
"""Those that decide whether pods are made and found at all: nothing there is left, whoever insists on it."""

_FILLED: Final = frozenset({"policies", "scaleDown", "scaleUp"})
"""Parts of an autoscaler's pace that the apiserver fills in where others of it are said: as a single value, each is an
addition only if another field manager is known to hold some of it."""

_MAPS: Final = frozenset({"labels", "annotations", "matchLabels", "selector", "nodeSelector", "limits", "requests"})
"""Fields whose keys are free: one more of them says something, whatever its value is."""

_HARMLESS: Final = frozenset({"kubectl.kubernetes.io/restartedAt"})
"""Keys that people may add: ``kubectl rollout restart`` asks for new pods by it."""

_LIST_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists that the apiserver merges, by the fields that tell their items apart; ``ports`` are told apart below."""

_DEFAULTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "apiVersion": ("v1",),
    "defaultMode": (420,),
    "dnsPolicy": ("ClusterFirst",),
    "enableServiceLinks": (True,),
    "failureThreshold": (3,),
    "imagePullPolicy": ("Always", "IfNotPresent"),
    "periodSeconds": (10,),
    "protocol": ("TCP",),
    "restartPolicy": ("Always",),
    "schedulerName": ("default-scheduler",),
    "scheme": ("HTTP",),
    "selectPolicy": ("Max",),
    "successThreshold": (1,),
    "terminationGracePeriodSeconds": (30,),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "timeoutSeconds": (1,),
    "type": ("ClusterIP", "LoadBalancer", "NodePort"),  # whoever opens a Service to the outside may
}
"""What the apiserver itself writes into a field that nobody says. A newer one may write more: so a value that is not
here is an addition only if another field manager is known to hold it."""


@dataclass(frozen=True, kw_only=True)
class Extra:
    """An addition: where it is, for machines (``pointer``) and for people (``path``), and who manages it.

    ``content`` is a hash of what was added.
    """

    pointer: str
    path: str
    content: str
    manager: str

    @property
    def addition(self) -> tuple[str, str]:
        """What makes it the same as another one; a list may have got other items since."""
        return self.path, self.content

    @property
    def may_stay(self) -> bool:
        """Whether it can be lived with: admission, which the cluster's administrator decides, may insist on it."""
        return re.split(r"[.\[]", self.path, maxsplit=2)[1] not in _NEVER_LEFT

    def __str__(self) -> str:
        return f"{self.path} (set by {self.manager})"


def extras(live: Mapping[str, Any], desired: Mapping[str, Any], kind: Kind) -> tuple[Extra, ...]:
    """What ``live`` has beside ``desired`` in the fields that decide, in an order in which it can be removed.

    ``metadata.foreign`` of the live object tells who manages what (see ``machinery.managed_fields``).
    """
    foreign: Sequence[Mapping[str, str]] = live["metadata"].get("foreign") or ()
    if kind not in _DECISIVE:
        return ()
    have, want = live.get("spec") or {}, desired.get("spec") or {}
    shown = {name: have[name] for name in _DECISIVE[kind] if name in have}
    found = list(_in_map(shown, want, _Place(pointer="/spec", path="spec", name="spec", foreign=foreign)))
    return tuple(reversed(found))  # later items of a list first: the others keep their places


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where in the object something is, and who manages what of the object."""

    pointer: str
    path: str
    name: str
    foreign: Sequence[Mapping[str, str]]

    def field(self, name: str) -> "_Place":
        step = name.replace("~", "~0").replace("/", "~1")
        return _Place(pointer=f"{self.pointer}/{step}", path=f"{self.path}.{name}", name=name, foreign=self.foreign)

    def item(self, index: int, key: Sequence[Any] | None) -> "_Place":
        shown = "/".join(map(str, key)) if key else str(index)
        return _Place(pointer=f"{self.pointer}/{index}", path=f"{self.path}[{shown}]", name="", foreign=self.foreign)

    @property
    def manager(self) -> str | None:
        """Another field manager that holds this, or a part of it."""
        return next((one["manager"] for one in self.foreign if _within(one["path"], self.path)), None)

    def addition(self, value: Any) -> Extra:
        content = short_hash(value, length=16)
        return Extra(pointer=self.pointer, path=self.path, content=content, manager=self.manager or SOMEBODY)


def _within(path: str, other: str) -> bool:
    shorter, longer = sorted((path, other), key=len)
    return longer.startswith(shorter) and longer[len(shorter) : len(shorter) + 1] in ("", ".", "[")


def _in_map(live: Mapping[str, Any], desired: Mapping[str, Any], place: _Place) -> Iterator[Extra]:
    for name, value in live.items():
        if name in desired and value == desired[name]:
            continue  # in C, and true of most parts
        below = place.field(name)
        if name in desired:
            yield from _in_value(value, desired[name], below)
        elif place.name in _MAPS and isinstance(value, str):
            if name not in _HARMLESS:
                yield below.addition(value)
        elif name in _MAPS and isinstance(value, dict):
            yield from _in_map(value, {}, below)
        elif _says_something(value, below):
            yield below.addition(value)


def _in_value(live: Any, desired: Any, place: _Place) -> Iterator[Extra]:
    if isinstance(live, dict):
        yield from _in_map(live, desired if isinstance(desired, dict) else {}, place)
    elif isinstance(live, list):
        yield from _in_list(live, desired or [], place)


def _in_list(live: list[Any], desired: Sequence[Any], place: _Place) -> Iterator[Extra]:
    keys = [item_key(place.name, item) for item in live]
    if None in keys:  # the apiserver replaces such a list as a whole
        for index, (have, want) in enumerate(zip(live, desired, strict=False)):
            yield from _in_value(have, want, place.item(index, None))
        return
    wanted = {item_key(place.name, item): item for item in desired}
    for index, (item, key) in enumerate(zip(live, keys, strict=True)):
        below = place.item(index, key)
        if key in wanted:
            yield from _in_value(item, wanted[key], below)
        else:
            yield below.addition(item)


def item_key(name: str, item: Any) -> tuple[Any, ...] | None:
    """What tells an item of the list ``name`` from the others, or None where the list is replaced as a whole."""
    if not isinstance(item, dict):
        return None
    if name == "ports":  # of a container, or of a Service; those of a NetworkPolicy have no name
        number = item.get("containerPort", item.get("port"))
        return (number, item.get("protocol", "TCP")) if "containerPort" in item or "name" in item else None
    fields = _LIST_KEYS.get(name)
    return None if fields is None else tuple(item.get(field) for field in fields)


def _says_something(value: Any, place: _Place) -> bool:
    """Whether a field that we leave out says more than its absence would."""
    if not value:
        return False
    if isinstance(value, (dict, list)) and place.name not in _FILLED:
        return True
    return value not in _DEFAULTS.get(place.name, ()) and place.manager is not None
