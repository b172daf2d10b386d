"""config/load.py: all sources together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perflens.config import Catalogue, Parser, Settings, add_flags, collected, config_file, load
from perflens.config.keys import leaves, tree
from perflens.errors import ConfigError

CATALOGUE = {"file": Catalogue(("read", "write"), ("tp_btf",)), "page_cache": Catalogue(("read",), ())}
KEYS = list(leaves(tree(CATALOGUE)))
WORDS = st.sampled_from(sorted({name for key in KEYS for name in key.path})) | st.text(max_size=8)
SCALARS = st.sampled_from(
    [
        "5ms",
        "1h",
        "64",
        "010",
        "true",
        "'true'",
        "yes",
        "~",
        ".nan",
        ":9435",
        "'[::1]:0'",
        "/metrics",
        "<<",
        "*x",
        "&x",
        "!!int 1",
        "|",
        "\t",
    ]
)
NODES = st.recursive(
    SCALARS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(WORDS, inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{name}: {text}" for name, text in items.items()) + "}"
        )
    ),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(WORDS, NODES, max_size=4).map(lambda items: "\n".join(f"{name}: {text}" for name, text in items.items()))
FLAGS = [key.flag for key in KEYS] + [key.off_flag for key in KEYS if key.kind == "boolean"]
VALUES = SCALARS | st.text(st.characters(exclude_categories=()), max_size=20)
ARGUMENTS = st.lists(
    st.sampled_from(FLAGS)
    | st.tuples(st.sampled_from(FLAGS), VALUES).map("=".join)
    | VALUES.filter(lambda text: text[:2] not in ("-h", "--")),
    max_size=5,
)
NAMES = st.sampled_from([key.variable for key in KEYS]) | VALUES.map("PERFLENS_".__add__)


@pytest.mark.parametrize("sources", list(itertools.product([False, True], repeat=3)))
def test_precedence(tmp_path: Path, catalogue: Mapping[str, Catalogue], sources: tuple[bool, bool, bool]) -> None:
    """A flag beats the environment, which beats the file, which beats the default."""
    path = tmp_path / "perflens.yaml"
    path.write_text("cells: 100\n" if sources[0] else "")
    environment = {"PERFLENS_CELLS": "200"} if sources[1] else {}
    arguments = {"--cells": ["300"]} if sources[2] else {}
    expected = [4096, 100, 200, 300][max((at + 1 for at in range(3) if sources[at]), default=0)]
    assert load(arguments, environment, str(path), catalogue).cells == expected


def test_merge(tmp_path: Path, catalogue: Mapping[str, Catalogue]) -> None:
    """Sources are merged key by key: a list is replaced, the other thresholds of a probe stay."""
    path = tmp_path / "perflens.yaml"
    path.write_text("web: {listen_address: [':1', ':2']}\nprobes: {file: {thresholds: {read: 1ms, write: 2ms}}}\n")
    found = load({"--threshold": ["file.read=9ms"], "--web.listen-address": [":3"]}, {}, str(path), catalogue)
    assert found.web.listen_address == (":3",)
    assert found.probes["file"].thresholds == {"read": 9_000_000, "write": 2_000_000}


def test_all_at_once(tmp_path: Path, catalogue: Mapping[str, Catalogue]) -> None:
    """The problems of all sources are reported together, also of values that another source replaces."""
    path = tmp_path / "perflens.yaml"
    path.write_text("cells: 1\n")
    with pytest.raises(ConfigError) as caught:
        load({"--cells": ["100"], "--threshold": ["x"]}, {"PERFLENS_CELLS": "2"}, str(path), catalogue)
    assert [problem.source for problem in caught.value.problems] == [f"{path}:1", "PERFLENS_CELLS", "--threshold"]
    assert [problem.key for problem in caught.value.problems] == ["cells", "cells", "threshold"]


def test_config_file() -> None:
    """The file is the one that the last flag names, else the variable, else none."""
    assert config_file({"--config.file": ["a", "b"]}, {"PERFLENS_CONFIG_FILE": "c"}) == "b"
    assert config_file({}, {"PERFLENS_CONFIG_FILE": "c"}) == "c"
    assert config_file({}, {}) is None


def test_defaults(catalogue: Mapping[str, Catalogue]) -> None:
    """Without any source the settings are the defaults."""
    assert load({}, {}, None, catalogue) == Settings()


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@example(b"%TAG ! tag:x,\n---\n!<%ff> a")
@example(b'"\\ud800": 1')
def test_any_bytes(from_text: Callable[[bytes], Settings | list[str]], data: bytes) -> None:
    """No file, whatever its bytes, raises anything but ConfigError."""
    assert from_text(data)


@given(DOCUMENTS)
def test_any_document(from_text: Callable[[str], Settings | list[str]], text: str) -> None:
    """No document that resembles a configuration raises anything but ConfigError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert from_text(text)


@given(ARGUMENTS, st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_arguments(arguments: list[str], environment: dict[str, str]) -> None:
    """No command line and no environment raises anything but ConfigError, whose text can be printed."""
    parser = Parser(prog="perflens")
    add_flags(parser, CATALOGUE)
    try:
        load(collected(parser.parse_args(arguments)), environment, None, CATALOGUE)
    except ConfigError as error:
        assert error.problems
        assert all(str(problem).isprintable() for problem in error.problems)
