"""A model's server and a Grafana on this host, and how an agent is told of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from tests.unit.analyzer.llm.server import ModelServer
from tests.unit.analyzer.llm.server import serving as serving_model
from tests.unit.annotate.server import TOKEN, Grafana
from tests.unit.annotate.server import serving as serving_grafana


@contextmanager
def servers() -> Iterator[tuple[ModelServer, Grafana, str]]:
    """A model's server that answers in prose, and a Grafana with its URL, on a loop of their own."""
    ready, over, found = threading.Event(), asyncio.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            model = await stack.enter_async_context(serving_model("prose"))
            grafana = Grafana()
            found.append((model, grafana, await stack.enter_async_context(serving_grafana(grafana))))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()


def flags_of(folder: Path, model: ModelServer, grafana: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The flags and the environment of an agent that tells both."""
    flags = (
        f"--grafana.url={grafana}",
        f"--grafana.outbox-file={folder}/outbox",
        f"--llm.base-url={model.base_url}",
        f"--llm.cache-file={folder}/cache",
    )
    return flags, {"GRAFANA_TOKEN": TOKEN, "HF_TOKEN": "hf_x"}
