"""Listening sockets for addresses as people write them: ``:9435``, ``127.0.0.1:9435``, ``[::1]:9435``."""

from __future__ import annotations

import errno
import socket

from perflens.errors import StartError

__all__ = ["listen", "split_address", "url_host"]


def split_address(address: str) -> tuple[str, int]:
    """Return (host without brackets, port); an address without a host means every interface."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _create(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    if ":" not in host:
        return socket.create_server((host, port), family=socket.AF_INET, backlog=128)
    found = socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_STREAM)  # which tells the number of the interface after a %
    return socket.create_server(found[0][4], family=socket.AF_INET6, backlog=128)


def listen(address: str) -> socket.socket:
    """Open a listening socket; StartError with the cure when the address cannot be had."""
    try:
        return _create(*split_address(address))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"{address} is in use; stop what listens there, or choose another --web.listen-address") from error
        raise StartError(f"cannot listen on {address}: {error.strerror or error}; choose another --web.listen-address") from error


def url_host(bound: socket.socket) -> str:
    """Return host:port for a URL that reaches a bound socket from this host."""
    host, port, *rest = bound.getsockname()
    if any(rest):
        host += f"%{socket.if_indextoname(rest[-1])}"  # of an address of a link
    if host in ("::", "0.0.0.0"):  # compared, not bound
        return f"localhost:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
