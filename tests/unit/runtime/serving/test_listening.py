"""Which addresses a server has."""

import errno
import resource
import socket
from typing import Any

import pytest

from modelservice.serving.listening import bind, raise_file_limit, url_of


def reaches(listener: socket.socket, host: str) -> bool:
    listener.listen()
    try:
        with socket.create_connection((host, listener.getsockname()[1]), timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["::", "0.0.0.0"])  # noqa: S104
def test_every_address_is_of_both_families(host: str) -> None:
    with bind(host, 0) as listener:
        assert listener.family == socket.AF_INET6
        assert reaches(listener, "127.0.0.1")
        assert reaches(listener, "::1")


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_one_address_is_of_its_family_alone(host: str, other: str) -> None:
    with bind(host, 0) as listener:
        assert reaches(listener, host)
        assert not reaches(listener, other)
        assert url_of(listener).startswith("http://[::1]:" if ":" in host else "http://127.0.0.1:")


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv6_every_address_is_of_ipv4(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutIPv6(socket.socket):
        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(code, "no IPv6 here")
            super().bind(address)

    monkeypatch.setattr("modelservice.serving.listening.socket.socket", WithoutIPv6)
    with bind("::", 0) as listener:
        assert listener.family == socket.AF_INET
        assert reaches(listener, "127.0.0.1")


def test_a_port_that_is_taken_is_no_reason_to_try_the_other_family() -> None:
    with bind("::", 0) as taken:
        taken.listen()
        with pytest.raises(OSError, match="Address already in use"):
            bind("::", taken.getsockname()[1])


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
