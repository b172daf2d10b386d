"""kernel/diagnosis: which fact is a gap for whom, and what its cure is."""

from __future__ import annotations

import platform
import re
from dataclasses import replace
from pathlib import Path

import pytest

from perflens.kernel.conditions import Conditions, Tracefs
from perflens.kernel.diagnosis import Finding, Use, diagnose, probe_findings, uses
from perflens.kernel.features import Host, inspect
from perflens.model import ProbeState
from perflens.probe import Probe, Rung
from perflens.registry import discover

ALL = frozenset(
    {"CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE", "CAP_SYS_RESOURCE"}
)
FACTS = Conditions(
    ring_buffer=True,
    locked_memory=None,
    kprobes=True,
    perf_event_open="",
    tracefs="writable",
    kptr_restrict=1,
    unprivileged_bpf_disabled=2,
)
HOST = replace(
    inspect(), btf=Path("/btf"), capabilities=ALL, lockdown="none", perf_event_paranoid=2, sees_all_processes=True, owner_by_memory=False
)
RUNGS = ("fentry", "tp_btf", "kprobe")
NEEDED = {
    "fentry": [Use("one", "fentry", "one_fentry", optional=False), Use("one", "tp_btf", "one_beside", optional=True)],
    "kprobe": [Use("one", "kprobe", "one_kprobe", optional=False)],
    "tracepoint": [],
}


def states(*attached: str, programs: tuple[str, ...] = ("one_tp_btf",)) -> dict[str, list[ProbeState]]:
    """How the rungs of the one probe went."""
    return {
        "one": [
            ProbeState(
                "one",
                attached=name in attached,
                mechanism=name,
                reason="" if name in attached else f"{name} fails",
                programs=frozenset(programs if name in attached else ()),
            )
            for name in RUNGS
        ]
    }


def said(
    host: Host = HOST, facts: Conditions = FACTS, functions: int = 9, needed: dict[str, list[Use]] = NEEDED, *attached: str
) -> dict[str, Finding]:
    """The findings that are no plain `ok`, by name."""
    found = diagnose(host, facts, functions, needed, states(*(attached or RUNGS), programs=("one_fentry", "one_beside")))
    return {finding.name: finding for finding in found if finding.state != "ok"}


def test_nothing_is_missing() -> None:
    """A host that has everything has no gap."""
    assert said() == {}


@pytest.mark.parametrize(
    ("host", "facts", "name", "cure"),
    [
        (replace(HOST, lockdown="confidentiality"), FACTS, "lockdown", "lockdown=integrity"),
        (replace(HOST, capabilities=ALL - {"CAP_BPF"}), FACTS, "CAP_BPF", "grant CAP_BPF"),
        (replace(HOST, capabilities=ALL - {"CAP_PERFMON"}), FACTS, "CAP_PERFMON", "grant CAP_PERFMON"),
        (HOST, replace(FACTS, ring_buffer=False), "ring buffer", "5.8"),
        (HOST, replace(FACTS, locked_memory=64 << 10), "locked memory", "CAP_SYS_RESOURCE"),
    ],
)
def test_what_every_probe_needs(host: Host, facts: Conditions, name: str, cure: str) -> None:
    """Without it all is lost, and the cure says how it is had."""
    found = said(host, facts)

    assert list(found) == [name]
    assert found[name].lost == ("all of one",)
    assert cure in found[name].cure


@pytest.mark.parametrize(
    ("attached", "lost"), [((), ("all of one",)), (("tp_btf",), ("waits, stacks and paths of slow operations",))], ids=["none", "bcc"]
)
def test_kernel_without_btf(attached: tuple[str, ...], lost: tuple[str, ...]) -> None:
    """All is lost unless the other loader attaches."""
    own = states(*attached) if attached else {"one": [ProbeState("one", attached=False, mechanism="bcc", reason="no", cure="cure")]}
    (found,) = (finding for finding in diagnose(replace(HOST, btf=None), FACTS, 9, NEEDED, own) if finding.name == "BTF")

    assert found.lost == lost
    assert "CONFIG_DEBUG_INFO_BTF=y, or give a file of it with --btf.path" in found.cure


@pytest.mark.parametrize(
    ("facts", "lockdown"),
    [
        (replace(FACTS, locked_memory=1 << 30), "none"),
        (FACTS, "integrity"),
        (FACTS, "unknown"),
        (replace(FACTS, unprivileged_bpf_disabled=0), "none"),
    ],
)
def test_what_costs_nothing(facts: Conditions, lockdown: str) -> None:
    """Enough locked memory, lockdown for integrity, and BPF for everybody or nobody are no gaps."""
    assert said(replace(HOST, lockdown=lockdown), facts) == {}


@pytest.mark.parametrize("name", ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE"])
def test_what_user_functions_need(name: str) -> None:
    """Without one of them names of user functions are lost, and no probe."""
    found = said(replace(HOST, capabilities=ALL - {name}))

    assert list(found) == [name]
    assert "names of user functions" in found[name].lost[0]


def test_a_stronger_capability_does_as_well() -> None:
    """CAP_SYS_ADMIN and CAP_DAC_OVERRIDE stand for those that were made of them, but for CAP_SYSLOG and CAP_SYS_PTRACE."""
    strong = frozenset({"CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"})

    assert list(said(replace(HOST, capabilities=strong), FACTS, 0)) == ["CAP_SYS_PTRACE", "kernel symbols"]


@pytest.mark.parametrize(
    ("own", "restricted", "cure"),
    [
        (ALL, 2, "sysctl kernel.kptr_restrict=1"),
        (ALL - {"CAP_SYSLOG"}, 1, "grant CAP_SYSLOG"),
        (ALL - {"CAP_SYSLOG"}, 2, "grant CAP_SYSLOG and sysctl kernel.kptr_restrict=1"),
        (ALL, 0, "let /proc/kallsyms be read"),
    ],
)
def test_hidden_symbols(own: frozenset[str], restricted: int, cure: str) -> None:
    """The cure names what hides them, and nothing else."""
    found = said(replace(HOST, capabilities=own), replace(FACTS, kptr_restrict=restricted), 0)

    assert list(found) == ["kernel symbols"]
    assert found["kernel symbols"].cure == f"{cure} (docs/troubleshooting.md#kernel-symbols)"


def test_processes_of_a_namespace() -> None:
    assert list(said(replace(HOST, sees_all_processes=False))) == ["processes"]


HIDDEN = {"kprobes": replace(FACTS, kprobes=False), "perf events": replace(FACTS, perf_event_open="EACCES")}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_way_behind_the_one_that_is_taken_is_no_loss(name: str) -> None:
    """What only a worse rung needs is a note with its cure; it is a loss once no other one attaches."""
    behind = diagnose(HOST, HIDDEN[name], 9, NEEDED, states("tp_btf", programs=("one_beside",)))
    alone = diagnose(HOST, HIDDEN[name], 9, NEEDED, states())

    assert [(own.name, own.lost) for own in behind if own.state == "note"] == [(name, ())]
    assert [own.name for own in behind if own.state == "gap"] == []
    assert [(own.name, own.lost) for own in alone if own.state == "gap"] == [(name, ("one by kprobe",))]


def test_a_cause_of_all_rungs_is_not_that_of_one() -> None:
    """Where every rung fails for the same reason, what only one of them would need is no loss beside."""
    failed = {"one": [replace(state, reason="CAP_BPF missing") for state in states()["one"]]}
    found = {own.name: own for own in diagnose(replace(HOST, capabilities=ALL - {"CAP_BPF"}), HIDDEN["kprobes"], 9, NEEDED, failed)}

    assert (found["CAP_BPF"].state, found["kprobes"].state) == ("gap", "note")


def test_what_no_rung_needs_is_said_to_be_so() -> None:
    """Without a rung that would use it, it is for information."""
    none: dict[str, list[Use]] = {key: [] for key in NEEDED}
    found = diagnose(HOST, replace(FACTS, kprobes=False, perf_event_open="EPERM", tracefs="not mounted"), 9, none, states("tp_btf"))

    assert {own.state for own in found} == {"ok"}
    assert {own.name for own in found if own.detail.endswith("; needed by no rung")} == {"kprobes", "perf events", "tracefs"}


@pytest.mark.parametrize(
    ("level", "cure"),
    [(2, "let the seccomp profile allow"), (3, "sysctl kernel.perf_event_paranoid=2"), (4, "sysctl kernel.perf_event_paranoid=2")],
)
def test_perf_events_that_are_refused(level: int, cure: str) -> None:
    """A level beyond the kernel's own highest is that of a distribution; else another one refuses."""
    (found,) = said(replace(HOST, perf_event_paranoid=level), HIDDEN["perf events"], 9, NEEDED, "tp_btf", "fentry").values()

    assert found.cure.startswith(cure)
    assert found.detail == f"refused (EACCES), kernel.perf_event_paranoid is {level}; for one by kprobe"


@pytest.mark.parametrize(
    ("state", "missing", "users", "cure"),
    [
        ("not mounted", "not mounted", "one by kprobe, part of one by fentry", "mount -t tracefs"),
        ("not readable", "not readable", "one by kprobe, part of one by fentry", "CAP_DAC_OVERRIDE"),
        ("readable", "not writable", "one by kprobe", "CAP_DAC_OVERRIDE"),
    ],
)
def test_tracefs(state: Tracefs, missing: str, users: str, cure: str) -> None:
    """It is read for classic tracepoints and written for kprobes."""
    needed = {**NEEDED, "tracepoint": [Use("one", "fentry", "one_tp", optional=True)]}
    found = {own.name: own for own in diagnose(HOST, replace(FACTS, tracefs=state), 9, needed, states())}["tracefs"]

    assert found.detail == f"{missing}; for {users}"
    assert ", ".join(found.lost) == users
    assert cure in found.cure


def test_tracefs_that_cannot_make_kprobes() -> None:
    """Where the kernel knows no kprobes a tracefs that can be read is whole."""
    found = diagnose(HOST, replace(FACTS, tracefs="readable", kprobes=False), 9, NEEDED, states("fentry", "tp_btf"))

    assert {own.name: own.state for own in found}["tracefs"] == "ok"


def test_functions_that_cannot_be_traced() -> None:
    """That the kernel refuses them shows when others attach and none of these does; ftrace that is off stops kprobes too."""
    refused = {own.name: own for own in diagnose(HOST, FACTS, 9, NEEDED, states("tp_btf", "kprobe"))}["function tracing"]
    off = {own.name: own for own in diagnose(replace(HOST, ftrace_enabled=False), FACTS, 9, NEEDED, states())}["function tracing"]
    untold = {own.name: own for own in diagnose(HOST, FACTS, 9, NEEDED, states())}["function tracing"]

    assert refused.detail == "refused; for one by fentry, part of one by tp_btf"
    assert refused.lost == ("one by fentry", "part of one by tp_btf")
    assert "DIRECT_CALLS" in refused.cure
    assert off.lost == ("one by fentry", "part of one by tp_btf", "one by kprobe")
    assert off.cure.startswith("sysctl kernel.ftrace_enabled=1")
    assert untold.state == "ok"


def test_programs_by_pattern() -> None:
    """A rung may name its programs by a pattern; each that fits is needed as a whole."""
    block = discover()["block"]
    probe = replace(block, rungs=(Rung("fentry", ("block_held_*fexit",)),))

    assert uses({"block": probe}, platform.machine())["fentry"] == [
        Use("block", "fentry", name, optional=False) for name in ("block_held_before_fexit", "block_held_fexit")
    ]


def test_uses_are_those_of_the_objects() -> None:
    """A program's section says what it hooks; a rung whose object is missing is left to its own line."""
    probes = discover()
    found = uses(probes, platform.machine())

    assert "part of block by tp_btf" in {str(use) for use in found["fentry"]}
    assert all(re.search("kprobe", use.program) for use in found["kprobe"])
    assert uses(probes, "none") == {key: [] for key in ("fentry", "kprobe", "tracepoint")}


PROBE = Probe("Things.", "operations", (), tuple(Rung(name, (name,), waits=("waits",)) for name in RUNGS))


def test_rungs_of_a_probe() -> None:
    """One that is better than what attaches is a gap, one that is worse a note."""
    went = [
        ProbeState("one", attached=False, mechanism="fentry", reason="no", cure="this"),
        ProbeState("one", attached=True, mechanism="tp_btf", waits=True),
        ProbeState("one", attached=False, mechanism="kprobe", reason="neither", cure="that"),
    ]

    assert probe_findings("one", PROBE, went) == [
        Finding("one: fentry", "no", ("one by fentry",), "this"),
        Finding("one: tp_btf", "attaches, with waits"),
        Finding("one: kprobe", "neither", (), "that"),
    ]
    assert [own.state for own in probe_findings("one", PROBE, went)] == ["gap", "ok", "note"]


def test_a_probe_that_does_not_attach() -> None:
    """One reason for all rungs is said once; several are said each."""
    same = [ProbeState("one", attached=False, mechanism=name, reason="no", cure="this") for name in RUNGS]
    apart = [replace(state, reason=state.mechanism) for state in same]

    assert probe_findings("one", PROBE, same) == [Finding("one", "no", ("all of one",), "this")]
    assert [(own.name, own.lost) for own in probe_findings("one", PROBE, apart)] == [(f"one: {name}", ("all of one",)) for name in RUNGS]
