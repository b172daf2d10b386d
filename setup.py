"""Compiles what is not Python: the BPF objects of every architecture, and the native module.

With PERFLENS_STATIC=1 libbpf is linked into the native module and libelf laid beside it, as the wheels need it. PERFLENS_MACHINE is
the architecture that it is for, if it is not this machine's; then PERFLENS_SYSROOT holds that one's libraries (deploy/sysroot).
"""

import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

STATIC = os.environ.get("PERFLENS_STATIC") == "1"
MACHINE = os.environ.get("PERFLENS_MACHINE") or platform.machine()
SYSROOT = Path(os.environ.get("PERFLENS_SYSROOT", "/")) if platform.machine() != MACHINE else None
TOOLS = f"{MACHINE}-linux-gnu-" if SYSROOT else ""
KERNEL = Path("exporter/perflens/kernel")


def library(name: str) -> Path:
    """Return where a library of the architecture lies that is built for."""
    if SYSROOT is None:
        return Path(subprocess.run(["cc", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip())
    found = [path for folder in ("usr/lib", "lib") if (path := SYSROOT / folder / f"{MACHINE}-linux-gnu" / name).exists()]
    if not found:
        raise SystemExit(f"PERFLENS_SYSROOT has no {name} for {MACHINE}: deploy/sysroot {MACHINE} FOLDER, or make wheel ARCH={MACHINE}")
    return found[0]


class BuildObjects(build_py):
    """Compile the BPF objects first: they are package data."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # what an earlier build left there would be taken along
        arguments = [f"ARCHES={MACHINE}"] if STATIC else []
        subprocess.run(["make", "--no-print-directory", "objects", "PACKAGES=", *arguments], check=True)
        super().run()

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        """Leave out the objects of other architectures where the native module is of one."""
        own = (f"/objects/{MACHINE}/", "/objects/bcc/")
        files: list[str] = super().find_data_files(package, src_dir)
        return [file for file in files if not STATIC or "/objects/" not in file or any(folder in file for folder in own)]


class BuildNative(build_ext):
    """Link libbpf in, and put libelf where the module looks for it."""

    def build_extension(self, ext: Extension) -> None:
        if STATIC:
            self._link_libbpf(ext)
        super().build_extension(ext)
        if STATIC:
            self._bring_libelf(Path(self.get_ext_fullpath(ext.name)).parent / "lib")

    def _link_libbpf(self, ext: Extension) -> None:
        """Distributions compile libbpf.a for executables; its one reference that a shared module cannot have is `stderr`."""
        folder = Path(self.build_temp)
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / "libbpf_shared.a"
        subprocess.run([f"{TOOLS}objcopy", "--redefine-sym", "stderr=libbpf_stderr", library("libbpf.a"), own], check=True)
        ext.sources.append(str(KERNEL / "_stderr.c"))
        shared = [str(library(name)) for name in ("libelf.so.1", "libz.so.1")]
        ext.extra_link_args += ["-Wl,--whole-archive", str(own), "-Wl,--no-whole-archive", *shared, "-Wl,-rpath,$ORIGIN/lib"]

    def _bring_libelf(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(library("libelf.so.1").resolve(), folder / "libelf.so.1")


if SYSROOT:
    os.environ["CC"] = f"{TOOLS}gcc"  # what setuptools asks for its compiler

setup(
    ext_modules=[
        Extension(
            "perflens.kernel._native",
            [str(KERNEL / "_native.c"), str(KERNEL / "_threads.c")],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            include_dirs=[str(SYSROOT / "usr/include")] if SYSROOT else [],  # pyconfig.h of its own
            extra_compile_args=["-O2", "-Wall", "-Wextra", "-Werror"],
            extra_link_args=["-s"],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_py": BuildObjects, "build_ext": BuildNative},
    options={
        "bdist_wheel": {"py_limited_api": "cp311", **({"plat_name": f"linux_{MACHINE}"} if SYSROOT else {})},
        "build": {"build_base": f"build/{f'linux-{MACHINE}' if SYSROOT else sysconfig.get_platform()}"},
    },
)
