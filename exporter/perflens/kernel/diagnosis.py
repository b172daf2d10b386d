"""Says what of a host is a gap: what is lost by it, told by the rungs that the probes declare, and the cure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from perflens.capability import NEEDS
from perflens.errors import LayoutError
from perflens.kernel import elf
from perflens.kernel.attached import object_path
from perflens.kernel.conditions import Conditions
from perflens.kernel.features import Host
from perflens.model import ProbeState
from perflens.probe import Probe

__all__ = ["Finding", "Use", "diagnose", "probe_findings", "taken", "uses"]

_PAGE = "docs/troubleshooting.md"
_TABLES = 256 << 20  # what the tables take at most with the cells that are the default (docs/memory.md)
_BY_BCC = ("waits, stacks and paths of slow operations",)
_HOOKS = {
    "fentry": ("fentry", "fexit", "fmod_ret"),
    "kprobe": ("kprobe", "kretprobe", "ksyscall", "kretsyscall"),
    "tracepoint": ("tp", "tracepoint"),
}
_OF_SECTION = {section: hook for hook, sections in _HOOKS.items() for section in sections}
_OF_EACH = ("BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE")  # the others have lines of their own


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: a gap has what is lost and the cure; a note has a cure and no loss."""

    name: str
    detail: str
    lost: tuple[str, ...] = ()
    cure: str = ""

    @property
    def state(self) -> Literal["ok", "note", "gap"]:
        """``note``: it is missing, and what is attached does not need it."""
        return "gap" if self.lost else "note" if self.cure else "ok"


@dataclass(frozen=True, slots=True)
class Use:
    """A program that needs a kind of hook: one without which the rung is none, or (``optional``) one that makes it better."""

    probe: str
    mechanism: str
    program: str
    optional: bool

    def __str__(self) -> str:
        return f"{'part of ' if self.optional else ''}{self.probe} by {self.mechanism}"


Uses = Mapping[str, Sequence[Use]]
States = Mapping[str, Sequence[ProbeState]]


def taken(states: Sequence[ProbeState]) -> ProbeState | None:
    """Return the rung that a probe takes, of how all of them went, in order."""
    return next((state for state in states if state.attached), None)


def uses(probes: Mapping[str, Probe], machine: str) -> Uses:
    """Return who needs functions or classic tracepoints to be hooked, by kind of hook, as the sections of the programs tell."""
    found: dict[str, list[Use]] = {hook: [] for hook in _HOOKS}
    for name, probe in probes.items():
        try:
            symbols = elf.symbols(object_path(name, machine).read_bytes())
        except (OSError, LayoutError):
            continue  # its rungs say so
        sections = {name: _OF_SECTION.get(symbol.section.partition("/")[0], "") for name, symbol in symbols.items()}
        for rung in probe.rungs:
            for pattern in (*rung.programs, *rung.waits, *rung.locks, *rung.either):
                for program in sorted(own for own, hook in sections.items() if hook and fnmatchcase(own, pattern)):
                    found[sections[program]].append(Use(name, rung.name, program, pattern not in rung.programs))
    return found


def _one_cause(states: Sequence[ProbeState]) -> bool:
    """Whether no rung attaches, all for the same reason."""
    return taken(states) is None and len({state.reason for state in states}) == 1


def _missed(needed: Iterable[Use], states: States) -> tuple[str, ...]:
    """What would be attached if it could: better than what its probe takes, or a part of it; not what fails for a cause of all rungs."""
    found = {}
    for use in needed:
        order = [state.mechanism for state in states[use.probe]]
        best = taken(states[use.probe])
        if use.mechanism not in order or (_one_cause(states[use.probe]) and len(order) > 1):  # the other loader was tried
            continue
        behind = order.index(use.mechanism) - order.index(best.mechanism) if best else -1
        if behind < 0 or (use.optional and behind == 0):
            found[str(use)] = use
    return tuple(found)


def _required(name: str, detail: str, missing: str, lost: tuple[str, ...], cure: str) -> Finding:
    return Finding(name, missing, lost, cure) if missing else Finding(name, detail)


def _kernel(host: Host, facts: Conditions, lost: tuple[str, ...], any_taken: bool) -> Iterator[Finding]:
    yield Finding("kernel", f"{host.kernel} {host.machine}, {host.possible_cpus} possible CPUs")
    less = _BY_BCC if any_taken else lost
    cure = f"use a kernel with CONFIG_DEBUG_INFO_BTF=y, or give a file of it with --btf.path ({_PAGE}#btf)"
    yield _required("BTF", str(host.btf), "" if host.btf else "none", less, cure)
    yield _required("ring buffer", "known", "" if facts.ring_buffer else "unknown to this kernel", lost, "use a kernel from 5.8 on")
    locked = "confidentiality: the kernel's memory may not be read" if host.lockdown == "confidentiality" else ""
    yield _required("lockdown", host.lockdown, locked, lost, f"boot with lockdown=integrity, or without it ({_PAGE}#lockdown)")
    low = facts.locked_memory is not None and facts.locked_memory < _TABLES
    yield _required(
        "locked memory",
        "no limit for tables" if facts.locked_memory is None else f"{facts.locked_memory:,} bytes",
        f"{facts.locked_memory:,} bytes, and this kernel counts tables to it" if low else "",
        lost,
        f"ulimit -l unlimited (of a unit LimitMEMLOCK=infinity), or grant CAP_SYS_RESOURCE ({_PAGE}#locked-memory)",
    )


def _capabilities(host: Host, lost: tuple[str, ...]) -> Iterator[Finding]:
    yield Finding("capabilities", ", ".join(sorted(host.capabilities)) or "none")
    for own in NEEDS:
        if own.name in _OF_EACH and not host.capabilities & {f"CAP_{own.name}", f"CAP_{own.instead}"}:
            name, cost = f"CAP_{own.name}", lost if own.until in ("maps", "attached") else own.lost
            yield Finding(name, "missing", cost, f"run as root, or grant {name} ({_PAGE}#capabilities)")


def _symbols(host: Host, facts: Conditions, functions: int) -> Finding:
    if functions:
        return Finding("kernel symbols", f"{functions:,} functions")
    cures = ["grant CAP_SYSLOG"] if "CAP_SYSLOG" not in host.capabilities else []
    cures += ["sysctl kernel.kptr_restrict=1"] if facts.kptr_restrict == 2 else []
    cure = " and ".join(cures) or "let /proc/kallsyms be read"
    return Finding("kernel symbols", "hidden", ("reasons of waits", "names of kernel functions"), f"{cure} ({_PAGE}#kernel-symbols)")


def _hook(name: str, users: Sequence[Use], states: States, detail: str, missing: str, cure: str) -> Finding:
    """A way to hook into the kernel: without it those are lost that would use it."""
    if not missing:
        return Finding(name, detail)
    if not users:
        return Finding(name, f"{missing}; needed by no rung")
    return Finding(name, f"{missing}; for {', '.join(dict.fromkeys(map(str, users)))}", _missed(users, states), cure)


def _perf_events(host: Host, facts: Conditions, needed: Uses, states: States) -> Finding:
    paranoid = host.perf_event_paranoid
    level = f"kernel.perf_event_paranoid is {'unknown' if paranoid is None else paranoid}"
    refused = f"refused ({facts.perf_event_open}), {level}" if facts.perf_event_open else ""
    strict = paranoid is not None and paranoid > 2
    cure = "sysctl kernel.perf_event_paranoid=2, or grant CAP_SYS_ADMIN" if strict else "let the seccomp profile allow perf_event_open"
    users = (*needed["kprobe"], *needed["tracepoint"])
    return _hook("perf events", users, states, f"allowed, {level}", refused, f"{cure} ({_PAGE}#perf-events)")


def _function_tracing(host: Host, needed: Uses, states: States) -> Finding:
    """Whether a kernel lets BPF programs be called from functions shows when one is attached to them."""
    attached = {program for own in states.values() for state in own for program in state.programs}
    if not host.ftrace_enabled:
        users, missing, cure = (*needed["fentry"], *needed["kprobe"]), "off, kernel.ftrace_enabled is 0", "sysctl kernel.ftrace_enabled=1"
    else:
        users = tuple(needed["fentry"])
        refused = attached and users and not any(use.program in attached for use in users)
        missing, cure = "refused" if refused else "", "use a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y"
    return _hook("function tracing", users, states, "on", missing, f"{cure} ({_PAGE}#function-tracing)")


def _hooks(host: Host, facts: Conditions, needed: Uses, states: States) -> Iterator[Finding]:
    yield _function_tracing(host, needed, states)
    unknown = "" if facts.kprobes else "unknown to this kernel"
    yield _hook("kprobes", needed["kprobe"], states, "known", unknown, "use a kernel with CONFIG_KPROBE_EVENTS=y")
    yield _perf_events(host, facts, needed, states)
    yield _tracefs(facts, needed, states)


def _tracefs(facts: Conditions, needed: Uses, states: States) -> Finding:
    """Classic tracepoints are looked up there, and kprobes made, which needs it to be written."""
    users = (*needed["kprobe"], *needed["tracepoint"])
    missing: str = facts.tracefs if facts.tracefs.startswith("not") else ""
    if facts.tracefs == "readable" and facts.kprobes:
        users, missing = tuple(needed["kprobe"]), "not writable"
    cure = "mount -t tracefs tracefs /sys/kernel/tracing" if missing == "not mounted" else "run as root, or grant CAP_DAC_OVERRIDE"
    return _hook("tracefs", users, states, facts.tracefs, missing, cure)


def diagnose(
    host: Host,
    facts: Conditions,
    functions: int,
    needed: Uses,
    states: States,
) -> list[Finding]:
    """Return what there is to say of the host: ``functions`` is how many kernel symbols can be read, ``states`` how each rung went."""
    lost = tuple(map(_all_of, states))
    bpf = facts.unprivileged_bpf_disabled
    return [
        *_kernel(host, facts, lost, any(map(taken, states.values()))),
        *_capabilities(host, lost),
        _symbols(host, facts, functions),
        *_hooks(host, facts, needed, states),
        Finding("unprivileged BPF", f"{'unknown' if bpf is None else bpf}, which concerns nobody with CAP_BPF"),
        Finding("cgroup", f"owner from the {'v1 memory controller' if host.owner_by_memory else 'v2 tree'}"),
        _required(
            "processes",
            "all",
            "" if host.sees_all_processes else "not all: another PID namespace, or hidden by hidepid",
            ("the end of operations whose threads are gone",),
            f"run with hostPID, set --path.procfs, or grant CAP_SYS_PTRACE ({_PAGE}#limits-reached)",
        ),
    ]


def probe_findings(name: str, probe: Probe, states: Sequence[ProbeState]) -> list[Finding]:
    """Return how each rung of a probe went; one finding for all if none attaches, for one reason."""
    best = taken(states)
    if _one_cause(states):
        return [Finding(name, states[0].reason, (_all_of(name),), states[0].cure)]
    found, better = [], True
    for state in states:
        label = f"{name}: {state.mechanism}"
        if state.attached:
            found.append(Finding(label, f"attaches{_with_waits(probe, state)}"))
        else:
            lost = (_all_of(name),) if best is None else (f"{name} by {state.mechanism}",) if better else ()
            found.append(Finding(label, state.reason, lost, state.cure))
        better = better and state is not best
    return found


def _all_of(name: str) -> str:
    return f"all of {name}"


def _with_waits(probe: Probe, state: ProbeState) -> str:
    return "" if not probe.has_waits else ", with waits" if state.waits else ", without waits"
