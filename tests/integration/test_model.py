"""An incident is put to a real model. This one is too small to say anything that is true, so what holds is the rules', or checked."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.collectors import free_ports
from tests.kernel.slow import api
from tests.kernel.support import agent, scrape
from tests.servers import wait_for
from tests.throttle import CannotThrottle, throttled_writer

ROOT = Path(__file__).resolve().parents[2]
NAME = "perflens-modelled"
SECONDS = 420  # a machine that is busy reads a prompt of 1,500 tokens at 20 a second
ANSWERED = ("ok", "repaired", "invalid", "length")


@contextmanager
def model() -> Iterator[str]:
    """A model's server; its URL without a path."""
    found = subprocess.run([str(ROOT / "tests/components/model")], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(found.stderr.strip())
    python, file = found.stdout.split()
    port = next(iter(free_ports()))
    command = [python, str(Path(__file__).with_name("model_server.py")), file, str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: _text(f"{url}/health") or None, 60, "the server of the model")
            yield url
        finally:
            running.kill()


def _text(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _told(url: str, name: str) -> float:
    """What the model's server counts itself."""
    return sum(float(line.split()[1]) for line in _text(f"{url}/metrics").splitlines() if line.startswith(f"{name} "))


@pytest.mark.components
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_model(tmp_path: Path) -> None:
    """It is asked about an incident, its tokens are counted as it counts them, and no sentence that is not checked is told."""
    if os.geteuid() != 0:
        pytest.skip("the agent needs root to attach its probes")
    try:
        with model() as url, throttled_writer(tmp_path, NAME):
            flags = (f"--llm.base-url={url}/v1", "--llm.model=small", "--llm.timeout=10m", "--llm.cache-file=")
            with agent(tmp_path, *flags) as running:
                deadline = time.monotonic() + SECONDS
                while not (page := scrape(running.url)).total("perflens_llm_requests_total"):
                    assert time.monotonic() < deadline, running.log.read_text()
                    time.sleep(2)
                outcomes = {outcome: page.total("perflens_llm_requests_total", outcome=outcome) for outcome in ANSWERED}
                tokens = [page.total("perflens_llm_tokens_total", direction=way) for way in ("input", "output")]
                counted = [_told(url, f"llamacpp:{name}_total") for name in ("prompt_tokens", "tokens_predicted")]
                [incident] = [own for own in api(running.url, "incidents")["incidents"] if own["subject"]["name"].endswith(NAME)]
    except CannotThrottle as error:
        pytest.skip(str(error))

    assert sum(outcomes.values()) >= 1
    assert tokens == counted
    assert incident["cause"] == "IO_CGROUP_THROTTLE"
    if incident["source"] == "rules":
        assert outcomes["ok"] + outcomes["repaired"] == 0 or incident["model"] == ""
    else:
        assert incident["model"] == "small"
