"""A Kubernetes node on this machine: etcd, the API server, controllers, the scheduler, and a kubelet with containerd and runc."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.certificates import Authority
from tests.cluster.files import ADDRESS, API, KUBELET_USER, PAUSE, SERVICES, write
from tests.cluster.host import restored
from tests.cluster.images import image
from tests.servers import end, wait_for

__all__ = ["BUSYBOX", "NODE", "Cluster", "cluster"]

NODE = "node-1"
BUSYBOX = "localhost/busybox:1"


@dataclass
class Cluster:
    """A cluster with its files in a folder."""

    folder: Path
    programs: Path
    runtime: Path
    authority: Authority
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def static_pods(self) -> Path:
        return self.folder / "manifests"

    @property
    def environment(self) -> Mapping[str, str]:
        """That of what asks this API server: no proxy."""
        path = f"{self.programs}:{self.runtime}/usr/bin:{os.environ['PATH']}"
        left_out = ("_proxy", "_PROXY")
        kept = {name: value for name, value in os.environ.items() if not name.endswith(left_out) and not name.startswith("PERFLENS_")}
        return {**kept, "PATH": path, "KUBECONFIG": str(self.kubeconfig)}

    def call(self, *command: str | Path, given: str = "", check: bool = True, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a program that asks this API server."""
        done = subprocess.run(
            [*map(str, command)], input=given, capture_output=True, text=True, check=False, env=self.environment, timeout=seconds
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done

    def kubectl(self, *arguments: str | Path, given: str = "", check: bool = True) -> str:
        return self.call("kubectl", *arguments, given=given, check=check).stdout

    def get(self, *arguments: str) -> Any:
        """Objects, as the API server says."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.kubectl("apply", "--filename=-", given=yaml.safe_dump_all(objects))

    def permit(self, user: str, role: str) -> None:
        """Give a user whom a certificate names a role in the whole cluster."""
        group = "rbac.authorization.k8s.io"
        subject, reference = {"kind": "User", "name": user}, {"kind": "ClusterRole", "name": role}
        binding = {"kind": "ClusterRoleBinding", "metadata": {"name": user}, "subjects": [{**subject, "apiGroup": group}]}
        self.apply({"apiVersion": f"{group}/v1", **binding, "roleRef": {**reference, "apiGroup": group}})

    def load(self, archive: Path) -> None:
        """Bring an image to the node."""
        self.call("ctr", "--address", self.folder / "containerd.sock", "--namespace=k8s.io", "images", "import", "--local", archive)

    def start(self, name: str, *arguments: str | Path) -> None:
        """Start one of the programs."""
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [name, *map(str, arguments)]
            self.running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)

    def stop(self, name: str) -> None:
        end(self.running.pop(name))

    def wait(self, what: str, *command: str | Path, seconds: float = 60) -> None:
        """Until a command ends well."""

        def good() -> bool:
            ended = {name: process.returncode for name, process in self.running.items() if process.poll() is not None}
            assert not ended, {name: (code, (self.folder / f"{name}.log").read_text()[-2000:]) for name, code in ended.items()}
            return self.call(*command, check=False).returncode == 0

        wait_for(good, seconds, what)

    def start_api_server(self) -> None:
        pair = self.folder / "service-accounts.key"
        self.start(
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:22379",
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            "--secure-port=443",
            f"--cert-dir={self.folder}/certificates",
            f"--service-account-key-file={pair}",
            f"--service-account-signing-key-file={pair}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={self.folder}/tokens.csv",
            f"--client-ca-file={self.authority.certificate}",
            f"--kubelet-client-certificate={self.folder}/{KUBELET_USER}.pem",
            f"--kubelet-client-key={self.folder}/{KUBELET_USER}.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=RBAC",
            f"--service-cluster-ip-range={SERVICES}",
            "--allow-privileged=true",
            "--endpoint-reconciler-type=none",
        )
        self.wait("the API server", "curl", "--silent", "--fail", "--insecure", f"{API}/livez")


@contextmanager
def cluster(folder: Path, programs: Path, runtime: Path) -> Iterator[Cluster]:
    """A cluster of one node, which has the image of busybox. Nothing of it stays."""
    own = Cluster(folder, programs, runtime, Authority(folder))
    with ExitStack() as stack:
        stack.enter_context(restored(folder))
        stack.callback(_ended, own)
        write(folder, runtime, own.authority)
        _control_plane(own)
        stack.callback(_emptied, own)
        _node(own)
        yield own


def _control_plane(own: Cluster) -> None:
    peer, client = "http://127.0.0.1:22380", "http://127.0.0.1:22379"
    own.start(
        "etcd",
        f"--data-dir={own.folder}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=error",
    )
    own.start_api_server()
    kubeconfig = f"--kubeconfig={own.kubeconfig}"
    keys = f"--service-account-private-key-file={own.folder}/service-accounts.key"
    left_out = "--controllers=*,-node-ipam-controller,-cloud-node-lifecycle-controller,-service-lb-controller,-node-route-controller"
    root = f"--root-ca-file={own.folder}/certificates/apiserver.crt"
    own.start("kube-controller-manager", kubeconfig, keys, root, left_out, "--leader-elect=false", "--secure-port=0")
    own.start("kube-scheduler", kubeconfig, "--leader-elect=false", "--secure-port=0")


def _node(own: Cluster) -> None:
    own.start("containerd", f"--config={own.folder}/containerd.toml")
    own.wait("containerd", "ctr", "--address", own.folder / "containerd.sock", "version")
    for name, command in ((PAUSE, ("/bin/sleep", "2147483647")), (BUSYBOX, ("/bin/sh",))):
        own.load(image(own.folder / "image.tar", name, own.runtime / "usr/bin/busybox", command))
    own.permit(KUBELET_USER, "system:kubelet-api-admin")
    own.start(
        "kubelet",
        f"--config={own.folder}/kubelet.yaml",
        f"--kubeconfig={own.kubeconfig}",
        f"--root-dir={own.folder}/kubelet",
        f"--hostname-override={NODE}",
        f"--node-ip={ADDRESS}",
        f"--cert-dir={own.folder}/kubelet-certificates",
    )
    own.wait("the node", "kubectl", "wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=1s")
    own.wait("the default account", "kubectl", "get", "serviceaccount", "default")


def _ended(own: Cluster) -> None:
    """End the programs, those first that ask the others."""
    for name in reversed(list(own.running)):
        own.stop(name)


def _emptied(own: Cluster) -> None:
    """End every pod."""
    for manifest in own.static_pods.iterdir():
        manifest.unlink()
    kinds = "daemonsets,deployments,statefulsets,jobs,pods"
    own.kubectl("delete", kinds, "--all", "--all-namespaces", "--grace-period=1", "--timeout=60s", check=False)
