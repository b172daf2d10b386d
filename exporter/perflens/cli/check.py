"""Show what this host offers, what attaches by which rung, and the cure for each gap."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from perflens.agent import SYMBOLS_CURE, try_rungs
from perflens.cli.context import Context
from perflens.config import Settings
from perflens.enrich.symbols.kallsyms import KernelSymbols
from perflens.kernel.features import Host, inspect
from perflens.model import ProbeState

__all__ = ["execute", "register"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: ``ok`` or, with the cure, what is lost."""

    what: str
    ok: bool
    detail: str
    cure: str = ""


def register(parser: argparse.ArgumentParser) -> None:
    """Add the output's form."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def _host(host: Host) -> Iterator[Finding]:
    yield Finding("kernel", True, f"{host.kernel} {host.machine}, {host.possible_cpus} possible CPUs")
    yield Finding(
        "BTF",
        host.btf is not None,
        str(host.btf) if host.btf else "none",
        "use a kernel with CONFIG_DEBUG_INFO_BTF=y: no probe attaches without",
    )
    yield Finding(
        "capabilities",
        host.may_load,
        ", ".join(sorted(host.capabilities)) or "none",
        "run as root, or grant CAP_BPF and CAP_PERFMON: no probe attaches without",
    )
    yield Finding("lockdown", host.lockdown != "confidentiality", host.lockdown, "lockdown=confidentiality forbids to read kernel memory")
    yield Finding("cgroup", True, "owner from the v1 memory controller" if host.owner_by_memory else "owner from the v2 tree")
    yield Finding(
        "processes",
        host.sees_all_processes,
        "all" if host.sees_all_processes else "those of this PID namespace",
        "run with hostPID, or set --path.procfs",
    )
    paranoid = host.perf_event_paranoid
    yield Finding("perf_event_paranoid", True, f"{paranoid if paranoid is not None else 'unknown'} (needed by no rung so far)")
    yield Finding("tracefs", True, f"{'mounted' if host.tracefs else 'not mounted'} (needed by no rung so far)")


def _symbols(settings: Settings) -> Finding:
    symbols = KernelSymbols(settings.path.procfs)
    detail = f"{len(symbols):,} functions" if symbols.readable else "hidden: waits have no reason, and kernel stacks no names"
    return Finding("kernel symbols", symbols.readable, detail, SYMBOLS_CURE)


def _rung(result: ProbeState) -> Finding:
    attaches = f"attaches, {'with' if result.waits else 'without'} waits"
    return Finding(f"{result.name}: {result.mechanism}", result.attached, result.reason or attaches, result.cure)


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Print the report; return 1 when a probe that is enabled attaches by no rung."""
    settings = context.settings(arguments)
    host = inspect(settings.path.procfs, settings.path.sysfs)
    findings, failed = [*_host(host), _symbols(settings)], False
    for name, probe in context.probes.items():
        results = try_rungs(name, probe, host, settings)
        findings += map(_rung, results)
        failed |= settings.probes[name].enabled and not any(result.attached for result in results)
    if arguments.json:
        print(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'GAP '} {finding.what}: {finding.detail}")
            if not finding.ok:
                print(f"     cure: {finding.cure}")
    return int(failed)
