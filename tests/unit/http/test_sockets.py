"""http/sockets.py: listening sockets."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from perflens.errors import StartError
from perflens.http.sockets import listen, split_address, url_host


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":9435", ("", 9435)),
        ("127.0.0.1:9435", ("127.0.0.1", 9435)),
        ("[::1]:9435", ("::1", 9435)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
        ("host.example:0", ("host.example", 0)),
    ],
)
def test_split(address: str, expected: tuple[str, int]) -> None:
    """Brackets belong to the notation and not to the host."""
    assert split_address(address) == expected


def reach(bound: socket.socket, host: str) -> None:
    with socket.create_connection((host, bound.getsockname()[1]), timeout=5):
        pass


def test_listen_on_loopback() -> None:
    """An address with a host is reached there."""
    with listen("127.0.0.1:0") as bound:
        reach(bound, "127.0.0.1")
        assert url_host(bound) == f"127.0.0.1:{bound.getsockname()[1]}"


def test_listen_everywhere() -> None:
    """An address without a host is reached by IPv4, and by IPv6 where there is any."""
    with listen(":0") as bound:
        reach(bound, "127.0.0.1")
        if bound.family == socket.AF_INET6:
            reach(bound, "::1")
        assert url_host(bound) == f"localhost:{bound.getsockname()[1]}"


def test_listen_on_ipv6() -> None:
    """An IPv6 address stands in brackets, also in the URL."""
    try:
        bound = listen("[::1]:0")
    except StartError:
        pytest.skip("no IPv6 on this host")
    with bound:
        reach(bound, "::1")
        assert url_host(bound) == f"[::1]:{bound.getsockname()[1]}"


def test_listen_on_an_address_of_a_link() -> None:
    """Such an address is one of several links' until its interface is named."""
    lines = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    found = next(((own[0], own[5]) for own in lines if own[3] == "20"), None)  # IPV6_ADDR_LINKLOCAL
    if found is None:
        pytest.skip("no interface has such an address")
    address = f"[{IPv6Address(int(found[0], 16))}%{found[1]}]"
    with listen(f"{address}:0") as bound:
        assert url_host(bound).rpartition(":")[0] == address


def test_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where IPv6 is compiled in but switched off, every IPv4 interface is listened on."""
    real = socket.create_server

    def create(address: tuple[str, int], *, family: int, **options: object) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real(address, family=family, backlog=1)

    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: True)
    monkeypatch.setattr(socket, "create_server", create)
    with listen(":0") as bound:
        assert bound.family == socket.AF_INET
        assert url_host(bound) == f"localhost:{bound.getsockname()[1]}"


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_busy_port(host: str) -> None:
    """A port that is taken is an error with the cure."""
    with listen("127.0.0.1:0") as bound:
        address = f"{host}:{bound.getsockname()[1]}"
        with pytest.raises(StartError, match=r"is in use; stop what listens there, or choose another --web\.listen-address$") as caught:
            listen(address)
        assert str(caught.value).startswith(address)
        assert caught.value.exit_code == 1


def test_address_that_is_not_ours() -> None:
    """An address that this host does not have is an error with the cure."""
    with pytest.raises(StartError, match=r"^cannot listen on 192\.0\.2\.1:0: .+; choose another --web\.listen-address$"):
        listen("192.0.2.1:0")


def test_host_that_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that no resolver knows is an error with the cure."""

    def create(*_: object, **__: object) -> socket.socket:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_server", create)
    with pytest.raises(StartError, match=r"^cannot listen on host:1: Name or service not known; choose another --web\.listen-address$"):
        listen("host:1")
