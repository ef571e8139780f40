"""How Kubernetes names things: kinds, and objects of a kind. Nothing of ModelServices.

They are named tuples, since everything is looked up by them: dataclasses take ten times as long to hash.
"""

from typing import Any, NamedTuple

Object = dict[str, Any]
"""An object as the apiserver's JSON gives it."""


class Key(NamedTuple):
    """Namespace and name of one object of a kind that is clear: what a queue holds, and a reconciler is called with."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Kind(NamedTuple):
    """A namespaced kind as the apiserver spells it; the core group is the empty string."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """``apiVersion`` of an object of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """Resource, group and version in one word, such as ``jobs.batch/v1``."""
        return f"{self.plural}.{self.group}/{self.version}" if self.group else f"{self.plural}/{self.version}"

    @property
    def api_path(self) -> str:
        """URL path of the group's version, below which discovery lists its resources."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """URL path of one object, of a namespace's objects, or (both None) of all objects of the cluster."""
        parts = [self.api_path]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        return "/".join(parts)


class Ref(NamedTuple):
    """Names one object, whether it exists or not."""

    kind: Kind
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """URL path of the object."""
        return self.kind.path(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"
