"""The flags of a client: where the agent is, whom to trust, and who asks."""

from __future__ import annotations

import argparse
import ssl
from urllib.parse import urlsplit

from perflens.client.target import Identity, Target, is_usable
from perflens.errors import ConfigError, Problem
from perflens.private import read_line, read_word

__all__ = ["add_flags", "target_of"]

_FLAGS = (
    ("--client.ca-file", "PATH", "file with the certificates that the agent's is checked by (default: those of this host)"),
    ("--client.cert-file", "PATH", "file with the certificate that is shown to the agent"),
    ("--client.key-file", "PATH", "file with the key of that certificate"),
    ("--client.user", "NAME", "user of the agent's web configuration"),
    ("--client.password-file", "PATH", "file with that user's password"),
    ("--client.token-file", "PATH", "file with the token of the agent's API"),
)


def add_flags(parser: argparse.ArgumentParser, url: str, default: str | None = None) -> None:
    """Declare ``--url``, with its help and its default, and the flags of the client."""
    parser.add_argument("--url", metavar="URL", default=default, help=url)
    for flag, metavar, text in _FLAGS:
        parser.add_argument(flag, dest=_name(flag), metavar=metavar, default="", help=text)


def target_of(arguments: argparse.Namespace) -> Target | None:
    """Return the agent that the flags name, None when they name none; ConfigError for what cannot be used."""
    given = {flag: str(getattr(arguments, _name(flag))) for flag, _, _ in _FLAGS}
    named = [flag for flag, value in given.items() if value]
    if arguments.url is None:
        if named:
            raise _refused(named[0], "is given without --url", "leave it out, or name the agent with --url")
        return None
    if not is_usable(arguments.url):
        raise _refused("--url", "is not the URL of an agent", "write it as http://localhost:9435")
    tls = _context(arguments.url, given)
    return Target.of(arguments.url, _identity(given), tls)


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace(".", "_").replace("-", "_")


def _identity(given: dict[str, str]) -> Identity:
    user, password, token = given["--client.user"], given["--client.password-file"], given["--client.token-file"]
    if bool(user) != bool(password):
        alone, other = ("--client.user", "--client.password-file") if user else ("--client.password-file", "--client.user")
        raise _refused(alone, f"is given without {other}", f"add {other}")
    if ":" in user or not user.isprintable():
        raise _refused("--client.user", "is no name of a user", "write it as the agent's web configuration has it, without a colon")
    return Identity(
        user,
        read_line(password, "--client.password-file") if password else "",
        read_word(token, "--client.token-file").decode("ascii") if token else "",
    )


def _context(url: str, given: dict[str, str]) -> ssl.SSLContext | None:
    """The context of an https URL. A certificate to show needs its key, in the same file or in another."""
    authority, certificate, key = given["--client.ca-file"], given["--client.cert-file"], given["--client.key-file"]
    named = [flag for flag in ("--client.ca-file", "--client.cert-file", "--client.key-file") if given[flag]]
    if urlsplit(url).scheme != "https":
        if named:
            raise _refused(named[0], "is of no use without TLS", "write --url=https://…, or leave it out")
        return None
    if key and not certificate:
        raise _refused("--client.key-file", "is given without --client.cert-file", "add --client.cert-file")
    context = _trusting(authority)
    if certificate:
        _show(context, certificate, key)
    return context


def _trusting(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority or None)
    except OSError as error:
        raise _refused("--client.ca-file", _why(error), "write the path of a file with certificates in PEM") from error


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key or None, password=lambda: b"")  # it must not ask at the terminal
    except OSError as error:
        raise _refused("--client.cert-file", _why(error), "write the paths of a certificate and its key in PEM, not encrypted") from error


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"cannot be used: {error.reason.replace('_', ' ').lower() if error.reason else 'it is not PEM'}"
    return f"cannot be read: {error.strerror}"


def _refused(flag: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(flag, "", message, cure),))
