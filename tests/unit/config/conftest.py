"""A catalogue of two probes, and the settings or problems of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import perflens.config.file  # noqa: F401  else it is imported at the first file, within a test's deadline
from perflens.config import Catalogue, Parser, Settings, add_flags, collected, load
from perflens.errors import ConfigError

Outcome = Settings | list[str]
FromText = Callable[[str | bytes], Outcome]
FromArguments = Callable[..., Outcome]


@pytest.fixture(scope="session")
def catalogue() -> Mapping[str, Catalogue]:
    return {
        "file": Catalogue(("read", "write", "fsync", "sync_range", "copy"), ("tp_btf", "raw_tp")),
        "socket": Catalogue(("read", "connect"), ("raw_tp",)),
    }


@pytest.fixture(scope="session")
def from_text(tmp_path_factory: pytest.TempPathFactory, catalogue: Mapping[str, Catalogue]) -> FromText:
    """What a file called perflens.yaml gives: settings, or the lines of the error."""
    path = tmp_path_factory.mktemp("text") / "perflens.yaml"

    def read(text: str | bytes) -> Outcome:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return outcome(lambda: load({}, {}, str(path), catalogue), path.parent)

    return read


@pytest.fixture(scope="session")
def from_arguments(catalogue: Mapping[str, Catalogue]) -> FromArguments:
    """What a command line and an environment give."""

    def read(arguments: list[str], environment: Mapping[str, str] | None = None) -> Outcome:
        parser = Parser(prog="perflens")
        add_flags(parser, catalogue)
        return outcome(lambda: load(collected(parser.parse_args(arguments)), environment or {}, None, catalogue))

    return read


def outcome(attempt: Callable[[], Settings], directory: Path | None = None) -> Outcome:
    try:
        return attempt()
    except ConfigError as error:
        assert error.exit_code == 2
        lines = [str(problem).removeprefix(f"{directory}/") for problem in error.problems]
        assert lines
        assert all(line.isprintable() for line in lines)
        return lines
