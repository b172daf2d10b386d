"""The expressions in mangled C++ names (Itanium C++ ABI, section 5.1.6)."""

from __future__ import annotations

from perflens.enrich.symbols.itanium_scan import Scanner, Type, simple
from perflens.enrich.symbols.itanium_words import CASTS, LITERAL_SUFFIXES, OF_EXPRESSIONS, OF_TYPES, OPERATORS

__all__ = ["Expressions"]


class Expressions(Scanner):
    """Reads expressions; names and types are the subclass's."""

    def encoding(self) -> str:
        """Read a function's name."""
        raise NotImplementedError

    def type(self) -> Type:
        """Read a type."""
        raise NotImplementedError

    def source_name(self) -> str:
        """Read a name of letters."""
        raise NotImplementedError

    def operator_name(self) -> str:
        """Read the name of an operator function."""
        raise NotImplementedError

    def template_args(self, name: str) -> str:
        """Read the arguments of the template ``name``."""
        raise NotImplementedError

    def template_param(self) -> Type:
        """Read what refers to a template's argument."""
        raise NotImplementedError

    def with_args(self, name: str) -> str:
        """Return ``name`` with the template arguments that may follow."""
        return name + (self.template_args(name) if self.peek() == "I" else "")

    def text_of_type(self) -> str:
        """Read a type that declares nothing."""
        return "".join(self.type())

    def literal(self) -> str:
        """Read a value, or a function that is one."""
        self.need("L")
        if self.take("_Z") or self.take("Z"):
            found = self.encoding()
            self.until(self.text_of_type)
            return found
        kind = self.text_of_type()
        end = self.text.index("E", self.place)
        value = self.next(end - self.place).replace("n", "-", 1)
        self.need("E")
        if kind == "bool" and value in ("0", "1"):
            return "true" if value == "1" else "false"
        return value + LITERAL_SUFFIXES[kind] if kind in LITERAL_SUFFIXES else f"({kind}){value}"

    def expression(self) -> str:
        """Read an expression."""
        return self.deeper(lambda: simple(self._expression()))[0]

    def _expression(self) -> str:
        head, word = self.peek(), self.peek(2)
        if head == "L":
            return self.literal()
        if head == "T":
            return "".join(self.template_param())
        if head.isdigit() or word == "on":
            self.take("on")
            return self.with_args(self.source_name() if self.peek().isdigit() else self.operator_name())
        self.place += 2
        if word in ("fp", "fL"):
            return f"{{parm#{self.sequence('0123456789') + 1}}}"
        if word in OF_TYPES:
            return f"{OF_TYPES[word]} ({self.text_of_type()})"
        if word in OF_EXPRESSIONS:
            return f"{OF_EXPRESSIONS[word]}({self.expression()})"
        if word in CASTS:
            return f"{CASTS[word]}<{self.text_of_type()}>({self.expression()})"
        if word in ("sr", "sp", "cl", "tl", "il", "cv"):
            return self._compound(word)
        return self._operation(word)

    def _compound(self, word: str) -> str:
        if word == "sr":
            scope = self.text_of_type()
            return f"{scope}::{self.with_args(self.source_name() if self.peek().isdigit() else self.operator_name())}"
        if word == "sp":
            return self.expression() + "..."
        if word == "cl":
            return f"{self.expression()}({', '.join(self.until(self.expression))})"
        kind = "" if word == "il" else self.text_of_type()
        if word == "cv":
            return f"({kind})({', '.join(self.until(self.expression)) if self.take('_') else self.expression()})"
        return f"{kind}{{{', '.join(self.until(self.expression))}}}"

    def _operation(self, word: str) -> str:
        text, count = OPERATORS.get(word, ("", 0))
        if count == 1:
            self.take("_")
            return f"{text}({self.expression()})"
        if count == 2:
            first, second = self.expression(), self.expression()
            if word == "ix":
                return f"{first}[{second}]"
            return f"{first}{text}{second}" if word in ("dt", "pt") else f"({first}){text}({second})"
        if count == 3:
            return f"({self.expression()})?({self.expression()}):({self.expression()})"
        raise ValueError("no expression")
