"""The section tls_server_config: certificates from texts or files, and what Python's ssl can be told."""

from __future__ import annotations

import os
from typing import cast

import yaml

from perflens.config.source import Unreadable
from perflens.config.wording import either, quoted, suggestion
from perflens.web_config import tls
from perflens.web_config.files import Files
from perflens.web_config.names import CLIENT_AUTH, CURVES, SUITES, SUITES_OF_TLS13, UNVERIFIED, VERSIONS
from perflens.web_config.nodes import Nodes
from perflens.web_config.sans import normal
from perflens.web_config.settings import ClientAuth, Tls, Version

__all__ = ["read_tls"]

_PATH = "tls_server_config"
_KEYS = (
    "cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file", "client_auth_type", "client_allowed_sans",
    "min_version", "max_version", "cipher_suites", "prefer_server_cipher_suites", "curve_preferences",
)  # fmt: skip


def read_tls(nodes: Nodes, node: yaml.Node | None, path: str, files: Files) -> Tls | None:
    """Return what the section says, None for plain HTTP; the paths in it are relative to the file's own folder."""
    found = nodes.section(node, _PATH, _KEYS)
    if not found:
        return None
    assert node is not None
    return _Section(nodes, node, found, path, files).read()


class _Section:
    def __init__(self, nodes: Nodes, node: yaml.Node, found: dict[str, yaml.Node], path: str, files: Files) -> None:
        self._nodes, self._node, self._found, self._path, self._files = nodes, node, found, path, files

    def read(self) -> Tls | None:
        before = len(self._nodes.problems)
        least, most = self._version("min_version", "TLS12"), self._version("max_version", "TLS13")
        suites = self._suites()
        settings = Tls(
            self._pem("cert", required=True),
            self._pem("key", required=True),
            self._pem("client_ca"),
            self._client_auth(),
            self._sans(),
            *self._versions(least, most, suites),
            tuple(SUITES[name] for name in suites if name in SUITES),
            self._prefers(),
            self._curve(),
        )
        self._check_clients(settings)
        if len(self._nodes.problems) == before:
            self._try(settings)
        return settings

    def _refuse(self, name: str, message: str, cure: str) -> None:
        self._nodes.refuse(self._found.get(name, self._node), f"{_PATH}.{name}" if name in self._found else _PATH, message, cure)

    def _pem(self, name: str, required: bool = False) -> str:
        """A text in PEM, given itself or by a file."""
        of_file = f"{name}_file"
        if name in self._found and of_file in self._found:
            self._refuse(of_file, f"is given beside {name}", "leave one of both out")
        elif name in self._found:
            if name == "key":
                self._files.holds_key(self._path)
            return self._nodes.text(self._found[name], f"{_PATH}.{name}", "write it in PEM, as a block that | begins", secret=True)
        elif of_file in self._found:
            return self._file(of_file)
        elif required:
            self._refuse(name, f"has neither {name} nor {of_file}", f"add {of_file}, or leave {_PATH} out for plain HTTP")
        return ""

    def _file(self, name: str) -> str:
        path = self._nodes.text(self._found[name], f"{_PATH}.{name}", "write the path of a file")
        if not path:
            return ""
        whole = os.path.join(os.path.dirname(self._path), path)
        if name == "key_file":
            self._files.holds_key(whole)
        try:
            return self._files.text(whole)
        except Unreadable as error:
            self._refuse(name, f"{quoted(path)} {error.message}", error.cure)
            return ""

    def _client_auth(self) -> ClientAuth:
        name = "client_auth_type"
        if name not in self._found:
            return "NoClientCert"
        node = self._found[name]
        if isinstance(node, yaml.ScalarNode) and node.value in UNVERIFIED:
            message = f"{node.value} asks for a certificate and does not check it, which Python's ssl cannot do"
            self._refuse(name, message, "write RequireAndVerifyClientCert or VerifyClientCertIfGiven")
            return "NoClientCert"
        return cast(ClientAuth, self._nodes.choice(node, f"{_PATH}.{name}", CLIENT_AUTH, "NoClientCert"))

    def _check_clients(self, settings: Tls) -> None:
        """A list of authorities or names without a check would be taken for one."""
        if any(problem.key == f"{_PATH}.client_auth_type" for problem in self._nodes.problems):
            return
        authority = "client_ca_file" if "client_ca_file" in self._found else "client_ca"
        if settings.client_auth == "NoClientCert":
            for name in (authority, "client_allowed_sans"):
                if name in self._found:
                    self._refuse(name, "is of no use without a client_auth_type", "add client_auth_type: RequireAndVerifyClientCert")
        elif authority not in self._found:
            self._refuse("client_auth_type", "has no authority to check by", "add client_ca_file, or client_ca")

    def _sans(self) -> frozenset[str]:
        name = "client_allowed_sans"
        if name not in self._found:
            return frozenset()
        cure = 'write the names that client certificates have, such as ["prometheus.example"]'
        return frozenset(normal(text) for _, text in self._nodes.texts(self._found[name], f"{_PATH}.{name}", cure))

    def _version(self, name: str, default: str) -> str:
        if name not in self._found:
            return default
        node = self._found[name]
        if isinstance(node, yaml.ScalarNode) and node.value in ("TLS10", "TLS11"):
            self._refuse(name, f"{node.value} is not offered: it is broken (RFC 8996)", f"write {either(VERSIONS)}")
            return default
        return self._nodes.choice(node, f"{_PATH}.{name}", VERSIONS, default)

    def _versions(self, least: str, most: str, suites: list[str]) -> tuple[Version, Version]:
        if least > most:
            self._refuse("min_version", f"{least} is above max_version {most}", "let max_version be the newer one")
        if suites and not any(name in SUITES for name in suites):  # TLS 1.2 has none left
            if most == "TLS12":
                self._refuse("cipher_suites", "has no suite of TLS 1.2", f"add one, such as {next(iter(SUITES))}")
            least = "TLS13"
        return cast(Version, least), cast(Version, most)

    def _suites(self) -> list[str]:
        name = "cipher_suites"
        if name not in self._found:
            return []
        known = (*SUITES, *SUITES_OF_TLS13)
        suites = []
        for node, text in self._nodes.texts(self._found[name], f"{_PATH}.{name}", f"write names such as {known[6]}"):
            if text in known:
                suites.append(text)
            else:
                cure = suggestion(text, known, "write names that Go's tls.CipherSuites lists")
                self._nodes.refuse(node, f"{_PATH}.{name}", f"unknown or insecure suite {quoted(text)}", cure)
        return suites

    def _prefers(self) -> bool:
        name = "prefer_server_cipher_suites"
        return name not in self._found or self._nodes.boolean(self._found[name], f"{_PATH}.{name}") is not False

    def _curve(self) -> str:
        name = "curve_preferences"
        if name not in self._found:
            return ""
        usable = [go for go, own in CURVES.items() if own]
        curves = self._nodes.texts(self._found[name], f"{_PATH}.{name}", f"write one of {either(usable)}")
        for node, text in curves:
            if text not in CURVES:
                self._nodes.refuse(
                    node, f"{_PATH}.{name}", f"unknown curve {quoted(text)}", suggestion(text, CURVES, f"write {either(usable)}")
                )
                return ""
        if len(curves) > 1 or any(not CURVES[text] for _, text in curves):
            message = "Python's ssl takes a single curve, and not X25519"
            self._refuse(name, message, f"write one of {either(usable)}, or leave it out: X25519 is preferred then")
            return ""
        return CURVES[curves[0][1]] if curves else ""

    def _try(self, settings: Tls) -> None:
        """What only OpenSSL can tell: whether the key fits, and whether it is one."""
        try:
            tls.context(settings)
        except tls.BadPem as error:
            self._refuse(next((own for own in (error.name, f"{error.name}_file") if own in self._found), ""), error.message, error.cure)
