"""Rust names as they are written: the v0 mangling (Rust RFC 2603) and the older one, which looks like C++.

Hashes and crate disambiguators are left out: they tell two versions of a crate apart, and nothing to a person.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["rust_legacy_name", "rust_name"]

_MOST_STEPS = 3000
_DEEPEST = 100
_LONGEST = 4096
_BASE62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEX = frozenset("0123456789abcdef")
_BASIC = {
    "a": "i8",
    "b": "bool",
    "c": "char",
    "d": "f64",
    "e": "str",
    "f": "f32",
    "h": "u8",
    "i": "isize",
    "j": "usize",
    "l": "i32",
    "m": "u32",
    "n": "i128",
    "o": "u128",
    "s": "i16",
    "t": "u16",
    "u": "()",
    "v": "...",
    "x": "i64",
    "y": "u64",
    "z": "!",
    "p": "_",
}
_ESCAPES = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}


def rust_legacy_name(mangled: str) -> str:
    """Return the name of the older mangling, without what follows a dot; ValueError when it is another one."""
    if not mangled.startswith("_ZN"):
        raise ValueError("no Rust name")
    parts, place = [], 3
    while mangled[place : place + 1].isdigit():
        end = place
        while mangled[end : end + 1].isdigit():
            end += 1
        length = int(mangled[place : min(end, place + 6)])
        place = end + length
        parts.append(mangled[end:place])
    if mangled[place : place + 1] != "E" or mangled[place + 1 : place + 2].strip(".") or len(parts) < 2 or not _is_hash(parts.pop()):
        raise ValueError("no Rust name")
    return "::".join(map(_unescaped, parts))


def _is_hash(part: str) -> bool:
    return len(part) == 17 and part[0] == "h" and _HEX.issuperset(part[1:])


def _unescaped(part: str) -> str:
    pieces = part.removeprefix("_" if part.startswith("_$") else "").replace("..", "::").split("$")
    for index in range(1, len(pieces) - 1, 2):
        piece = pieces[index]
        if piece in _ESCAPES:
            pieces[index] = _ESCAPES[piece]
        elif piece[:1] == "u" and _HEX.issuperset(piece[1:]) and 1 < len(piece) < 8 and int(piece[1:], 16) < 0xD800:
            pieces[index] = chr(int(piece[1:], 16))
        else:
            pieces[index] = f"${piece}$"
    return "".join(pieces)


def rust_name(mangled: str, nesting: int = 99) -> str:
    """Return the name of the v0 mangling; ValueError when it is not one. Generic arguments deeper than ``nesting`` are ``…``."""
    if not mangled.startswith("_R") or not mangled[2:3].isupper():
        raise ValueError("no Rust name")
    return _Reader(mangled[2:], nesting).path(value=True)


class _Reader:
    def __init__(self, text: str, nesting: int) -> None:
        self.text, self.nesting = text, nesting
        self.place = self.steps = self.depth = self.lifetimes = self.in_args = 0

    # Reading

    def peek(self) -> str:
        return self.text[self.place : self.place + 1]

    def take(self, letter: str) -> bool:
        found = self.peek() == letter
        self.place += found
        return found

    def next(self) -> str:
        found = self.peek()
        if not found:
            raise ValueError("the name was cut")
        self.place += 1
        return found

    def until(self, read: Callable[[], str]) -> list[str]:
        found: list[str] = []
        while not self.take("E"):
            found.append(read())
        return found

    def base62(self) -> int:
        value = 0
        if self.take("_"):
            return 0
        while not self.take("_"):
            value = value * 62 + _BASE62.index(self.next())
            if value >> 64:
                raise ValueError("no number")
        return value + 1

    def optional(self, letter: str) -> int:
        return self.base62() + 1 if self.take(letter) else 0

    def back(self, read: Callable[[], str]) -> str:
        """Read again what stands at an earlier place."""
        begin = self.place - 1
        target, after = self.base62(), self.place
        if target >= begin:
            raise ValueError("it refers to what comes later")
        self.place = target
        found = read()
        self.place = after
        return found

    def step(self, read: Callable[[], str]) -> str:
        self.steps += 1
        self.depth += 1
        if self.steps > _MOST_STEPS or self.depth > _DEEPEST:
            raise ValueError("the name is too deep")
        found = read()
        self.depth -= 1
        if len(found) > _LONGEST:
            raise ValueError("the name is too long")
        return found

    # Paths

    def identifier(self) -> tuple[str, int]:
        number = self.optional("s")
        puny = self.take("u")
        begin = self.place
        while self.peek().isdigit():
            self.place += 1
            if self.text[begin] == "0":
                break
        length = int(self.text[begin : min(self.place, begin + 6)])
        self.take("_")
        name = self.text[self.place : self.place + length]
        if len(name) < length:
            raise ValueError("the name was cut")
        self.place += length
        return (_from_punycode(name) if puny else name), number

    def path(self, *, value: bool = False) -> str:
        return self.step(lambda: self._path(value))

    def _path(self, value: bool) -> str:
        head = self.next()
        if head == "C":
            return self.identifier()[0]
        if head == "N":
            return self.nested(value)
        if head in "MX":
            self.optional("s")
            self.path()
        if head == "M":
            return f"<{self.type()}>"
        if head in "XY":
            return f"<{self.type()} as {self.path()}>"
        if head == "I":
            return self.path(value=value) + ("::" if value else "") + self.arguments()
        if head == "B":
            return self.back(lambda: self.path(value=value))
        raise ValueError("no path")

    def nested(self, value: bool) -> str:
        kind = self.next()
        scope = self.path(value=value)
        name, number = self.identifier()
        if kind.isupper():
            word = {"C": "closure", "S": "shim"}.get(kind, kind)
            return f"{scope}::{{{word}{':' if name else ''}{name}#{number}}}"
        if not kind.isalpha():
            raise ValueError("no namespace")
        return f"{scope}::{name}" if name else scope

    def arguments(self) -> str:
        self.in_args += 1
        found = self.until(self.argument)
        self.in_args -= 1
        return "<…>" if self.in_args >= self.nesting else f"<{', '.join(found)}>"

    def argument(self) -> str:
        if self.take("L"):
            return self.lifetime()
        return self.constant() if self.take("K") else self.type()

    def lifetime(self) -> str:
        index = self.base62()
        if not index:
            return "'_"
        depth = self.lifetimes - index
        if depth < 0:
            raise ValueError("no lifetime")
        return f"'{chr(ord('a') + depth)}" if depth < 26 else f"'_{depth}"

    # Types

    def type(self) -> str:
        return self.step(self._type)

    def _type(self) -> str:
        head = self.next()
        if head in _BASIC:
            return _BASIC[head]
        if head in "RQ":
            lifetime = self.lifetime() if self.take("L") else "'_"
            return f"&{'' if lifetime == chr(39) + '_' else lifetime + ' '}{'mut ' if head == 'Q' else ''}{self.type()}"
        if head in "PO":
            return f"*{'const' if head == 'P' else 'mut'} {self.type()}"
        if head == "A":
            return f"[{self.type()}; {self.constant()}]"
        if head == "S":
            return f"[{self.type()}]"
        if head == "T":
            found = self.until(self.type)
            return f"({', '.join(found)}{',' if len(found) == 1 else ''})"
        if head == "F":
            return self.bound(self.function)
        if head == "D":
            return self.object()
        if head == "B":
            return self.back(self.type)
        self.place -= 1
        return self.path()

    def bound(self, read: Callable[[], str]) -> str:
        count = self.optional("G")
        if count > 26:
            raise ValueError("too many lifetimes")
        names = [f"'{chr(ord('a') + self.lifetimes + index)}" for index in range(count)]
        self.lifetimes += count
        found = read()
        self.lifetimes -= count
        return (f"for<{', '.join(names)}> " if names else "") + found

    def function(self) -> str:
        words = "unsafe " if self.take("U") else ""
        if self.take("K"):
            words += f'extern "{"C" if self.take("C") else self.identifier()[0].replace("_", "-")}" '
        kinds = self.until(self.type)
        result = self.type()
        return f"{words}fn({', '.join(kinds)})" + ("" if result == "()" else f" -> {result}")

    def object(self) -> str:
        traits = self.bound(lambda: " + ".join(self.until(self.object_trait)))
        if not self.take("L"):
            raise ValueError("no lifetime")
        lifetime = self.lifetime()
        return f"dyn {traits}" + ("" if lifetime == "'_" else f" + {lifetime}")

    def object_trait(self) -> str:
        found = self.path()
        bindings = []
        while self.take("p"):
            bindings.append(f"{self.identifier()[0]} = {self.type()}")
        if not bindings:
            return found
        return (
            f"{found[:-1]}, {', '.join(bindings)}>"
            if found.endswith(">") and not found.startswith("<")
            else f"{found}<{', '.join(bindings)}>"
        )

    def constant(self) -> str:
        return self.step(self._constant)

    def _constant(self) -> str:
        kind = self.next()
        if kind == "B":
            return self.back(self.constant)
        if kind == "p":
            return "_"
        if kind not in "abchijlmnostxy":
            raise ValueError("no constant")
        sign = "-" if self.take("n") else ""
        digits = ""
        while not self.take("_"):
            digits += self.next()
        value = int(digits or "0", 16)
        if kind == "b":
            return "true" if value else "false"
        return repr(chr(value)) if kind == "c" else f"{sign}{value}"


def _from_punycode(name: str) -> str:
    """Decode what RFC 3492 encodes, with ``_`` in place of ``-``."""
    plain, _, code = name.rpartition("_")
    found, place, index, bias, first = list(plain), 128, 0, 72, True
    digits = iter(code)
    for letter in digits:
        before, weight, step = index, 1, 36
        while True:
            digit = "abcdefghijklmnopqrstuvwxyz0123456789".index(letter)
            index += digit * weight
            limit = min(max(step - bias, 1), 26)
            if digit < limit:
                break
            weight *= 36 - limit
            step += 36
            letter = next(digits, "")
            if not letter:
                raise ValueError("the name was cut")
        size = len(found) + 1
        bias = _adapted(index - before, size, first)
        first = False
        place += index // size
        index %= size
        found.insert(index, chr(place))
        index += 1
    return "".join(found)


def _adapted(delta: int, size: int, first: bool) -> int:
    delta = delta // 700 if first else delta // 2
    delta += delta // size
    bias = 0
    while delta > 455:
        delta //= 35
        bias += 36
    return bias + 36 * delta // (delta + 38)
