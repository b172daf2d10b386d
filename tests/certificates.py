"""Certificates for tests, made by openssl: an authority, and what it or another one signed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Authority", "Pair"]


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path


class Authority:
    """An authority with its files in a folder of its own; the test is skipped where there is no openssl."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        if not shutil.which("openssl"):
            pytest.skip("needs openssl")
        self._folder = folder
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", f"/CN={name}")
        self.openssl(*new, "-keyout", self._key, "-out", self.certificate, "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name: str, names: str = "DNS:localhost,IP:127.0.0.1", usage: str = "serverAuth,clientAuth") -> Pair:
        """Make a certificate with these subject alternative names for that use."""
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.cnf"
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        new = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}")
        self.openssl(*new, "-keyout", pair.key, "-out", request)
        pair.key.chmod(0o600)
        alternatives = f"subjectAltName={names}\n" if names else ""
        extensions.write_text(f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage={usage}\n{alternatives}")
        authority = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial")
        self.openssl("x509", "-req", "-in", request, *authority, "-days", "30", "-extfile", extensions, "-out", pair.certificate)
        return pair

    def below(self, name: str) -> Authority:
        """Make an authority that this one signed."""
        own, request, extensions = Authority(self._folder, name), self._folder / f"{name}.csr", self._folder / f"{name}.cnf"
        self.openssl("req", "-new", "-key", own._key, "-subj", f"/CN={name}", "-out", request)
        extensions.write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n")
        signed = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions, "-out", own.certificate)
        self.openssl("x509", "-req", "-in", request, "-days", "30", *signed)
        return own

    @staticmethod
    def openssl(*arguments: str | Path) -> None:
        """Run openssl."""
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
