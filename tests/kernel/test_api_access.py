"""The API across a real network: a client in a network namespace of its own is no loopback client."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from perflens.http import api, server, sockets
from perflens.http.access import Access
from perflens.http.api import Api
from perflens.http.parameters import Query

NODE, ELSEWHERE = f"perflens-node-{os.getpid()}", f"perflens-else-{os.getpid()}"
ADDRESSES = ("192.0.2.1", "2001:db8::1")  # the node's; only these two namespaces know them
CLONE_NEWNET = 0x40000000
CLIENT = """
import sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1], headers=dict(pair.split(": ", 1) for pair in sys.argv[2:]))
try:
    answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.headers.get("WWW-Authenticate"), answer.read().decode())
"""


def ip(*arguments: str) -> bool:
    done = subprocess.run(["ip", *arguments], capture_output=True, timeout=10, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    """Two namespaces with a cable between them; the network of the host is left alone."""
    if not shutil.which("ip"):
        pytest.skip("needs ip (iproute2)")
    try:
        if not (ip("netns", "add", NODE) and ip("netns", "add", ELSEWHERE)):
            pytest.skip("needs network namespaces: ip netns add failed")
        if not ip("-n", NODE, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", ELSEWHERE):
            pytest.skip("needs veth: ip link add failed")
        for name, number in ((NODE, 1), (ELSEWHERE, 2)):
            assert ip("-n", name, "addr", "add", f"192.0.2.{number}/24", "dev", "cable")
            if ":" in "".join(addresses()):
                assert ip("-n", name, "addr", "add", f"2001:db8::{number}/64", "dev", "cable", "nodad")
            assert ip("-n", name, "link", "set", "lo", "up")
            assert ip("-n", name, "link", "set", "cable", "up")
        yield
    finally:
        ip("netns", "del", NODE)
        ip("netns", "del", ELSEWHERE)


def addresses() -> list[str]:
    """The node's addresses, of the families that this kernel has."""
    return [address for address in ADDRESSES if ":" not in address or Path("/proc/net/if_inet6").exists()]


def listen_in(namespace: str) -> socket.socket:
    """A listening socket of another namespace: a socket stays where its thread was when it was made."""
    found: list[socket.socket] = []

    def listen() -> None:
        with open(f"/run/netns/{namespace}") as file:
            assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) == 0
        found.append(sockets.listen(":0"))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join(10)
    return found[0]


class Served:
    """The real application on every interface of the node, in a thread of its own."""

    def __init__(self, token_file: str) -> None:
        self._own = listen_in(NODE)
        self.port = self._own.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._access = Access(token_file)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        async def view(_: Query) -> object:
            return {"seen": True}

        async def metrics(_: server.Scrape) -> server.Answer:
            return server.Answer((b"m 1\n",), "text/plain", "")

        async def reload() -> str:
            return ""

        views = Api(**{field.name: view for field in fields(Api)})
        endpoints = server.Endpoints("/metrics", metrics, lambda: True, reload, False)
        app = server.application(endpoints, {"/api": api.application(views, self._access, lambda: True)})
        runner = self._loop.run_until_complete(server.start(app, [self._own]))
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def __enter__(self) -> Served:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def ask(self, host: str, path: str, *headers: str, far: bool) -> tuple[int, str]:
        """Ask from elsewhere, or from the node itself; return the status and the rest."""
        name = f"[{host}]" if ":" in host else host
        command = [
            "ip",
            "netns",
            "exec",
            ELSEWHERE if far else NODE,
            sys.executable,
            "-c",
            CLIENT,
            f"http://{name}:{self.port}{path}",
            *headers,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        status, _, rest = done.stdout.partition(" ")
        return int(status), rest


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text("right\n")
    file.chmod(0o400)
    return str(file)


def test_without_a_token_file() -> None:
    """A client of another host gets the metrics and nothing else, whatever its headers claim; one of this host gets the API."""
    with Served("") as served:
        for address in addresses():
            assert served.ask(address, "/metrics", far=True) == (200, "None m 1\n\n")
            for headers in ((), ("X-Forwarded-For: 127.0.0.1",), ("Host: localhost",), ("Authorization: Bearer right",)):
                status, rest = served.ask(address, "/api/v1/events", *headers, far=True)
                assert status == 403
                assert "--web.api-token-file" in rest
        assert served.ask("127.0.0.1", "/api/v1/events", far=False)[0] == 200


def test_with_a_token_file(token_file: str) -> None:
    """A client of another host gets the API with the token; without it is told to send one. Health and metrics stay open."""
    with Served(token_file) as served:
        for address in addresses():
            for path in ("/metrics", "/-/healthy", "/-/ready"):
                assert served.ask(address, path, far=True)[0] == 200
            status, rest = served.ask(address, "/api/v1/events", far=True)
            assert (status, rest.split()[0]) == (401, "Bearer")
            assert served.ask(address, "/api/v1/events", "Authorization: Bearer wrong", far=True)[0] == 401
            status, rest = served.ask(address, "/api/v1/events", "Authorization: Bearer right", far=True)
            assert status == 200
            assert '{"seen":true}' in rest
        assert served.ask("127.0.0.1", "/api/v1/events", far=False)[0] == 200


def test_own_address_is_not_loopback() -> None:
    """A client of the node that asks by the node's own address comes from that address: it is refused, and told what to do."""
    with Served("") as served:
        assert served.ask(ADDRESSES[0], "/api/v1/events", far=False)[0] == 403
