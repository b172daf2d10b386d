"""config/environment.py: PERFLENS_* variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perflens.config import Settings

ADDRESS = "write HOST:PORT, such as :9435, 127.0.0.1:9435 or [::1]:9435"

MISTAKES = [
    ("PERFLENS_LOG_LEVLE", "info", "PERFLENS_LOG_LEVLE: unknown environment variable; did you mean PERFLENS_LOG_LEVEL?"),
    ("PERFLENS_CONFIGFILE", "x", "PERFLENS_CONFIGFILE: unknown environment variable; did you mean PERFLENS_CONFIG_FILE?"),
    ("PERFLENS_QQQQQQQQQQQQQQQQQQ", "x", "PERFLENS_QQQQQQQQQQQQQQQQQQ: unknown environment variable; unset it"),
    ("PERFLENS_log_level\n", "x", "'PERFLENS_log_level\\n': unknown environment variable; did you mean PERFLENS_LOG_LEVEL?"),
    ("PERFLENS_LOG_LEVEL", "INFO", "PERFLENS_LOG_LEVEL: log.level: unknown value 'INFO'; write debug, info, warn or error"),
    (
        "PERFLENS_WEB_ENABLE_LIFECYCLE",
        "1",
        "PERFLENS_WEB_ENABLE_LIFECYCLE: web.enable_lifecycle: '1' is not a boolean; write true or false",
    ),
    (
        "PERFLENS_WEB_LISTEN_ADDRESS",
        ":1,",
        "PERFLENS_WEB_LISTEN_ADDRESS: web.listen_address: '' is not an address to listen on; " + ADDRESS,
    ),
    (
        "PERFLENS_THRESHOLD",
        "raed=1ms",
        "PERFLENS_THRESHOLD: threshold: unknown operation 'raed'; did you mean read?",
    ),
    (
        "PERFLENS_PATH_PROCFS",
        "/\udc80",
        "PERFLENS_PATH_PROCFS: path.procfs: '/\\udc80' has a character that cannot be printed; leave it out",
    ),
    ("PERFLENS_CONFIG_FILE", "/nonexistent", "/nonexistent: there is no such file; create it, or name another with --config.file"),
]


@pytest.mark.parametrize(("name", "text", "expected"), MISTAKES)
def test_mistakes(from_arguments: Callable[..., Settings | list[str]], name: str, text: str, expected: str) -> None:
    """A variable that cannot be taken is one problem with its name and its cure."""
    assert from_arguments([], {name: text}) == [expected]


@pytest.mark.parametrize(
    ("name", "text", "read", "expected"),
    [
        ("PERFLENS_LOG_LEVEL", "debug", lambda found: found.log.level, "debug"),
        ("PERFLENS_WEB_LISTEN_ADDRESS", ":1, :2", lambda found: found.web.listen_address, (":1", ":2")),
        ("PERFLENS_THRESHOLD", "1s,fsync=2ms", lambda found: found.threshold, 10**9),
        ("PERFLENS_THRESHOLD", "1s,fsync=2ms", lambda found: found.probes["file"].thresholds, {"fsync": 2_000_000}),
        ("PERFLENS_PROBES_FILE_ENABLED", "false", lambda found: found.probes["file"].enabled, False),
        ("PERFLENS_PROBES_STRICT", "true", lambda found: found.probes.strict, True),
        ("PATH", "/bin", lambda found: found, Settings()),
        ("PERFLENSX", "x", lambda found: found, Settings()),
    ],
)
def test_values(from_arguments: Callable[..., Any], name: str, text: str, read: Callable[[Settings], Any], expected: Any) -> None:
    """What a variable says is what is set; those of others are left alone."""
    assert read(from_arguments([], {name: text})) == expected


def test_service_links_of_kubernetes_are_no_settings(from_arguments: Callable[..., Settings | list[str]]) -> None:
    """A pod beside a Service called perflens starts, though its environment is full of PERFLENS_* addresses."""
    links = {
        "PERFLENS_SERVICE_HOST": "10.0.0.1",
        "PERFLENS_SERVICE_PORT": "9435",
        "PERFLENS_SERVICE_PORT_METRICS": "9435",
        "PERFLENS_PORT": "tcp://10.0.0.1:9435",
        "PERFLENS_PORT_9435_TCP": "tcp://10.0.0.1:9435",
        "PERFLENS_PORT_9435_TCP_ADDR": "10.0.0.1",
        "PERFLENS_AGENT_PORT_9435_TCP_PROTO": "tcp",
    }

    assert from_arguments([], links) == Settings()
