"""TLS by Python's ssl: a context of what the file says, and one that stands for the newest of them."""

from __future__ import annotations

import os
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

from perflens.config.wording import Refused
from perflens.web_config.sans import names_of
from perflens.web_config.settings import Tls

__all__ = ["BadPem", "Changing", "Context", "context"]

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_WAITING = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
_NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


class BadPem(Refused):
    """A text that is not what it should be, and the key of the section that has it."""

    def __init__(self, name: str, message: str, cure: str) -> None:
        super().__init__(message, cure)
        self.name = name


class _Handshake(ssl.SSLObject):
    """A connection; its handshake fails if its client's certificate has none of the names that are allowed."""

    def do_handshake(self) -> None:
        own = self.context
        assert isinstance(own, Context)
        try:
            super().do_handshake()
            own.check(self.getpeercert())
        except _WAITING:
            raise
        except ssl.SSLError as error:
            of_client = isinstance(error, ssl.SSLCertVerificationError) or error.reason == _NO_CERTIFICATE
            own.failed["client_certificate" if of_client else "protocol"] += 1
            raise


class Context(ssl.SSLContext):
    """A context that counts the handshakes that failed, and knows which names of clients are allowed: none for any."""

    sslobject_class = _Handshake
    allowed: frozenset[str] = frozenset()
    failed: Counter[str]

    def check(self, certificate: Any) -> None:
        """Raise SSLCertVerificationError for a certificate without an allowed name; a client without one was let in before."""
        if self.allowed and certificate and self.allowed.isdisjoint(names_of(certificate)):
            raise ssl.SSLCertVerificationError("no name of the client's certificate is allowed")


class Changing(ssl.SSLContext):
    """What a server listens with: each handshake takes the newest context."""

    current: Callable[[], ssl.SSLContext]

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a handshake."""
        return self.current().wrap_bio(*arguments, **options)


def context(settings: Tls, failed: Counter[str] | None = None) -> Context:
    """Return a context of these settings; BadPem when they cannot be used."""
    own = Context(ssl.PROTOCOL_TLS_SERVER)
    own.failed = Counter() if failed is None else failed
    own.allowed = settings.client_sans
    own.minimum_version, own.maximum_version = _VERSIONS[settings.least], _VERSIONS[settings.most]
    own.set_alpn_protocols(["http/1.1"])
    if settings.suites:
        own.set_ciphers(":".join(settings.suites))
    if not settings.prefers_own_suites:
        own.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.curve:
        own.set_ecdh_curve(settings.curve)
    _show(own, settings)
    own.verify_mode = _MODES[settings.client_auth]
    own.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go does: an authority in the file need not be a root
    if settings.client_ca:
        _trust(own, settings.client_ca)
    return own


def _show(own: ssl.SSLContext, settings: Tls) -> None:
    if "-----BEGIN CERTIFICATE-----" not in settings.certificate:
        raise BadPem("cert", "holds no certificate in PEM", "write the server's certificate, and after it those that lead to its authority")
    if "PRIVATE KEY-----" not in settings.key:
        raise BadPem("key", "holds no private key in PEM", "write the key of the certificate")
    if "ENCRYPTED" in settings.key:
        raise BadPem("key", "is encrypted", "write the key without a passphrase: openssl pkey -in KEY -out PLAIN")
    handle = os.memfd_create("pem", os.MFD_CLOEXEC)  # the library reads files alone, and so it gets what was looked at
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(f"{settings.certificate}\n{settings.key}\n".encode())
        own.load_cert_chain(f"/proc/self/fd/{handle}", password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadPem("key", "is not the key of the certificate", "write the key that the certificate was made with") from error
        raise BadPem("cert", f"cannot be used: {_reason(error)}", "write a certificate and its key in PEM, whole") from error
    finally:
        os.close(handle)


def _trust(own: ssl.SSLContext, authorities: str) -> None:
    try:
        own.load_verify_locations(cadata=authorities.encode("ascii", "replace").decode())  # the library takes no other text beside PEM
    except (ssl.SSLError, ValueError) as error:
        raise BadPem("client_ca", "holds no certificate in PEM", "write the certificates of the authorities that clients have") from error


def _reason(error: ssl.SSLError) -> str:
    return error.reason.replace("_", " ").lower() if error.reason else "certificate or key is not well formed"
