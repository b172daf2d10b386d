"""The configuration as values: every key, its default and its meaning, once.

The YAML file, the flags, the environment, the schema and the documentation are all derived from
these classes: a field's name is its key, its default the default, ``metadata["help"]`` its text.
Durations are nanoseconds here and ``5ms``, ``10s`` or ``1h30m`` where people write them.
"""

# ruff: noqa: RUF009  (key() returns a field)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NewType

__all__ = [
    "Analyzer",
    "AttachMode",
    "Btf",
    "Capabilities",
    "Events",
    "Filter",
    "Fleet",
    "Grafana",
    "Kubernetes",
    "Llm",
    "Log",
    "Otlp",
    "OwnerLevel",
    "OwnerSettings",
    "Path",
    "ProbeSettings",
    "Probes",
    "Series",
    "Settings",
    "Web",
]

OwnerLevel = Literal["auto", "node", "unit", "workload", "pod", "container"]
AttachMode = NewType("AttachMode", str)
"""``auto`` or the name of one of the probe's own rungs."""

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND


def key(
    default: Any, text: str, *, reload: bool = False, duration: bool = False, limits: tuple[int, int] | None = None, flag: str = ""
) -> Any:
    """Declare a configuration key: its default, its help text, whether a reload may change it, its bounds, and a flag not of its name."""
    metadata = {"help": text, "reload": reload, "duration": duration, "limits": limits, "flag": flag}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Web:
    """Where and how the agent answers HTTP."""

    listen_address: tuple[str, ...] = key((":9435",), "Address to listen on: :9435, 127.0.0.1:9435 or [::1]:9435. May be repeated.")
    telemetry_path: str = key("/metrics", "Path under which the metrics are exposed.")
    config_file: str = key(
        "",
        "File with TLS, client certificates, passwords, headers and a rate limit, in the format of exporter-toolkit; read again on change.",
        flag="--web.config.file",
    )
    enable_lifecycle: bool = key(False, "Allow POST and PUT on /-/reload.")
    api_token_file: str = key("", "File with the bearer token that API clients from other hosts send; a reload reads it again.")


@dataclass(frozen=True, slots=True)
class Log:
    """What the agent writes to its standard error."""

    level: Literal["debug", "info", "warn", "error"] = key("info", "Least severity to log.", reload=True)
    format: Literal["logfmt", "json"] = key("logfmt", "Format of a log line.", reload=True)


@dataclass(frozen=True, slots=True)
class OwnerSettings:
    """Whose operations a series tells apart."""

    level: OwnerLevel = key(
        "auto",
        "Owner labels of each series: node (none), unit (systemd unit, else the cgroup's path), workload (and its namespace), pod or "
        "container; auto is workload in a cluster and unit elsewhere.",
    )


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """Who tells the names of this node's pods: a cluster's API server, or the kubelet. Nothing is asked outside of a cluster."""

    enabled: Literal["auto", "on", "off"] = key(
        "auto", "Whether names of pods are asked for; auto does where there are an API server, or a kubelet as source, and a token."
    )
    source: Literal["api", "kubelet"] = key(
        "api", "Who tells: api, the API server, which is watched, or kubelet, the one of this node, which is asked every few seconds."
    )
    node_name: str = key("", "Name of this node; the host's name when empty.")
    api_server: str = key("", "URL of the API server; that of the variables KUBERNETES_SERVICE_HOST and _PORT when empty.")
    token_file: str = key("/var/run/secrets/kubernetes.io/serviceaccount/token", "File with the token, read anew for each request.")
    ca_file: str = key(
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "File with the certificates to trust; the host's when empty."
    )
    kubelet: str = key("", "Address of this node's kubelet, HOST or HOST:PORT; the port is 10250 unless given.")
    kubelet_ca: str = key(
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "File with the certificates to trust of the kubelet; the host's when empty."
    )
    kubelet_insecure_skip_verify: bool = key(
        False, "Do not verify the certificate of the kubelet: whoever answers at its address gets the token."
    )


@dataclass(frozen=True, slots=True)
class Series:
    """How many series a metric may have, and for how long it keeps those of the dead."""

    limit: int = key(
        2_750,
        "Most series a metric may have, a histogram's of 36 samples counted once; what is above it is counted under the owner `other`.",
        limits=(16, 100_000),
    )
    expiry: int = key(
        600 * SECOND,
        "How long the series of an owner that is gone stay exposed.",
        duration=True,
        reload=True,
        limits=(SECOND, 86_400 * SECOND),
    )


@dataclass(frozen=True, slots=True)
class Events:
    """Slow operations as events: how many are taken, and how much is found out about each. Metrics count all of them in any case."""

    rate: int = key(
        100, "Most slow operations of one owner in a second that become events, 0 for all of them.", reload=True, limits=(0, 1_000_000)
    )
    burst: int = key(200, "How many more than its rate an owner may have at once.", reload=True, limits=(1, 1_000_000))
    explained: int = key(
        1_000,
        "Most events in a second whose stacks are named and that become spans; the others are counted.",
        reload=True,
        limits=(1, 100_000),
    )
    in_progress_after: int = key(
        SECOND,
        "From which age on an operation that has not ended yet is an event.",
        reload=True,
        duration=True,
        limits=(MILLISECOND, 4_096 * SECOND),
    )
    kernel_frames: int = key(20, "Most frames of a kernel stack.", limits=(1, 127))
    user_frames: int = key(20, "Most frames of a user stack.", limits=(1, 127))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the agent may do when its probes are attached. It gives up the rest for good, in all its threads and programs."""

    keep: tuple[str, ...] = key(
        ("needed",),
        "Capabilities to keep: needed, all, none, or names such as SYSLOG, several with commas. May be repeated.",
        limits=(1, 41),
    )


@dataclass(frozen=True, slots=True)
class Filter:
    """Whose operations are measured; the others are counted as filtered. Empty: everybody's. Of each kind one must fit."""

    pid: tuple[str, ...] = key((), "Process id. May be repeated, 16 times at most.", limits=(1, 16))
    comm: tuple[str, ...] = key((), "Name of a thread, the whole of it. May be repeated, 16 times at most.", limits=(1, 16))
    cgroup: tuple[str, ...] = key((), "Path of a cgroup, for it and all below it. May be repeated, 16 times at most.", limits=(1, 16))
    namespace: tuple[str, ...] = key(
        (), "Namespace of pods, in a cluster; * stands for any characters. May be repeated, 16 times at most.", limits=(1, 16)
    )
    pod: tuple[str, ...] = key(
        (), "Name of a pod, such as web-*; * stands for any characters. May be repeated, 16 times at most.", limits=(1, 16)
    )
    container: tuple[str, ...] = key(
        (), "Name of a container of a pod; * stands for any characters. May be repeated, 16 times at most.", limits=(1, 16)
    )


@dataclass(frozen=True, slots=True)
class Otlp:
    """Where spans of slow operations go. The variables OTEL_* of OpenTelemetry say the rest, and these too where this section does not."""

    endpoint: str = key(
        "", "URL of an OpenTelemetry collector, such as http://localhost:4318, below which the signals have their own paths."
    )
    protocol: Literal["auto", "http/protobuf", "grpc"] = key(
        "auto", "Protocol of the collector: auto is what OTEL_EXPORTER_OTLP_PROTOCOL says, else http/protobuf."
    )


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Why operations are slow: incidents with their causes, from the numbers of the host."""

    enabled: bool = key(True, "Look every ten seconds at what was slow, and tell incidents with their causes.")
    state_file: str = key("/var/lib/perflens/incidents.json", "File that keeps the incidents over a restart; empty for none.")


@dataclass(frozen=True, slots=True)
class Llm:
    """A language model that words what the rules found, by any server with OpenAI's chat completions. Without a token the rules answer."""

    base_url: str = key("https://router.huggingface.co/v1", "URL of the server, above /chat/completions; empty for none.")
    model: str = key("Qwen/Qwen2.5-72B-Instruct", "The model's name there.")
    token_file: str = key("", "File with the token, which only its owner may read; HF_TOKEN of the environment without one.")
    timeout: int = key(25 * SECOND, "How long an answer may take.", duration=True, limits=(SECOND, 600 * SECOND))
    requests_per_minute: int = key(10, "Most requests in a minute.", limits=(1, 10))
    tokens_per_day: int = key(200_000, "Most tokens in a day.", limits=(1_000, 100_000_000))
    redaction: Literal["alias", "names"] = key(
        "alias", "What the server learns of names: alias puts D1 or C1 in their place, names sends those of devices and owners."
    )
    prompt: str = key("", "What the model is told beside, such as what runs on these hosts; 1000 characters at most.")
    cache_file: str = key("/var/lib/perflens/llm-cache.json", "File that keeps answers over a restart; empty for none.")


@dataclass(frozen=True, slots=True)
class Grafana:
    """Annotations, one for each incident."""

    url: str = key("", "URL of Grafana, such as http://localhost:3000; empty for no annotations.")
    token_file: str = key(
        "", "File with the token of a service account with the role Editor; GRAFANA_TOKEN of the environment without one."
    )
    external_url: str = key("", "URL under which people reach this agent, for links from annotations; empty for no links.")
    outbox_file: str = key("/var/lib/perflens/annotations.jsonl", "File that keeps what Grafana has not taken yet; empty for none.")
    per_hour: int = key(6, "Most new annotations in an hour.", limits=(1, 1_000))
    per_day: int = key(30, "Most new annotations in a day.", limits=(1, 10_000))


@dataclass(frozen=True, slots=True)
class Fleet:
    """The agents that `perflens analyze` reads. An agent itself has no use for it."""

    dns: str = key(
        "", "HOST:PORT under which DNS has the address of every agent, such as perflens-agents.monitoring.svc:9435; empty for none."
    )
    agents: tuple[str, ...] = key((), "URL of an agent, such as http://node1:9435. May be repeated.")
    scheme: Literal["http", "https"] = key(
        "http", "How the agents behind fleet.dns are asked; with https their certificate is of its HOST."
    )
    token_file: str = key("", "File with the token of the agents' API (their web.api_token_file).")
    ca_file: str = key("", "File with the authorities that the agents' certificates are of; empty for the host's.")
    interval: int = key(15 * SECOND, "How often the agents are asked.", duration=True, limits=(SECOND, 600 * SECOND))
    name: str = key("fleet", "What stands for a host in what is told of all of them: where two fleets share a Grafana each needs its own.")
    state_file: str = key("/var/lib/perflens/fleet.json", "File that keeps their incidents over a restart; empty for none.")


@dataclass(frozen=True, slots=True)
class Path:
    """Where the kernel's file systems are mounted, for agents that see the host's under another path."""

    procfs: str = key("/proc", "Mount point of procfs.")
    sysfs: str = key("/sys", "Mount point of sysfs.")
    cgroupfs: str = key("", "Mount point of the cgroup hierarchy that owns memory; found by itself when empty.")


@dataclass(frozen=True, slots=True)
class Btf:
    """The types of the kernel, by which libbpf finds the fields of its structs."""

    path: str = key("", "File with the BTF of this kernel, for kernels that have none at /sys/kernel/btf/vmlinux.")


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """One probe family."""

    enabled: bool = key(True, "Whether the probe runs.")
    attach: AttachMode = key(AttachMode("auto"), "How to attach: auto takes the cheapest rung that the kernel allows.")
    thresholds: Mapping[str, int] = key(
        MappingProxyType({}),
        "Slow-operation threshold of single operations, by name.",
        reload=True,
        duration=True,
        limits=(1_000, 4_096 * SECOND),
    )


@dataclass(frozen=True, slots=True)
class Probes:
    """Every probe family, by name; those that are not named here run with the defaults."""

    strict: bool = key(False, "End with exit code 1 when a probe that is enabled cannot be attached.")
    by_name: Mapping[str, ProbeSettings] = field(default_factory=lambda: MappingProxyType({}))

    def __getitem__(self, name: str) -> ProbeSettings:
        return self.by_name.get(name) or ProbeSettings()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration."""

    threshold: int = key(
        5 * MILLISECOND, "From which duration on an operation is slow.", reload=True, duration=True, limits=(1_000, 4_096 * SECOND)
    )
    cells: int = key(4_096, "Histogram cells in the kernel: one for each live owner, operation and file system.", limits=(64, 65_536))
    loader: Literal["auto", "libbpf", "bcc"] = key(
        "auto", "What loads the probes: auto is libbpf where the kernel's BTF is known, else bcc, which compiles them from its headers."
    )
    web: Web = field(default_factory=Web)
    log: Log = field(default_factory=Log)
    owner: OwnerSettings = field(default_factory=OwnerSettings)
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    series: Series = field(default_factory=Series)
    events: Events = field(default_factory=Events)
    filter: Filter = field(default_factory=Filter)
    otlp: Otlp = field(default_factory=Otlp)
    analyzer: Analyzer = field(default_factory=Analyzer)
    llm: Llm = field(default_factory=Llm)
    grafana: Grafana = field(default_factory=Grafana)
    fleet: Fleet = field(default_factory=Fleet)
    path: Path = field(default_factory=Path)
    btf: Btf = field(default_factory=Btf)
    probes: Probes = field(default_factory=Probes)
    capabilities: Capabilities = field(default_factory=Capabilities)
