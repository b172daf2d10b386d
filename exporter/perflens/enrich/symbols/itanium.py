"""C++ names as they are written, without what they return and take (Itanium C++ ABI, section 5.1).

A frame needs the name alone, so the parameters of the function itself are never read, and what cannot be read in them does no harm.
"""

from __future__ import annotations

from perflens.enrich.symbols.itanium_expressions import Expressions
from perflens.enrich.symbols.itanium_scan import Type, simple
from perflens.enrich.symbols.itanium_words import ABBREVIATIONS, BUILTINS, LONG_BUILTINS, OPERATORS, SPECIAL

__all__ = ["cxx_name"]

_QUALIFIERS = {"r": " restrict", "V": " volatile", "K": " const"}


def cxx_name(mangled: str, nesting: int = 99) -> str:
    """Return the name; ValueError when it is not one. Template arguments deeper than ``nesting`` are written ``…``."""
    if not mangled.startswith("_Z"):
        raise ValueError("no C++ name")
    return _Reader(mangled[2:], nesting).encoding()


def _base(scope: str) -> str:
    """Return the last name of a scope without its template arguments, as constructors repeat it."""
    scope = scope.partition("[abi:")[0] if scope.endswith("]") else scope
    depth, end = 0, len(scope)
    for place in range(len(scope) - 1, -1, -1):
        letter = scope[place]
        if letter in ">)}" and scope[place - 1] != "-":
            depth += 1
        elif letter in "<({":
            depth -= 1
            if letter == "<" and not depth:
                end = place
        elif letter == ":" and not depth:
            return scope[place + 1 : end]
    return scope[:end]


class _Reader(Expressions):
    def encoding(self) -> str:
        word = self.peek(2)
        if word in SPECIAL:
            self.place += 2
            return SPECIAL[word] + (self.text_of_type() if word[0] == "T" and word[1] in "VTIS" else self.name())
        if word in ("Th", "Tv", "Tc"):
            return self.thunk()
        if word == "GT":
            self.place += 3
            return "transaction clone for " + self.encoding()
        return self.name()

    def thunk(self) -> str:
        self.need("T")
        kind = self.peek()
        covariant = self.take("c")
        for _ in range(2 if covariant else 1):
            for _ in range(2 if self.next() == "v" else 1):
                self.take("n")
                self.number()
                self.need("_")
        return {"h": "non-virtual thunk to ", "v": "virtual thunk to ", "c": "covariant return thunk to "}[kind] + self.encoding()

    def name(self) -> str:
        return self.deeper(lambda: simple(self._name()))[0]

    def _name(self) -> str:
        head = self.peek()
        if head == "N":
            found = self.nested()
        elif head == "Z":
            found = self.local()
        elif head == "S" and self.peek(2) != "St":
            found = "".join(self.substitution())
        else:
            scope = "std::" if self.take("St") else ""
            found = scope + self.unqualified("")
            if self.peek() == "I":
                self.remember(simple(found))
        return self.with_args(found)

    def nested(self) -> str:
        self.need("N")
        while self.peek() in tuple("rVK") or (self.peek() in tuple("RO") and self.peek(2)[1:]):
            self.place += 1
        self.take("H")
        scope = ""
        while not self.take("E"):
            head, known = self.peek(), False
            if head == "S" and self.peek(2) != "St":
                scope, known = "".join(self.substitution()), True
            elif self.take("St"):
                scope, known = "std", True
            elif head == "T":
                scope = "".join(self.template_param())
            elif head == "I":
                scope += self.template_args(scope)
            elif self.peek(2) in ("Dt", "DT"):
                scope = "".join(self.decltype())
            elif self.take("M"):
                continue
            else:
                scope += ("::" if scope else "") + self.unqualified(scope)
            if self.peek() != "E" and not known:
                self.remember(simple(scope))
        if not scope:
            raise ValueError("no name")
        return scope

    def local(self) -> str:
        self.need("Z")
        outer_type, self.in_type = self.in_type, 0
        scope = self.encoding()
        self.until(self.text_of_type)
        self.in_type = outer_type
        if self.take("s"):
            self.discriminator()
            return f"{scope}::string literal"
        if self.take("d"):  # in a default argument
            if self.peek() != "_":
                self.number()
            self.need("_")
        name = self.name()
        self.discriminator()
        return f"{scope}::{name}"

    def discriminator(self) -> None:
        if self.take("__"):
            self.number()
            self.need("_")
        elif self.peek() == "_" and self.peek(2)[1:].isdigit():
            self.place += 2

    def unqualified(self, scope: str) -> str:
        while self.take("F"):  # a friend, named where it was declared
            pass
        internal = self.take("L")
        head, word = self.peek(), self.peek(2)
        if head.isdigit():
            found = self.source_name()
            if internal:
                self.discriminator()
        elif head == "C" and scope:
            self.place += 2
            if word == "CI":
                self.place += 1
                self.type()
            found = _base(scope)
        elif head == "D" and word[1:].isdigit():
            self.place += 2
            found = "~" + _base(scope)
        elif self.take("DC"):
            found = "[" + ", ".join(self.until(self.source_name)) + "]"
        elif self.take("Ut"):
            found = f"{{unnamed type#{self.sequence('0123456789') + 1}}}"
        elif self.take("Ul"):
            found = self.lambda_name()
        else:
            found = self.operator_name()
        while self.take("B"):
            found += f"[abi:{self.source_name()}]"
        return found

    def lambda_name(self) -> str:
        outer, self.args = self.args, []
        kinds = self.until(self.text_of_type)
        self.args = outer
        return f"{{lambda({', '.join(kind for kind in kinds if kind != 'void')})#{self.sequence('0123456789') + 1}}}"

    def source_name(self) -> str:
        found = self.next(self.number())
        return "(anonymous namespace)" if found.startswith("_GLOBAL_") and found[8:10] in ("_N", ".N", "$N") else found

    def operator_name(self) -> str:
        word = self.next(2)
        if word == "cv":
            return "operator " + self.text_of_type()
        if word == "li":
            return 'operator"" ' + self.source_name()
        if word not in OPERATORS:
            raise ValueError("no operator")
        text = OPERATORS[word][0]
        return f"operator{' ' if text[0].isalpha() else ''}{text}"

    def template_args(self, name: str) -> str:
        self.need("I")
        self.in_args += 1
        found = self.until(self.template_arg)
        self.in_args -= 1
        if not self.in_type:
            self.args = found
        if self.in_args >= self.nesting:
            return "<…>"
        return f"{' ' if name.endswith('<') else ''}<{', '.join(arg for arg in found if arg)}>"

    def template_arg(self) -> str:
        self.in_type += 1
        head = self.peek()
        if head == "L":
            found = self.literal()
        elif self.take("X"):
            found = self.expression()
            self.need("E")
        elif self.take("J"):
            found = ", ".join(self.until(self.template_arg))
        else:
            found = self.text_of_type()
        self.in_type -= 1
        return found

    def template_param(self) -> Type:
        self.need("T")
        if self.take("L"):
            self.number()
            self.need("_")
        index = self.sequence("0123456789")
        return simple(self.args[index] if index < len(self.args) else "auto")

    def substitution(self) -> Type:
        self.need("S")
        if self.peek() in ABBREVIATIONS:
            return simple(ABBREVIATIONS[self.next()])
        return self.seen[self.sequence("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")]

    def type(self) -> Type:
        self.in_type += 1
        found = self.deeper(self._type)
        self.in_type -= 1
        return found

    def _type(self) -> Type:
        head, word = self.peek(), self.peek(2)
        if head in BUILTINS:
            self.place += 1
            return simple(BUILTINS[head])
        if word in LONG_BUILTINS:
            self.place += 2
            return simple(LONG_BUILTINS[word])
        if word == "DF":
            self.place += 2
            bits = self.number()
            self.next()
            return simple(f"_Float{bits}")
        if head == "S" and word != "St":
            found = self.substitution()
            return self.remember(simple(found[0] + self.template_args(found[0]))) if self.peek() == "I" else found
        return self.remember(self.compound(head, word))

    def compound(self, head: str, word: str) -> Type:
        if head in _QUALIFIERS:
            return self.qualified()
        if head in ("P", "R", "O"):
            self.place += 1
            return _pointer(self.type(), {"P": "*", "R": "&", "O": "&&"}[head])
        if head == "F" or word in ("Do", "Dx") or (word in ("DO", "Dw")):
            return self.function()
        if head == "A":
            return self.array()
        if head == "M":
            return self.member()
        if head == "T" and not word[1:].isalpha():
            found = self.template_param()
            if self.peek() == "I":
                self.remember(found)
                return simple(found[0] + self.template_args(found[0]))
            return found
        if word in ("Dt", "DT"):
            return self.decltype()
        if self.take("Dp"):
            return self.type()
        if self.take("Dv"):
            size = self.number()
            self.need("_")
            return simple(f"{self.text_of_type()} __vector({size})")
        if self.take("C"):
            return simple(self.text_of_type() + " _Complex")
        if self.take("U"):
            name = self.with_args(self.source_name())
            return simple(f"{self.text_of_type()} {name}")
        if self.take("u"):
            return simple(self.with_args(self.source_name()))
        if word in ("Ts", "Tu", "Te"):
            self.place += 2
        return simple(self.name())

    def qualified(self) -> Type:
        words = ""
        while self.peek() in _QUALIFIERS:
            words = _QUALIFIERS[self.next()] + words
        left, right = self.type()
        return (left, right + words) if right.startswith("(") else (left + words, right)

    def function(self) -> Type:
        while self.peek() == "D":
            if self.next(2) == "DO":
                self.expression()
                self.need("E")
        self.need("F")
        self.take("Y")
        left, right = self.type()
        kinds: list[str] = []
        reference = ""
        while not self.take("E"):
            if self.peek(2) in ("RE", "OE"):
                reference = " &" if self.next() == "R" else " &&"
                continue
            kinds.append(self.text_of_type())
        return left + ("" if left.endswith(" ") else " "), f"({', '.join(k for k in kinds if k != 'void')}){reference}{right}"

    def array(self) -> Type:
        self.need("A")
        size = "" if self.peek() == "_" else str(self.number()) if self.peek().isdigit() else self.expression()
        self.need("_")
        left, right = self.type()
        return left, f" [{size}]{right.lstrip()}"

    def member(self) -> Type:
        self.need("M")
        scope = self.text_of_type()
        left, right = self.type()
        return (f"{left}({scope}::*", f"){right}") if right.startswith("(") else (f"{left} {scope}::*", right)

    def decltype(self) -> Type:
        self.next(2)
        found = self.expression()
        self.need("E")
        return simple(f"decltype ({found})")


def _pointer(to: Type, sign: str) -> Type:
    left, right = to
    if right.startswith(("(", " [")):
        return f"{left}{'' if left.endswith(' ') else ' '}({sign}", f"){right}"
    if sign.startswith("&") and left.endswith("&") and not right:  # references to references collapse
        return (left, "") if sign == "&&" or not left.endswith("&&") else (left[:-1], "")
    return left + sign, right
