"""The wheel for the other architecture, cross-compiled: what is in it, and that it runs in an emulated Python."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.integration.test_wheel import LIBBPF, MACHINE, ROOT, TOOLS, copied, expected, run

OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}.get(MACHINE, "aarch64")
CROSS = f"{OTHER}-linux-gnu"
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
BPF_MACHINE = 247
STARTS_PROCESSES = "tests/unit/kernel/test_heap.py::test_trim_leaves_everything_working"  # which an emulated Python cannot

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with libraries that are unpacked and not installed."""
    missing = [tool for tool in (*TOOLS, f"{CROSS}-gcc", f"{CROSS}-objcopy", "apt-get", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (deploy/install-packages --with-cross {OTHER})")
    folder = tmp_path_factory.mktemp("cross")
    unpacked = subprocess.run([ROOT / "deploy" / "sysroot", OTHER, folder / "sysroot"], capture_output=True, text=True, check=False)
    if unpacked.returncode:
        pytest.skip(unpacked.stderr.strip())
    environment = {"PERFLENS_STATIC": "1", "PERFLENS_MACHINE": OTHER, "PERFLENS_SYSROOT": str(folder / "sysroot")}
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", copied(folder), environment=environment)
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content."""
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(wheel, folder, "zip")
    return folder


def machine_of(path: Path) -> int:
    """The architecture in the head of an ELF file."""
    return int.from_bytes(path.read_bytes()[18:20], "little")


def test_name_and_content_are_those_of_the_architecture(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert wheel.name == f"perflens-0.1.0-cp311-abi3-linux_{OTHER}.whl"
    assert names == expected(OTHER)


def test_every_binary_is_of_the_architecture(unpacked: Path) -> None:
    """The native module and its libelf; the programs are the kernel's own instructions everywhere."""
    kernel = unpacked / "perflens" / "kernel"

    assert machine_of(kernel / "_native.abi3.so") == machine_of(kernel / "lib" / "libelf.so.1") == ELF_MACHINES[OTHER]
    assert {machine_of(path) for path in unpacked.rglob("*.bpf.o")} == {BPF_MACHINE}


def test_native_module_has_libbpf_inside(unpacked: Path) -> None:
    module = unpacked / "perflens" / "kernel" / "_native.abi3.so"
    symbols = [line.split()[-2:] for line in run(f"{CROSS}-nm", "-D", module).splitlines()]
    undefined = {name for kind, name in symbols if kind == "U"}
    wanted = re.findall(r"\(NEEDED\).*\[(.*)\]", run(f"{CROSS}-readelf", "--dynamic", module))

    assert set(LIBBPF) <= {name for kind, name in symbols if kind != "U"}
    assert not [name for name in undefined if re.search("bpf|btf|ring_buffer", name)]
    assert "libelf.so.1" in wanted
    assert not [name for name in wanted if "bpf" in name]


def test_unit_tests_of_the_kernel_side_pass_in_an_emulated_python(unpacked: Path) -> None:
    """The native module drains rings, harvests cells and scans slots there, and the BTF of its objects is read."""
    done = subprocess.run([ROOT / "tests" / "components" / "emulated", OTHER], capture_output=True, text=True, check=False)
    if done.returncode == 125:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    python = Path(done.stdout.strip())
    environment = {"PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"}
    told = "import platform, perflens.kernel._native as n; from perflens.kernel.libbpf import library as l; "
    told += "print(platform.machine(), n.__file__, l().libbpf_version_string().decode())"
    machine, module, version = run(python, "-c", told, environment=environment).split()
    options = ("-p", "no:cacheprovider", "-o", f"pythonpath={unpacked} .", "--deselect", STARTS_PROCESSES, "--timeout=500")
    report = run(python, "-m", "pytest", "tests/unit/kernel", "tests/unit/test_layout.py", *options, cwd=ROOT, environment=environment)

    assert (machine, module) == (OTHER, str(unpacked / "perflens" / "kernel" / "_native.abi3.so"))
    assert version.startswith("v1.")
    assert "[100%]" in report
    assert "SKIPPED" not in report
