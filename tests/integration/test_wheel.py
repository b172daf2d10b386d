"""The wheel: what is in it, and that it works in an environment that has nothing else."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.kernel.headers import kernel_headers, needs_bcc

ROOT = Path(__file__).resolve().parents[2]
MACHINE = platform.machine()
SOURCES = ("Makefile", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE", "bpf", "deploy", "exporter")
TOOLS = ("make", "cc", "clang", "llvm-strip", "objcopy")
LIBBPF = ("bpf_object__open_file", "bpf_object__load", "bpf_program__attach", "libbpf_version_string")

pytestmark = pytest.mark.timeout(600)


def run(*command: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What a command prints; a failure with all it said when it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PERFLENS_", "PYTHON", "MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=cwd, env={**own, **(environment or {})}, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def copied(folder: Path) -> Path:
    """A copy of what a wheel is built from, that also holds what earlier builds may have left."""
    tree = folder / "a copy"
    tree.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", "objects", "lib"))
        else:
            shutil.copy2(source, tree / name)
    package = tree / "exporter" / "perflens"
    for stale in ("objects/x86_64/stale.bpf.o", "objects/aarch64/stale.bpf.o", "kernel/lib/stale.so.1", "kernel/_native.abi3.so"):
        (package / stale).parent.mkdir(parents=True, exist_ok=True)
        (package / stale).write_bytes(b"left by an earlier build")
    return tree


def expected(machine: str) -> set[str]:
    """What a wheel for an architecture holds beside its own description."""
    sources = sorted((ROOT / "bpf").glob("*.bpf.c"))
    kinds = (".bpf.o", ".uncast.bpf.o", ".bare.bpf.o")
    compiled = {f"perflens/objects/{machine}/{source.name.removesuffix('.bpf.c')}{kind}" for source in sources for kind in kinds}
    for_bcc = {f"perflens/objects/bcc/{path.name}" for path in (ROOT / "bpf/bcc").iterdir()}
    for_bcc |= {f"perflens/objects/bcc/{name}" for name in ("bucket.h", "pseudo.h")}
    package = ROOT / "exporter"
    modules = {
        str(path.relative_to(package)) for pattern in ("*.py", "*.pyi", "py.typed") for path in (package / "perflens").rglob(pattern)
    }
    return modules | compiled | for_bcc | {"perflens/kernel/_native.abi3.so", "perflens/kernel/lib/libelf.so.1"}


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution and the wheel built from it."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"a wheel is built with {', '.join(missing)}")
    tree = copied(tmp_path_factory.mktemp("wheel build"))
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree, environment={"PERFLENS_STATIC": "1"})
    return out


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content."""
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(wheel, folder, "zip")
    return folder


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The perflens command of an environment that has the wheel, and beside it only what this one has as dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    (site,) = folder.glob("lib/python*/site-packages")
    run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-deps", wheel)
    # Named by a .pth, a folder is searched, but no .pth in it is read: that of an editable installation would bring this tree back.
    dependencies = run(sys.executable, "-c", "import aiohttp, pathlib; print(pathlib.Path(aiohttp.__file__).parents[1])")
    (site / "dependencies.pth").write_text(dependencies)
    return folder / "bin" / "perflens"


def test_name_says_python_abi_and_machine(wheel: Path) -> None:
    assert wheel.name == f"perflens-0.1.0-cp311-abi3-linux_{MACHINE}.whl"


def test_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert names == expected(MACHINE)


def test_source_distribution_holds_what_it_is_built_from_and_nothing_built(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"Makefile", "setup.py", "pyproject.toml", "deploy/install-packages", "exporter/perflens/kernel/_stderr.c"}
    needed |= {str(file.relative_to(ROOT)) for file in (ROOT / "bpf").rglob("*") if file.is_file()}

    assert needed <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc")) or name.startswith("tests")]


def test_native_module_has_libbpf_inside_and_finds_its_own_libelf(unpacked: Path) -> None:
    module = unpacked / "perflens" / "kernel" / "_native.abi3.so"
    defined = {line.split()[-1].partition("@")[0] for line in run("nm", "-D", "--defined-only", module).splitlines() if line}
    wanted = run("ldd", module)

    assert set(LIBBPF) <= defined
    assert "libbpf" not in wanted
    assert f"libelf.so.1 => {module.parent / 'lib' / 'libelf.so.1'}" in wanted.replace("kernel/./lib", "kernel/lib")
    assert "no symbols" in subprocess.run(["nm", module], capture_output=True, text=True, check=True).stderr


def test_objects_are_stripped_and_have_btf(unpacked: Path) -> None:
    for path in (unpacked / "perflens" / "objects" / MACHINE).iterdir():
        sections = run("llvm-objdump", "--section-headers", path)
        assert ".BTF" in sections
        assert ".debug_info" not in sections


def test_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(installed.with_name("python"), "-c", "import perflens; print(perflens.__file__)", cwd=tmp_path).strip()

    assert Path(where).is_relative_to(installed.parents[1])
    assert "0.1.0" in run(installed, "--version", cwd=tmp_path)


def test_probe_attaches_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to load the programs")
    if not Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("needs a kernel with BTF")

    report = run(installed, "check", cwd=tmp_path)

    assert "ok   file: tp_btf: attaches" in report
    mapped = "import ctypes, perflens.kernel.libbpf as l; l.library(); print(open('/proc/self/maps').read())"
    assert "libbpf.so" not in run(installed.with_name("python"), "-c", mapped, cwd=tmp_path)


def test_bcc_of_the_system_is_found_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The wheel's own Python has none: the distribution's package belongs to another one."""
    if os.geteuid() != 0:
        pytest.skip("needs root to load the programs")
    needs_bcc()
    environment = {**os.environ, **kernel_headers(tmp_path / "headers")}
    done = subprocess.run([installed, "check", "--loader=bcc"], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)

    assert "ok   file: bcc: attaches, without waits" in done.stdout, done.stdout + done.stderr
    own = subprocess.run([installed.with_name("python"), "-c", "from bcc import BPF"], capture_output=True, check=False)
    assert own.returncode != 0
