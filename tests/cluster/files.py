"""The files of a cluster: certificates, tokens, and the configuration of its programs."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import yaml

from tests.certificates import Authority

__all__ = ["ADDRESS", "API", "BRIDGE", "KUBELET_USER", "PAUSE", "SERVICES", "write"]

# The first of the services' addresses is the API server's own: pods come to it without a proxy for services, by the host's loopback device.
ADDRESS, SERVICES = "10.96.77.1", "10.96.77.0/24"
API = f"https://{ADDRESS}"
PODS, BRIDGE = "10.88.77.0/24", "perflens0"
PAUSE = "localhost/pause:1"
KUBELET_USER = "kube-apiserver-kubelet-client"

# Without CAP_SYS_RESOURCE nobody lowers the score of the OOM killer below his own, and no sandbox would start.
_CONTAINERD = """version = 3
root = "{state}/containerd"
state = "{state}/containerd-state"
[grpc]
  address = "{state}/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{pause}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{runtime}/usr/lib/cni"]
  conf_dir = "{state}/network"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = "{runtime}/usr/bin/runc"
    SystemdCgroup = false
"""


def write(folder: Path, runtime: Path, authority: Authority) -> None:
    """Write all of them into a folder: ``runtime`` has containerd, runc and the plugins of networks."""
    for name in ("manifests", "network", "logs", "plugins"):
        (folder / name).mkdir()
    authority.openssl("genrsa", "-out", folder / "service-accounts.key", "2048")
    (folder / "kubeconfig").write_text(yaml.safe_dump(_kubeconfig(folder)))
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(folder, authority)))
    (folder / "network/10-pods.conflist").write_text(json.dumps(_network(folder)))
    (folder / "containerd.toml").write_text(_CONTAINERD.format(state=folder, runtime=runtime, pause=PAUSE))


def _kubeconfig(folder: Path) -> dict[str, object]:
    token, tokens = secrets.token_hex(16), folder / "tokens.csv"
    tokens.touch(0o600)
    tokens.write_text(f'{token},admin,1,"system:masters"\n')
    cluster = {"server": API, "certificate-authority": f"{folder}/certificates/apiserver.crt"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "own", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "admin"}}],
        "current-context": "own",
    }


def _kubelet(folder: Path, authority: Authority) -> dict[str, object]:
    authority.issue(KUBELET_USER)
    serving = authority.issue("kubelet", f"IP:{ADDRESS}")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "healthzPort": 0,
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "podLogsDir": f"{folder}/logs",
        "staticPodPath": f"{folder}/manifests",
        "volumePluginDir": f"{folder}/plugins",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi"},
        "makeIPTablesUtilChains": False,
    }


def _network(folder: Path) -> dict[str, object]:
    routes, ranges = [{"dst": "0.0.0.0/0"}], [[{"subnet": PODS}]]
    ipam = {"type": "host-local", "dataDir": f"{folder}/addresses", "ranges": ranges, "routes": routes}
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": False, "ipam": ipam}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, {"type": "loopback"}]}
