"""enrich/kubernetes/watch.py and server.py: the pods as a real server tells them, with its faults and those of the network."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from perflens.enrich.kubernetes.place import Place
from perflens.enrich.kubernetes.server import AskFailed, Server
from perflens.enrich.kubernetes.store import Known, PodStore
from perflens.enrich.kubernetes.watch import PodWatch
from perflens.model import KubernetesCounts
from tests.api_server import NODE, TOKEN, ApiServer, controller, pod, running

A, B = "a" * 64, "b" * 64
UID = "00000000-0000-4000-8000-{:012d}".format


@dataclass
class Own:
    """A watch of a server; every pause it makes is noted, and as short as can be."""

    server: ApiServer
    store: PodStore
    watch: PodWatch
    token: Path
    url: str
    pauses: list[float] = field(default_factory=list)

    @property
    def counts(self) -> KubernetesCounts:
        return self.watch.counts({})

    @property
    def errors(self) -> dict[str, int]:
        return {reason: count for reason, count in self.counts.errors.items() if count}

    def names(self, *numbers: int) -> list[str]:
        """``namespace/workload/pod`` of pods by number; empty for one that is not known."""
        found = [self.store.find(UID(number), "") for number in numbers]
        return [f"{own.namespace}/{own.workload}/{own.name}" if own else "" for own in found]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def until_up(self) -> None:
        await self.until(lambda: self.counts.up)


@asynccontextmanager
async def watching(folder: Path, server: ApiServer) -> AsyncIterator[Own]:
    token = folder / "token"
    token.write_text(TOKEN + "\n")
    async with running(server) as url:
        store = PodStore(600.0)
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(0)

        watch = PodWatch(Place(url, str(token), "", NODE), store, sleep, lambda: 1.0)
        task = asyncio.create_task(watch.run())
        try:
            yield Own(server, store, watch, token, url, pauses)
        finally:
            task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled()
            assert not watch.counts({}).up


async def test_list_then_watch(tmp_path: Path) -> None:
    """Pods are listed once, from memory, and then followed from the list's version on: made, changed, deleted."""
    server = ApiServer()
    server.put(pod("web-1", UID(1)), pod("web-2", UID(2)))
    async with watching(tmp_path, server) as own:
        await own.until_up()
        assert own.names(1, 2, 3) == ["shop/Pod/web-1/web-1", "shop/Pod/web-2/web-2", ""]
        server.put(pod("web-3", UID(3), owner=("apps/v1", "StatefulSet", "web")), pod("web-1", UID(1), containers={"app": A}))
        server.delete(UID(2))
        await own.until(lambda: own.counts.pods == {"living": 2, "dead": 1})
        assert own.names(2, 3) == ["shop/Pod/web-2/web-2", "shop/StatefulSet/web/web-3"]
        found = own.store.find(UID(1), A)
        assert found
        assert found.container == "app"
        assert own.counts.events == {"added": 1, "modified": 1, "deleted": 1, "bookmark": 0, "error": 0}

    selector = {"fieldSelector": f"spec.nodeName={NODE}"}
    assert server.asked == [
        ("list", {**selector, "limit": "500", "resourceVersion": "0"}),
        ("watch", {**selector, "watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "102", "timeoutSeconds": "360"}),
    ]
    assert (own.errors, own.counts.lists) == ({}, 1)


def timer(port: int) -> list[str]:
    """What the kernel waits for on the connection to a port, as /proc/net/tcp has it: the kind of timer, and its time."""
    rows = [row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    (found,) = [row[5] for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"]
    return found.split(":")


async def test_a_server_that_vanishes_is_noticed(tmp_path: Path) -> None:
    """The kernel asks a silent server of a watch whether it is there: such a server ends no connection."""
    async with watching(tmp_path, ApiServer()) as own:
        await own.until_up()
        kind, left = timer(int(own.url.rpartition(":")[2]))

    assert kind == "02"  # of keepalive, in 1/100 s
    assert 0 < int(left, 16) <= 3_000


async def test_a_list_in_pages(tmp_path: Path) -> None:
    """A list that comes in pages is taken whole."""
    server = ApiServer(page=2)
    server.put(*(pod(f"web-{number}", UID(number)) for number in range(5)))
    async with watching(tmp_path, server) as own:
        await own.until_up()
        assert own.counts.pods == {"living": 5, "dead": 0}
    assert [query.get("continue") for what, query in server.asked if what == "list"] == [None, "2", "4"]


async def test_a_list_without_an_end(tmp_path: Path) -> None:
    """A server that goes on with pages for ever is given up."""
    server = ApiServer(page=1)
    server.put(*(pod(f"web-{number}", UID(number)) for number in range(60)))
    async with watching(tmp_path, server) as own:
        await own.until(lambda: own.errors.get("size", 0) > 0)
        assert own.counts.pods["living"] == 0


async def test_a_watch_that_ends_goes_on(tmp_path: Path) -> None:
    """After its time a watch goes on from the last version, which bookmarks move, without a list."""
    server = ApiServer()
    async with watching(tmp_path, server) as own:
        await own.until_up()
        server.bookmark()
        await own.until(lambda: own.counts.events["bookmark"] == 1)
        server.end_watches()
        await own.until(lambda: server.number("watch") == 2)
        server.put(pod("web-1", UID(1)))
        await own.until(lambda: own.names(1) == ["shop/Pod/web-1/web-1"])
        assert (own.errors, own.counts.lists, own.counts.up) == ({}, 1, True)
    assert [query["resourceVersion"] for what, query in server.asked if what == "watch"] == ["100", "101"]


@pytest.mark.parametrize("how", ["event", "status", "begin"])
async def test_gone(tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """A version that the server has forgotten means a new list, of what is true now; it is no outage."""
    server = ApiServer(faults={"watch": {"event": ["gone"], "status": ["410"], "begin": []}[how]})
    server.put(pod("web-1", UID(1)), pod("web-2", UID(2)))

    def change(_: str) -> None:
        server.delete(UID(1))
        server.put(pod("web-3", UID(3)))

    server.on_fault = change
    async with watching(tmp_path, server) as own:
        if how == "begin":
            await own.until_up()
            change("")
            server.compact()
            server.end_watches()
        await own.until(lambda: own.counts.lists == 2 and own.counts.up)
        assert own.names(1, 2, 3) == [f"shop/Pod/web-{number}/web-{number}" for number in (1, 2, 3)]
        assert own.counts.pods == {"living": 2, "dead": 1}
        assert own.errors["gone"] == 1
    assert [query.get("resourceVersion") for what, query in server.asked if what == "list"] == ["0", None]
    assert "cannot be watched" not in caplog.text


async def test_gone_after_an_outage(tmp_path: Path) -> None:
    """A server that was down and has forgotten the version is asked for a list at once; one that forgets its own list is not."""
    server = ApiServer(faults={"watch": ["", "500", "500", "500", "410"]})
    async with watching(tmp_path, server) as own:
        await own.until_up()
        server.put(pod("web-1", UID(1)))
        await own.until(lambda: own.counts.pods["living"] == 1)
        server.end_watches()
        await own.until(lambda: own.counts.lists == 2 and own.counts.up)
        assert [pause for pause in own.pauses if pause] == [1.0, 1.0, 2.0, 4.0, 1.0]
    server.faults = {"watch": ["410"] * 4}
    async with watching(tmp_path, server) as own:
        await own.until(lambda: own.counts.lists == 5 and own.counts.up)
        assert own.pauses[:4] == [1.0, 2.0, 4.0, 8.0]


async def test_a_connection_that_is_cut(tmp_path: Path) -> None:
    """A watch that breaks off goes on from the last version: nothing is lost and nothing listed again."""
    server = ApiServer(faults={"watch": ["", "cut", "cut"]})
    async with watching(tmp_path, server) as own:
        await own.until_up()
        server.put(pod("web-1", UID(1)))
        server.end_watches()
        await own.until(lambda: server.number("watch") == 4)
        server.put(pod("web-2", UID(2)))
        await own.until(lambda: own.counts.pods["living"] == 2)
        assert (own.errors, own.counts.lists, own.counts.events["added"]) == ({"connection": 2}, 1, 2)


@pytest.mark.parametrize(
    ("fault", "reason"), [("garbage", "decode"), ("array", "decode"), ("odd", "decode"), ("deep", "decode"), ("long", "size")]
)
async def test_a_watch_of_rubbish(tmp_path: Path, fault: str, reason: str) -> None:
    """What is no event, or has no end, is counted, and the pods are listed again since one may be missing."""
    server = ApiServer(faults={"watch": [fault]})
    server.put(pod("web-1", UID(1)))
    async with watching(tmp_path, server) as own:
        await own.until(lambda: own.counts.lists == 2 and own.counts.up)
        assert own.names(1) == ["shop/Pod/web-1/web-1"]
        assert own.errors == {reason: 1}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("garbage", "decode"),
        ("odd", "decode"),
        ("deep", "decode"),
        ("500", "status"),
        ("503", "status"),
        ("302", "status"),
        ("403", "forbidden"),
    ],
)
async def test_a_list_that_fails(tmp_path: Path, fault: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """A list that fails is asked for again after growing pauses, and told once; what was known stays."""
    caplog.set_level(logging.INFO)
    server = ApiServer(faults={"list": [fault] * 3})
    server.put(pod("web-1", UID(1)))
    async with watching(tmp_path, server) as own:
        await own.until_up()
        assert own.errors == {reason: 3}
        assert own.pauses[:3] == [1.0, 2.0, 4.0]
        assert own.names(1) == ["shop/Pod/web-1/web-1"]
    told = [(record.levelname, record.message) for record in caplog.records if "watched" in record.message]
    assert told == [("WARNING", "pods cannot be watched: series of new pods carry ids"), ("INFO", "pods are watched")]


async def test_a_watch_that_is_refused_for_long(tmp_path: Path) -> None:
    """Pauses grow to a minute and no more, and begin anew once something came."""
    server = ApiServer(faults={"watch": ["500"] * 9})
    async with watching(tmp_path, server) as own:
        await own.until_up()
        assert own.pauses[:9] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
        server.put(pod("web-1", UID(1)))
        await own.until(lambda: own.names(1) != [""])
        server.faults["watch"] = ["500"]
        server.end_watches()
        await own.until(lambda: own.errors == {"status": 10})
        await own.until_up()
        assert 1.0 in own.pauses[9:]
        assert own.counts.lists == 1


async def test_a_token_that_is_rotated(tmp_path: Path) -> None:
    """A token that is refused is read again: the new one counts from then on."""
    server = ApiServer(tokens={"eyJ.second"})
    async with watching(tmp_path, server) as own:
        await own.until(lambda: own.errors.get("unauthorized", 0) > 1)
        assert not own.counts.up
        own.token.write_text("eyJ.second")
        await own.until_up()


async def test_a_token_that_is_rotated_while_it_watches(tmp_path: Path) -> None:
    """The kubelet puts another file in its place; the next watch has the new token, and nothing is listed again."""
    server = ApiServer()
    async with watching(tmp_path, server) as own:
        await own.until_up()
        (tmp_path / "new").write_text("eyJ.second")
        (tmp_path / "link").symlink_to("new")
        (tmp_path / "link").rename(own.token)
        server.tokens = {"eyJ.second"}
        server.end_watches()
        await own.until(lambda: server.number("watch") == 2)
        server.put(pod("web-1", UID(1)))
        await own.until(lambda: own.names(1) == ["shop/Pod/web-1/web-1"])
        assert (own.errors, own.counts.lists) == ({}, 1)


async def test_a_server_that_is_restarted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While it is down names stay, and pauses are made. The new one has forgotten the version: what it lists then is what is."""
    caplog.set_level(logging.INFO)
    server, store, pauses = ApiServer(), PodStore(600.0), list[float]()
    server.put(pod("web-1", UID(1)), pod("web-2", UID(2)))
    (tmp_path / "token").write_text(TOKEN)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.001)

    own: Own | None = None
    async with running(server) as url:
        port = int(url.rpartition(":")[2])
        watch = PodWatch(Place(url, str(tmp_path / "token"), "", NODE), store, sleep, lambda: 1.0)
        own = Own(server, store, watch, tmp_path / "token", url, pauses)
        task = asyncio.create_task(watch.run())
        await own.until_up()
        asyncio.get_running_loop().call_later(0.1, server.end_watches)  # it takes no new ones by then
    try:
        await own.until(lambda: own.errors.get("connection", 0) > 3)
        assert own.names(1, 2) == ["shop/Pod/web-1/web-1", "shop/Pod/web-2/web-2"]
        assert pauses[1:4] == [1.0, 2.0, 4.0]  # after that of the watch which ended
        after = ApiServer(version=900, oldest=900)
        after.put(pod("web-2", UID(2)), pod("web-3", UID(3)))
        after.compact()
        async with running(after, port):
            await own.until(lambda: own.counts.up and own.counts.lists == 2)
            assert own.names(3) == ["shop/Pod/web-3/web-3"]
            assert own.counts.pods == {"living": 2, "dead": 1}
            task.cancel()  # a server that is closed waits for its watches
            await asyncio.wait((task,))
    finally:
        task.cancel()
        await asyncio.wait((task,))
    told = [record.message for record in caplog.records if "watched" in record.message]
    assert told[:3] == ["pods are watched", "pods cannot be watched: series of new pods carry ids", "pods are watched"]


@pytest.mark.parametrize("text", ["", "two words", "new\nline", "é", "x" * 20_000])
async def test_a_token_that_is_none(tmp_path: Path, text: str) -> None:
    """What cannot be a token is not sent."""
    server = ApiServer()
    async with watching(tmp_path, server) as own:
        own.token.write_text(text)
        await own.until(lambda: own.errors.get("token", 0) > 2)
        asked = len(server.asked)
        await own.until(lambda: own.errors["token"] > 5)
        assert len(server.asked) == asked
        own.token.unlink()
        await own.until(lambda: own.errors["token"] > 9)


async def test_pods_of_others(tmp_path: Path) -> None:
    """What is no pod, or a pod of another node, is left out and counted, whatever the server sends."""
    server = ApiServer()
    server.put(pod("web-1", UID(1)), pod("web-2", UID(2), node="elsewhere"), pod("a/b", UID(3)), pod("web-4", "nonsense"))
    async with watching(tmp_path, server) as own:
        await own.until_up()
        assert (own.counts.pods["living"], own.counts.refused) == (1, 3)
        server.put(pod("web-5", UID(5), namespace="Unit"), pod("web-6", UID(6)))
        await own.until(lambda: own.names(6) != [""])
        assert (own.counts.pods["living"], own.counts.refused) == (2, 4)


DEPLOYMENT = ("apps/v1", "Deployment", "web")


def replica(number: int, **parts: Any) -> dict[str, Any]:
    return pod(f"web-7d9-{number}", UID(number), owner=("apps/v1", "ReplicaSet", "web-7d9"), **parts)


async def test_workloads_are_asked_for_once(tmp_path: Path) -> None:
    """The Deployment of a ReplicaSet is asked for once for all of its pods, the CronJob of each Job likewise."""
    server = ApiServer(
        controllers={"web-7d9": controller("web-7d9", DEPLOYMENT), "sync-x": controller("sync-x", ("batch/v1", "CronJob", "sync"))}
    )
    server.put(replica(1))
    async with watching(tmp_path, server) as own:
        await own.until_up()
        server.put(replica(2), replica(3), pod("sync-x-1", UID(4), owner=("batch/v1", "Job", "sync-x")))
        await own.until(lambda: own.counts.pods["living"] == 4)
        assert own.names(1, 2, 3, 4) == [*(f"shop/Deployment/web/web-7d9-{number}" for number in (1, 2, 3)), "shop/CronJob/sync/sync-x-1"]
    assert (server.number("replicasets"), server.number("jobs"), own.errors) == (1, 1, {})


@pytest.mark.parametrize(("fault", "errors"), [("403", {"forbidden": 1}), ("500", {"status": 1}), ("404", {})])
async def test_workloads_by_their_names(tmp_path: Path, fault: str, errors: dict[str, int]) -> None:
    """Where a controller cannot be asked for its name tells, and after a refusal no other one is asked for at once."""
    server = ApiServer(faults={"replicasets": [fault] * 9, "jobs": [fault] * 9})
    server.put(replica(1, labels={"pod-template-hash": "7d9"}))
    async with watching(tmp_path, server) as own:
        await own.until_up()
        server.put(pod("web-8aa-2", UID(2), owner=("apps/v1", "ReplicaSet", "web-8aa"), labels={"pod-template-hash": "8aa"}))
        await own.until(lambda: own.names(2) != [""])
        assert own.names(1, 2) == ["shop/Deployment/web/web-7d9-1", "shop/Deployment/web/web-8aa-2"]
        assert own.errors == errors
    assert server.number("replicasets") == (2 if fault == "404" else 1)


async def test_a_workload_stays(tmp_path: Path) -> None:
    """A pod that is released by its ReplicaSet keeps its workload: its series are bound to it."""
    server = ApiServer(controllers={"web-7d9": controller("web-7d9", DEPLOYMENT)})
    server.put(replica(1))
    async with watching(tmp_path, server) as own:
        await own.until_up()
        server.put(pod("web-7d9-1", UID(1), containers={"app": A}))
        await own.until(lambda: bool((found := own.store.find(UID(1), A)) and found.container))
        assert own.names(1) == ["shop/Deployment/web/web-7d9-1"]


async def test_a_static_pod(tmp_path: Path) -> None:
    """A static pod is found by the hash that its cgroup has, and named without its node."""
    number = "0123456789abcdef0123456789abcdef"
    annotations = {"kubernetes.io/config.hash": number, "kubernetes.io/config.mirror": number}
    server = ApiServer()
    server.put(pod(f"etcd-{NODE}", UID(1), "kube-system", owner=("v1", "Node", NODE), annotations=annotations, containers={"etcd": A}))
    async with watching(tmp_path, server) as own:
        await own.until_up()
        found = own.store.find(number, A)
        assert found
        assert found[2:] == ("kube-system", f"etcd-{NODE}", "Pod/etcd", "etcd")
        assert own.store.find(UID(1), A) is None


async def test_a_bug_does_not_end_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody thought of is counted and logged, and the watch goes on."""
    server = ApiServer()
    replace, bugs = PodStore.replace, [RuntimeError("a bug")]

    def once(store: PodStore, pods: list[Known]) -> None:
        if bugs:
            raise bugs.pop()
        replace(store, pods)

    monkeypatch.setattr(PodStore, "replace", once)
    async with watching(tmp_path, server) as own:
        await own.until_up()
        assert own.errors == {"internal": 1}
    assert "the watch of the pods failed" in caplog.text


async def test_nobody_there(tmp_path: Path, unused_tcp_port: int) -> None:
    """A server that cannot be reached is an error of the connection."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    server = Server(Place(f"http://127.0.0.1:{unused_tcp_port}", str(token), "", NODE))
    with pytest.raises(AskFailed, match="connection"):
        await server.get("/", {}, 5.0)
    await server.close()


async def _asked(url: str, folder: Path, ca: str, seconds: float = 5.0) -> str:
    (folder / "token").write_text(TOKEN)
    server = Server(Place(url, str(folder / "token"), ca, NODE))
    try:
        await server.get("/api/v1/pods", {"fieldSelector": ""}, seconds)
    except AskFailed as error:
        return error.reason
    finally:
        await server.close()
    return "ok"


async def test_a_server_that_hangs(tmp_path: Path) -> None:
    """An answer that does not come is an error of its own."""
    async with running(ApiServer(faults={"list": ["hang"]})) as url:
        assert await _asked(url, tmp_path, "", 0.2) == "timeout"


def _certificate(folder: Path, name: str) -> ssl.SSLContext:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=x"]
    files = ["-keyout", f"{folder}/key", "-out", f"{folder}/ca"]
    subprocess.run([*command, *files, "-addext", f"subjectAltName={name}"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca", folder / "key")
    return context


def _old_authority(folder: Path) -> ssl.SSLContext:
    """A certificate as clusters have it whose authority is of Kubernetes before 1.20: without key identifiers."""
    none = "authorityKeyIdentifier=none\nsubjectKeyIdentifier=none\n"
    (folder / "ca.cnf").write_text(f"[req]\ndistinguished_name=n\nx509_extensions=x\n[n]\n[x]\n{none}basicConstraints=critical,CA:TRUE\n")
    (folder / "leaf.cnf").write_text(f"{none}subjectAltName=IP:127.0.0.1\n")
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"]
    for command in (
        [*new, "/CN=kubernetes", "-x509", "-days", "2", "-config", "ca.cnf", "-keyout", "ca.key", "-out", "ca"],
        [*new, "/CN=kube-apiserver", "-keyout", "key", "-out", "csr"],
        ["x509", "-req", "-in", "csr", "-CA", "ca", "-CAkey", "ca.key", "-days", "2", "-extfile", "leaf.cnf", "-out", "leaf"],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf", folder / "key")
    return context


_default = ssl.create_default_context


def _strict(cafile: str | None = None) -> ssl.SSLContext:
    """The default context of Python 3.13."""
    context = _default(cafile=cafile)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


async def test_an_authority_of_an_old_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster keeps its authority over all upgrades: one without key identifiers is good for every Python."""
    own = TestServer(_application(), host="127.0.0.1", scheme="https")
    await own.start_server(ssl=_old_authority(tmp_path))
    monkeypatch.setattr(ssl, "create_default_context", _strict)
    try:
        assert await _asked(f"https://127.0.0.1:{own.port}", tmp_path, str(tmp_path / "ca")) == "ok"
    finally:
        await own.close()


def _application() -> web.Application:
    application = web.Application()
    application.router.add_get("/api/v1/pods", ApiServer().handle)
    return application


@pytest.mark.parametrize(("name", "expected"), [("IP:127.0.0.1", "ok"), ("DNS:other.example", "certificate")])
async def test_certificates(tmp_path: Path, name: str, expected: str) -> None:
    """The server's certificate must be one of those to trust, and have the server's name."""
    context = _certificate(tmp_path, name)
    own = TestServer(_application(), host="127.0.0.1", scheme="https")
    await own.start_server(ssl=context)
    url = f"https://127.0.0.1:{own.port}"
    try:
        assert await _asked(url, tmp_path, str(tmp_path / "ca")) == expected
        assert await _asked(url, tmp_path, "") == "certificate"
        assert await _asked(url, tmp_path, str(tmp_path / "none")) == "certificate"
    finally:
        await own.close()
