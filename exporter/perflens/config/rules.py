"""What a text must look like, for the keys whose type says too little."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from perflens.capability import NAMES
from perflens.config.keys import KeyPath

__all__ = ["RULES", "Rule"]

ADDRESS = r"^(?:\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z_.-]+)?\]|[0-9A-Za-z_.-]*):[0-9]{1,5}$"
TELEMETRY = r"^(?:/[0-9A-Za-z_~.-]+)+$"
DIRECTORY = r"^/"
DIRECTORY_OR_NONE = r"^(?:/|$)"
URL_OR_NONE = r"^(?:https?://[^\s/?#@]+(?:/[^\s?#@]*)?)?$"
AGENT = r"^https?://[^\s/?#@]+(?:/[^\s?#@]*)?$"
ADDRESS_OR_NONE = rf"{ADDRESS}|^$"
FLEET = r"^[0-9A-Za-z][0-9A-Za-z.-]{0,62}$"
MODEL = r"^[0-9A-Za-z][0-9A-Za-z._:/@-]{0,127}$"
PROMPT = r"^[\s\S]{0,1000}$"
LABEL = re.compile(r"(?!-)[0-9A-Za-z_-]{1,63}(?<!-)")
KUBELET = r"^(?:(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.-]+)(?::[0-9]{1,5})?|[0-9A-Fa-f:.]+)?$"
NODE = r"^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)?$"
KUBERNETES = r"^[a-z0-9*](?:[a-z0-9.*-]{0,251}[a-z0-9*])?$"
PID = r"^[1-9][0-9]{0,6}$"
COMM = r"^[\s\S]{1,15}$"
CAPABILITY = rf"(?:needed|all|none|(?:CAP_)?(?:{'|'.join(NAMES)}))"
CAPABILITIES = rf"^{CAPABILITY}(?:,{CAPABILITY})*$"
LONGEST_PATH = 4095
LARGEST_PID = 4_194_304
LARGEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Rule:
    """A check, its pattern for the schema, and how a problem names it."""

    pattern: str
    accepts: Callable[[str], bool]
    message: str
    cure: str


def is_address(text: str) -> bool:
    """Whether ``host:port`` can be listened on; an empty host is every address, port 0 any free one."""
    host, _, port = text.rpartition(":")
    return re.fullmatch(ADDRESS[1:-1], text) is not None and int(port) <= LARGEST_PORT and is_host(host)


def is_host(host: str) -> bool:
    try:
        if host.startswith("["):
            return bool(IPv6Address(host[1:-1]))
        if re.fullmatch(r"[0-9.]+", host):
            return bool(IPv4Address(host))
    except AddressValueError:
        return False
    return len(host) <= 253 and (not host or all(map(LABEL.fullmatch, host.split("."))))


def is_url_or_none(text: str) -> bool:
    """Whether it is empty or the URL of a server, without a user, a query or a fragment."""
    match = re.fullmatch(r"https?://([^/]+)(/.*)?", text)
    if not match or not re.fullmatch(URL_OR_NONE[1:-1], text) or not text.isprintable() or len(text) > LONGEST_PATH:
        return not text
    server = match[1]
    return server[0] != ":" and is_address(server if re.search(r":[0-9]+$", server) else f"{server}:0")


def is_agent(text: str) -> bool:
    return bool(text) and is_url_or_none(text)


def is_server_or_none(text: str) -> bool:
    """Whether it is empty, or a host that can be asked for and a port."""
    return not text or (is_address(text) and text[0] != ":" and not text.endswith(":0"))


def is_kubelet_or_none(text: str) -> bool:
    """Whether it is empty, or a host with or without a port; an IPv6 address may stand without brackets then."""
    if not text or re.fullmatch(KUBELET, text) is None:
        return not text
    if text.count(":") > 1 and not text.startswith("["):
        return is_host(f"[{text}]")
    return is_server_or_none(text if re.search(r":[0-9]+$", text) else f"{text}:{LARGEST_PORT}")


def is_fleet(text: str) -> bool:
    return re.fullmatch(FLEET[1:-1], text) is not None


def is_telemetry_path(text: str) -> bool:
    segments = text.split("/")[1:]
    plain = re.fullmatch(TELEMETRY[1:-1], text) is not None and not {".", ".."} & set(segments)
    return plain and len(text) <= LONGEST_PATH and segments[0] not in ("-", "api")


def is_model(text: str) -> bool:
    return re.fullmatch(MODEL[1:-1], text) is not None


def is_pid(text: str) -> bool:
    return re.fullmatch(PID[1:-1], text) is not None and int(text) <= LARGEST_PID


def is_comm(text: str) -> bool:
    return 0 < len(os.fsencode(text)) <= 15 and "\0" not in text


def is_capabilities(text: str) -> bool:
    return re.fullmatch(CAPABILITIES[1:-1], text) is not None


def is_directory(text: str) -> bool:
    return text.startswith("/") and len(text) <= LONGEST_PATH


def is_directory_or_none(text: str) -> bool:
    return not text or is_directory(text)


MOUNT = Rule(DIRECTORY, is_directory, "is not an absolute path", "write a path that starts with /")
FILE = Rule(DIRECTORY_OR_NONE, is_directory_or_none, MOUNT.message, MOUNT.cure)


def _url(of: str, example: str, secret: str) -> Rule:
    return Rule(URL_OR_NONE, is_url_or_none, f"is not the URL of {of}", f"write a URL such as {example}; {secret}")


def is_kubernetes_name(text: str) -> bool:
    return re.fullmatch(KUBERNETES[1:-1], text) is not None


def _names(of: str, example: str) -> Rule:
    return Rule(KUBERNETES, is_kubernetes_name, f"is no name of a {of}", f"write it as kubectl shows it, such as {example}")


RULES: dict[KeyPath, Rule] = {
    ("web", "listen_address"): Rule(
        ADDRESS, is_address, "is not an address to listen on", "write HOST:PORT, such as :9435, 127.0.0.1:9435 or [::1]:9435"
    ),
    ("web", "telemetry_path"): Rule(
        TELEMETRY,
        is_telemetry_path,
        "cannot be the path of the metrics",
        "write a path such as /metrics, other than / and outside of /-/ and /api",
    ),
    ("web", "config_file"): FILE,
    ("web", "api_token_file"): FILE,
    ("otlp", "endpoint"): _url("a collector", "http://localhost:4318", "passwords and tokens go into OTEL_EXPORTER_OTLP_HEADERS"),
    ("capabilities", "keep"): Rule(
        CAPABILITIES,
        is_capabilities,
        "is no capability",
        "write needed, all, none, or names as capabilities(7) has them, such as BPF or SYSLOG, with commas between",
    ),
    ("filter", "pid"): Rule(PID, is_pid, "is no process id", "write a number from 1 to 4194304"),
    ("filter", "comm"): Rule(COMM, is_comm, "is no thread name", "write 1 to 15 bytes, as ps -o comm shows them"),
    ("filter", "cgroup"): Rule(
        DIRECTORY, is_directory, "is no path of a cgroup", "write it as /proc/PID/cgroup shows it, such as /system.slice"
    ),
    ("filter", "namespace"): _names("namespace", "shop or team-*"),
    ("filter", "pod"): _names("pod", "web-0 or web-*"),
    ("filter", "container"): _names("container", "app or istio-*"),
    ("kubernetes", "node_name"): Rule(
        NODE, lambda text: re.fullmatch(NODE[1:-1], text) is not None, "is no node's name", "write it as kubectl get nodes shows it"
    ),
    ("kubernetes", "api_server"): _url("an API server", "https://10.0.0.1:6443", "the token goes into kubernetes.token_file"),
    ("kubernetes", "token_file"): FILE,
    ("kubernetes", "ca_file"): FILE,
    ("kubernetes", "kubelet"): Rule(
        KUBELET, is_kubelet_or_none, "is no address of a kubelet", "write HOST or HOST:PORT, such as that of status.hostIP"
    ),
    ("kubernetes", "kubelet_ca"): FILE,
    ("analyzer", "state_file"): FILE,
    ("llm", "base_url"): _url("a model's server", "https://router.huggingface.co/v1", "the token goes into llm.token_file"),
    ("llm", "model"): Rule(MODEL, is_model, "is no model's name", "write it as its server lists it, such as Qwen/Qwen2.5-72B-Instruct"),
    ("llm", "token_file"): FILE,
    ("llm", "prompt"): Rule(PROMPT, lambda text: len(text) <= 1_000, "is too long", "write 1000 characters at most"),
    ("llm", "cache_file"): FILE,
    ("grafana", "url"): _url("a Grafana", "http://localhost:3000", "the token goes into grafana.token_file"),
    ("grafana", "token_file"): FILE,
    ("grafana", "external_url"): _url("an agent", "http://host.example:9435", "it must hold no password"),
    ("grafana", "outbox_file"): FILE,
    ("fleet", "dns"): Rule(
        ADDRESS_OR_NONE, is_server_or_none, "is no HOST:PORT", "write it as perflens-agents.monitoring.svc:9435, or [::1]:9435"
    ),
    ("fleet", "agents"): Rule(
        AGENT, is_agent, "is not the URL of an agent", "write it as http://node1:9435; the token goes into fleet.token_file"
    ),
    ("fleet", "token_file"): FILE,
    ("fleet", "ca_file"): FILE,
    ("fleet", "name"): Rule(FLEET, is_fleet, "is no name of a fleet", "write 1 to 63 letters, digits, dots and dashes"),
    ("fleet", "state_file"): FILE,
    ("btf", "path"): FILE,
    ("path", "procfs"): MOUNT,
    ("path", "sysfs"): MOUNT,
    ("path", "cgroupfs"): FILE,
}
