"""Compiles what is not Python: the BPF objects of every architecture, and the native module.

With PERFLENS_STATIC=1 libbpf is linked into the native module and libelf laid beside it, as the wheels need it.
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
KERNEL = Path("exporter/perflens/kernel")


class BuildObjects(build_py):
    """Compile the BPF objects first: they are package data."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # what an earlier build left there would be taken along
        arguments = [f"ARCHES={platform.machine()}"] if STATIC else []
        subprocess.run(["make", "--no-print-directory", "objects", "PACKAGES=", *arguments], check=True)
        super().run()

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        """Leave out the objects of other architectures where the native module is of one."""
        own = f"/objects/{platform.machine()}/"
        files: list[str] = super().find_data_files(package, src_dir)
        return [file for file in files if not STATIC or "/objects/" not in file or own in file]


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
        archive = subprocess.run(["cc", "-print-file-name=libbpf.a"], check=True, capture_output=True, text=True).stdout.strip()
        own = folder / "libbpf_shared.a"
        subprocess.run(["objcopy", "--redefine-sym", "stderr=libbpf_stderr", archive, own], check=True)
        ext.sources.append(str(KERNEL / "_stderr.c"))
        ext.extra_link_args += ["-Wl,--whole-archive", str(own), "-Wl,--no-whole-archive", "-lelf", "-lz", "-Wl,-rpath,$ORIGIN/lib"]

    def _bring_libelf(self, folder: Path) -> None:
        library = subprocess.run(["cc", "-print-file-name=libelf.so.1"], check=True, capture_output=True, text=True).stdout.strip()
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(library).resolve(), folder / "libelf.so.1")


setup(
    ext_modules=[
        Extension(
            "perflens.kernel._native",
            [str(KERNEL / "_native.c")],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-O2", "-Wall", "-Wextra", "-Werror"],
            extra_link_args=["-s"],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_py": BuildObjects, "build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp311"}, "build": {"build_base": f"build/{sysconfig.get_platform()}"}},
)
