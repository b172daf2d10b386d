"""Show what this host offers, what attaches by which rung, and the cure for each gap."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perflens.agent import kept, try_rungs
from perflens.capability import listed
from perflens.cli.context import Context
from perflens.cli.output import ended
from perflens.config import Settings
from perflens.enrich.symbols.kallsyms import KernelSymbols
from perflens.kernel import capabilities
from perflens.kernel.conditions import conditions
from perflens.kernel.diagnosis import Finding, diagnose, probe_findings, taken, uses
from perflens.kernel.features import Host
from perflens.kernel.loaders import choose
from perflens.model import ProbeState

__all__ = ["execute", "register"]

_STATES = {"ok": "ok  ", "note": "note", "gap": "GAP "}


@dataclass(frozen=True, slots=True)
class _Report:
    """What was found: of each probe how its rungs went, in order, and of all what there is to say."""

    host: Host
    states: Mapping[str, Sequence[ProbeState]]
    findings: Sequence[Finding]
    ok: bool

    @property
    def lost(self) -> list[str]:
        """What is lost, each once."""
        return list(dict.fromkeys(lost for finding in self.findings for lost in finding.lost))


def register(parser: argparse.ArgumentParser) -> None:
    """Add the output's form."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def _report(context: Context, settings: Settings) -> _Report:
    host = context.host(settings)
    states = {name: try_rungs(name, probe, host, settings) for name, probe in context.probes.items()}
    symbols = KernelSymbols(settings.path.procfs)
    facts = conditions(host, settings.path.procfs, settings.path.sysfs)
    findings = diagnose(host, facts, len(symbols) if symbols.readable else 0, uses(context.probes, host.machine), states)
    own = capabilities.of_thread()
    remaining = kept(settings.capabilities.keep, own, settings.path.procfs) & own.permitted
    findings.append(Finding("capabilities kept", f"{listed(remaining)}, once the probes are attached"))
    choice = choose(settings.loader, host)
    findings.append(Finding("loader", f"{choice.name}: {choice.why}"))
    for name, probe in context.probes.items():
        findings += probe_findings(name, probe, states[name])
    failed = [name for name, own in states.items() if settings.probes[name].enabled and not taken(own)]
    return _Report(host, states, findings, not failed)


def _json(report: _Report) -> str:
    host = report.host
    probes = {}
    for name, states in report.states.items():
        best = taken(states)
        rungs = [
            {"mechanism": own.mechanism, "attaches": own.attached, "waits": own.waits, "reason": own.reason, "cure": own.cure}
            for own in states
        ]
        probes[name] = {"mechanism": best.mechanism if best else None, "rungs": rungs}
    findings = [{"name": own.name, "state": own.state, "detail": own.detail, "lost": own.lost, "cure": own.cure} for own in report.findings]
    row = {"kernel": host.kernel, "machine": host.machine, "possible_cpus": host.possible_cpus}
    return json.dumps({"ok": report.ok, "host": row, "probes": probes, "lost": report.lost, "findings": findings}, indent=2)


def _row(report: _Report) -> str:
    """This host in two lines: what each probe takes here, and what is lost."""
    mechanisms = []
    for name, states in report.states.items():
        best = taken(states)
        mechanisms.append(f"{name} {best.mechanism if best else 'none'}{' with waits' if best and best.waits else ''}")
    return f"{report.host.kernel} {report.host.machine}: {', '.join(mechanisms)}\nlost: {'; '.join(report.lost) or 'nothing'}"


def _text(report: _Report) -> str:
    lines = [_row(report), ""]
    for finding in report.findings:
        lines.append(f"{_STATES[finding.state]} {finding.name}: {finding.detail}")
        lines += [f"     lost: {'; '.join(finding.lost)}"] if finding.lost else []
        lines += [f"     cure: {finding.cure}"] if finding.cure else []
    return "\n".join(lines)


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Print the report; return 1 when a probe that is enabled attaches by no rung."""
    report = _report(context, context.settings(arguments))
    ended(lambda: print(_json(report) if arguments.json else _text(report)))
    return 0 if report.ok else 1
