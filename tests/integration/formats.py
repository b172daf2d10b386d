"""A server of a page whose histograms and exemplars change with each scrape, without a kernel below it."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from perflens.aggregate.exemplars import Exemplars
from perflens.aggregate.series import SeriesTable
from perflens.export.prometheus.families import histogram_family
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import accepts_gzip, content_type
from perflens.export.prometheus.page import Collector, Page, Query
from perflens.model import HISTOGRAM_WIDTH, OTHER, Exemplar, SeriesKey
from perflens.owner_levels import labels_of
from perflens.probe import Histogram
from tests.unit.export.rows import row_of_durations

NAME = "perflens_disk_seconds"
_HISTOGRAM = Histogram("disk_seconds", help="How long.", object_label="device")
_OWNERS = ("a.service", 'quo"ted\\.service', "größe.service")


class Machine:
    """Something that is measured: operations of a few owners, of which some become exemplars, early, late, and out of order."""

    def __init__(self) -> None:
        self.running = True
        self.durations: dict[SeriesKey, list[int]] = defaultdict(list)
        self.shown: dict[str, Exemplar] = {}
        self._chance = random.Random(7)
        self._keys = [SeriesKey("read", "sda", owner) for owner in _OWNERS]
        self._table = SeriesTable(HISTOGRAM_WIDTH, 100, lambda key: SeriesKey(key.operation, OTHER, OTHER), clock=lambda: time.time() - 1)
        self._exemplars = Exemplars(100)
        self._lock = threading.Lock()
        family = histogram_family(_HISTOGRAM, self._table, labels_of("unit"), self._exemplars.of)
        self._page = Page((Collector("disk", family),), self._work)

    def render(self, query: Query) -> bytes:
        """A page, one at a time, after some more operations."""
        with self._lock:
            return bytes(self._page.render(query))

    def _work(self) -> None:
        if not self.running:
            return
        for key in self._keys:
            new = [int(10 ** self._chance.uniform(2, 12.7)) for _ in range(self._chance.randrange(1, 60))]
            self.durations[key] += new
            if key not in self._table:
                self._table.bind(key)
            at = self._table.row(key) * HISTOGRAM_WIDTH
            self._table.data[at : at + HISTOGRAM_WIDTH] = type(self._table.data)("Q", row_of_durations(self.durations[key]))
            self._put_some(key, new)

    def _put_some(self, key: SeriesKey, durations: list[int]) -> None:
        now = time.time()
        for ns in [*self._chance.choices(durations, k=4), int(10 ** self._chance.uniform(2, 12.7))]:
            late = self._chance.choice((0.0, 0.0, 0.0004, 0.5, 3.0))
            own = Exemplar(f"{self._chance.getrandbits(128):032x}", f"{self._chance.getrandbits(64):016x}", ns, now - late)
            self.shown[own.trace_id] = own
            self._exemplars.put(key, own)


@contextmanager
def served(machine: Machine) -> Iterator[str]:
    """The address of a server that negotiates as the agent does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            chosen = content_type(self.headers.get("Accept", ""))
            names = frozenset(parse_qs(urlsplit(self.path).query).get("name[]", ()))
            query = Query(names, gzip=accepts_gzip(self.headers.get("Accept-Encoding", "")), form=FORMATS[chosen])
            body = machine.render(query)
            self.send_response(200)
            self.send_header("Content-Type", chosen)
            self.send_header("Content-Length", str(len(body)))
            if query.gzip:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    own = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=own.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{own.server_address[1]}"
    finally:
        own.shutdown()
        own.server_close()
        thread.join()
