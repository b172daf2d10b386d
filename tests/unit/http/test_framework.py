"""http/framework.py: what a server does not need is not there, and the environment is as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, ssl
before = dict(os.environ)
from perflens.http.framework import web
from aiohttp import connector
assert dict(os.environ) == before
print(len(connector._SSL_CONTEXT_VERIFIED.get_ca_certs()), len(ssl.create_default_context().get_ca_certs()))
"""


@pytest.mark.parametrize("environment", [{}, {"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}], ids=["unset", "set"])
def test_no_certificates(environment: dict[str, str]) -> None:
    """aiohttp's own contexts have none; who makes one of his own has those of the host."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    theirs, ours = map(int, done.stdout.split())

    assert theirs == 0
    if not ours:
        pytest.skip("this host has no certificates")
