"""The analyzer's values as JSON, and back: what a state file, a recorded bundle and another host's agent hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["BadDocument", "decoded", "encoded"]

T = TypeVar("T")


class BadDocument(ValueError):
    """A document that is not what it should be: its text names the place."""


def encoded(value: Any) -> Any:
    """Return a value as JSON knows it: a frozen dataclass as an object, a mapping as a list of pairs."""
    if is_dataclass(value) and not isinstance(value, type):
        return {own.name: encoded(getattr(value, own.name)) for own in fields(value)}
    if isinstance(value, Mapping):
        return [[encoded(key), encoded(own)] for key, own in value.items()]
    if isinstance(value, (tuple, list)):
        return [encoded(own) for own in value]
    return value


def decoded(kind: type[T], document: Any) -> T:
    """Return the value of a type; BadDocument when the document is not one."""
    return _read(kind, document, "$")  # type: ignore[no-any-return]


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, document: Any, at: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _object(kind, document, at)
    if origin is Literal:
        return document if document in arguments else _bad(at, f"one of {', '.join(map(str, arguments))}")
    if origin in (Union, UnionType):
        inner = next(own for own in arguments if own is not type(None))
        return None if document is None else _read(inner, document, at)
    if origin is tuple:
        return _sequence(arguments, document, at)
    if origin is Sequence:
        return _sequence((*arguments, Ellipsis), document, at)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        pairs = _sequence((tuple[arguments[0], arguments[1]], ...), document, at)  # type: ignore[valid-type]
        return dict(pairs)
    return _plain(kind, document, at)


def _object(kind: Any, document: Any, at: str) -> Any:
    hints = _hints(kind)
    if not isinstance(document, dict) or not set(document) <= set(hints):
        return _bad(at, f"a {kind.__name__}")
    values = {name: _read(hints[name], value, f"{at}.{name}") for name, value in document.items()}
    try:
        return kind(**values)
    except TypeError:
        return _bad(at, f"a whole {kind.__name__}")


def _sequence(arguments: tuple[Any, ...], document: Any, at: str) -> tuple[Any, ...]:
    if not isinstance(document, list):
        _bad(at, "a list")
    kinds = [arguments[0]] * len(document) if arguments[-1] is Ellipsis else arguments
    if len(kinds) != len(document):
        _bad(at, f"{len(kinds)} elements")
    return tuple(_read(kind, own, f"{at}[{number}]") for number, (kind, own) in enumerate(zip(kinds, document, strict=True)))


def _plain(kind: Any, document: Any, at: str) -> Any:
    if kind is float and isinstance(document, (int, float)) and not isinstance(document, bool) and isfinite(document):
        return float(document)
    if kind is float or type(document) is not kind:
        return _bad(at, f"a {kind.__name__}")
    return document


def _bad(at: str, wanted: str) -> Any:
    raise BadDocument(f"{at} is not {wanted}")
