"""aiohttp's server without what only its client and files need: 50 ms of every start, and 2.4 MiB.

With the server its client is imported, which reads the host's certificates (aiohttp/connector.py). Whoever asks others by TLS in this
process has to make a context of its own. The types of files (aiohttp/web_fileresponse.py) are Python's own, without the host's tables.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_CERTIFICATES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}  # SSL_CTX_load_verify_locations(3)


@contextmanager
def _without_certificates() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _CERTIFICATES}
    os.environ.update(_CERTIFICATES)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


mimetypes.knownfiles.clear()
with _without_certificates():
    from aiohttp import web
    from aiohttp.http import HttpProcessingError
    from aiohttp.typedefs import Handler

__all__ = ["Handler", "HttpProcessingError", "web"]
