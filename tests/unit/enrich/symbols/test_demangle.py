"""Mangled names, and how they read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from perflens.enrich.symbols.demangle import demangle
from tests.unit.enrich.symbols.programs import compiled


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        ("main", "main"),
        ("_Z3foov", "foo"),
        ("_ZN3foo3barEi.constprop.0", "foo::bar.constprop.0"),
        ("_ZN3foo3barEi.llvm.123456", "foo::bar"),
        ("_ZN3foo3barEi@@VERS_1", "foo::bar"),
        ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int>>::push_back"),
        ("_ZNSt8ios_base7failureB5cxx11C2Ev", "std::ios_base::failure[abi:cxx11]::failure"),
        ("_ZN12_GLOBAL__N_16HiddenD2Ev", "(anonymous namespace)::Hidden::~Hidden"),
        ("_ZZ4mainENKUlidE_clEid", "main::{lambda(int, double)#1}::operator()"),
        ("_ZZ4mainEN3Loc2goEv", "main::Loc::go"),
        ("_ZTv0_n24_N1CD1Ev", "virtual thunk to C::~C"),
        ("_ZThn16_N1C1fEi", "non-virtual thunk to C::f"),
        ("_ZTch0_v0_n24_N1C1fEi", "covariant return thunk to C::f"),
        ("_ZN1DltIiEEbT_", "D::operator< <int>"),
        ("_ZNK1DcvSsEv", "D::operator std::string"),
        ("_Zli3_kmy", 'operator"" _km'),
        ("_ZN1D2opIPFivERA3_iM1BKFvvEEEvv", "D::op<int (*)(), int (&) [3], void (B::*)() const>"),
        ("_ZN1D2opIXadL_ZL2stcEELi5ELb1EEEvv", "D::op<&(st), 5, true>"),
        ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
        ("_RNvNtNtCs1234_7mycrateu8gdel_5qa6escher4bach", "mycrate::gödel::escher::bach"),
        ("_RINvCs0_1w7genericReKj1_EB2_", "w::generic::<&str, 1>"),
        ("_RNCNvCs0_1w4main0B3_", "w::main::{closure#0}"),
        ("_RNvXCs0_1wNtB2_1SNtB2_1T3foo", "<w::S as w::T>::foo"),
        ("_ZN45_$LT$Test$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE", "<Test as foo::Bar<Test>>::bar"),
        ("_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE", "core::ops::function::FnOnce::call_once"),
        ("_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE.llvm.1234", "core::ops::function::FnOnce::call_once"),
    ],
)  # fmt: skip
def test_name(mangled: str, name: str) -> None:
    """Names of both languages."""
    assert demangle(mangled.encode()).decode() == name


@pytest.mark.parametrize(
    "mangled",
    [
        "_Z", "_ZN", "_ZNE", "_Z999999999999a", "_Z9a", "_ZS_", "_ZNS_E", "_R", "_RB_", "_RNvB_", "_RNvC1a", "_RC9a", "_RYB_",
        "_ZN3foo", "_R1C1a", "_RMB_", "_ZStL", "_ZN1aD", "_RINvC1a1bKcnffffff_E", "_RINvC1a1bDpE", "_ZC1",
    ],
)  # fmt: skip
def test_damaged(mangled: str) -> None:
    """What cannot be read stays."""
    assert demangle(mangled.encode()) == mangled.encode()


@pytest.mark.parametrize(
    "mangled",
    [
        "_Z1fI" + "PF" * 900 + "vE",
        "_Z1fI" + "N1a" * 600,
        "_Z1f" + "I1b" * 600,
        "_Z1fI" + "".join(f"St4pairIS{i or ''}_S{i or ''}_E" for i in range(9)) + "Ev",
        "_ZX" + "ad" * 900,
        "_RINvC1a1b" + "T" * 1900,
        "_RINvC1a1bTTTTTuuEBa_Ba_Ba_EBa_Ba_Bc_Bc_Bc_EB8_B8_B8_EE",
        "_RIB_B_E",
        "_Z" + "9" * 2000,
        "_Z1f" + "x" * 5000,
    ],
)
def test_hostile(mangled: str) -> None:
    """A name made to grow or to nest without end is given up soon, and comes out short."""
    assert len(demangle(mangled.encode())) <= max(5000, len(mangled))


def test_long() -> None:
    """Of a name too long to be shown its own end is kept, where the function stands."""
    argument = "St3mapISsSt6vectorISsSaISsEESt4lessISsESaISt4pairIKSsS1_EEE"
    name = demangle(f"_ZNSt4pairI{argument}{argument}E4swapERS5_".encode()).decode()

    assert len(name) <= 200
    assert name.startswith("std::pair<std::map<")
    assert name.endswith("::swap")
    assert "…" in name


def as_binutils(names: list[str], *options: str) -> list[str]:
    if shutil.which("c++filt") is None:
        pytest.skip("needs c++filt")
    found = subprocess.run(["c++filt", *options], input="\n".join(names) + "\n", check=True, capture_output=True, text=True)
    return found.stdout.splitlines()


def mangled_names(program: Path, start: str) -> list[str]:
    lines = subprocess.run(["nm", str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted({line.split()[-1] for line in lines if line.split()[-1].startswith(start) and line.split()[-2] in "tTwW"})


CXX = """
#include <functional>
#include <map>
#include <string>
#include <vector>
namespace { struct Hidden { Hidden(); ~Hidden(); int operator()(int) const; }; Hidden::Hidden() {} Hidden::~Hidden() {} }
int Hidden::operator()(int a) const { return a; }
template <class F, class... A> auto call(F f, A &&...a) -> decltype(f(a...)) { return f(a...); }
template <int (*P)(char)> int through() { return P('x'); }
static int target(char c) { return c; }
int main(int c, char **) {
    Hidden h;
    std::map<std::string, std::vector<std::function<void(const char *)>>> m;
    m["a"].push_back([](const char *) {});
    std::function<int(int)> f = [c](int q) { return q + c; };
    return call(h, c) + through<target>() + f(2);
}
"""


def test_as_binutils_cxx(tmp_path: Path) -> None:
    """Every function of a C++ program reads as binutils has it, but for the parameters of functions around local classes."""
    names = [name for name in mangled_names(compiled(tmp_path / "program", CXX, "-O0", compiler="g++"), "_Z") if len(name) < 150]
    short = [name for name in names if len(demangle(name.encode())) < 190 and not re.match("_ZZ|.*IZ|_Z.*_Z", name)]
    assert len(short) > 30
    theirs = as_binutils(short, "-p")

    def plain(name: str) -> str:
        return re.sub(r"\([^{}]*\)( const)?::\{", "::{", name).replace(" ", "")

    ours = [demangle(name.encode()).decode() for name in short]
    assert {a: (b, c) for a, b, c in zip(short, ours, theirs, strict=True) if plain(b) != plain(c) and "…" not in b} == {}


RUST = """
use std::collections::HashMap;
#[inline(never)] fn generic<T: std::fmt::Debug, const N: usize>(a: [T; N]) -> usize { println!("{:?}", a); N }
trait Foo { fn foo(&self) -> i32; }
impl<T: Clone> Foo for Vec<(T, &'static str)> { #[inline(never)] fn foo(&self) -> i32 { 2 } }
fn through(x: &dyn Fn(i32) -> i32) -> i32 { x(3) }
fn main() {
    let mut m = HashMap::new();
    m.insert("a", 1);
    generic([1u8, 2]);
    println!("{} {} {}", vec![(1, "a")].foo(), m.len(), through(&|x| x * 2));
}
"""


def test_as_binutils_rust(tmp_path: Path) -> None:
    """Every function of a Rust program reads as binutils has it, but for hashes and the types of constants."""
    if shutil.which("rustc") is None:
        pytest.skip("needs rustc")
    (tmp_path / "program.rs").write_text(RUST)
    subprocess.run(
        ["rustc", "-C", "symbol-mangling-version=v0", "-o", "program", "program.rs"], cwd=tmp_path, check=True, capture_output=True
    )
    names = mangled_names(tmp_path / "program", "_R")
    theirs = as_binutils(names)
    if theirs == names:
        pytest.skip("needs a c++filt that knows Rust")

    def plain(name: str) -> str:
        return re.sub(r"\[[0-9a-f]{6,16}\]|: (usize|[iu]\d+|bool|isize|char)\b", "", name)

    ours = [demangle(name.encode()).decode() for name in names]
    assert len(names) > 100
    assert {a: (b, c) for a, b, c in zip(names, ours, theirs, strict=True) if b != plain(c) and "…" not in b and ".llvm." not in a} == {}
