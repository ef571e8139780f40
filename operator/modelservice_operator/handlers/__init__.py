"""The edge to kopf: it watches and logs in, and nothing else; everything that decides is elsewhere."""

import importlib
import sys

_CLIENT = "kubernetes"


def _import_kopf_alone() -> None:
    """Import kopf without the kubernetes client.

    kopf imports all of it where it can, only to know its models when it sees one (``kopf.adopt``): 12 MB and half a
    second for each replica, and this operator has dictionaries. Who needs the client (``login``, outside a cluster)
    imports it afterwards, as usual.
    """
    if _CLIENT in sys.modules:
        return
    sys.modules[_CLIENT] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        importlib.import_module("kopf")
    finally:
        del sys.modules[_CLIENT]


_import_kopf_alone()
