"""Sockets: an address is bound before a model is loaded, and listened on after."""

import contextlib
import errno
import socket
import sys
from typing import Final

EVERY: Final = frozenset({"::", "0.0.0.0", ""})  # noqa: S104 - a pod answers whoever its NetworkPolicy lets through
"""Hosts that mean every address."""
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


def bind(host: str, port: int) -> socket.socket:
    """A socket that has its address and does not listen yet: who connects too early is refused, not kept waiting.

    ``::`` and ``0.0.0.0`` are every address, of IPv6 and IPv4 alike: a pod may have either, or both. Where the
    machine has no IPv6 they are those of IPv4.

    Raises:
        OSError: the address cannot be had.
    """
    if host in EVERY:
        try:
            return _bound(socket.AF_INET6, ("::", port), dual=True)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
        return _bound(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return _bound(family, address)


def raise_file_limit() -> None:
    """Let the process open as many files as the system allows: each connection is one, those not counted yet too.

    Programs that use ``select`` need the usual limit of 1,024; event loops and gRPC use none.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # some systems say no limit, and then do not take it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def url_of(listener: socket.socket) -> str:
    """The address of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(family: int, address: tuple[object, ...], *, dual: bool = False) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual))
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
