"""What a dynaml expression can be worth, and how one says that it has no worth (yet).

Functions see plain Python data: None, bool, int (64 bits), float, str, list and dict (keys are str), and the
two classes below, `Lambda` and `Template`. Lists and dicts that are arguments are read-only: one that is handed back
as it is, whole or as a part of the result, keeps what the engine knows about its entries (markers, tags, origin).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from tweed_shim.base.records import Record

if TYPE_CHECKING:
    from tweed_shim.spiff.environment import Environment
    from tweed_shim.spiff.nodes import Node

Value: TypeAlias = Any

_MAX_SHOWN_DEPTH = 8


class Fault(Exception):
    """An expression failed; `str()` is the reason in the reference's words, without expression and path.

    `nested` are the faults that led to it. `sequence`: they are causes of causes, not a list of problems.
    """

    def __init__(self, reason: str, *nested: Fault, sequence: bool = False, local: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.nested = nested
        self.sequence = sequence
        self.local = local

    def __str__(self) -> str:
        """The reason."""
        return self.reason


class Pending(Exception):
    """What an expression needs is not resolved yet. Functions let it pass through."""


class Parameter(Record):
    """A lambda's parameter. `default` is a one-element tuple with the value it has when it is left out, or empty."""

    name: str
    default: tuple[Value, ...] = ()


class Lambda(Record):
    """A lambda value; `str()` is its text as the reference prints it. `Call.apply` calls it."""

    parameters: tuple[Parameter, ...]
    variadic: bool
    expression: Any
    bound: dict[str, Node]
    scope: Environment

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __str__(self) -> str:
        """What is bound already, and the expression."""
        return self.described(0)

    def described(self, depth: int) -> str:
        """As `str()`, so many levels deep in another value."""
        bound = shorten(short(self.bound, hide_self=True, depth=depth)) if self.bound else ""
        return f"{bound}{self.expression}"


class Template(Record):
    """A template value; `original` is the node as it was written, `prepared` what is processed when it is used."""

    path: tuple[str, ...]
    prepared: Node
    original: Node
    scope: Environment

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __str__(self) -> str:
        """Its path and the beginning and end of what it holds."""
        return f"<template {'/'.join(self.path)}: {shorten(short(self.prepared.value))}>"


def type_name(value: Value) -> str:
    """The name that dynaml's `type()` gives to the kind of a value."""
    if value is None:
        return "nil"
    for kind, name in _TYPE_NAMES:
        if isinstance(value, kind):
            return name
    return ""


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"), (str, "string"), (int, "int"), (float, "float"), (list, "list"), (dict, "map"),
    (Template, "template"), (Lambda, "lambda"),
)  # fmt: skip


def truth(value: Value) -> bool:
    """Whether a value counts as true: nil, false, 0 and what is empty do not; 0.0 does."""
    return isinstance(value, float) or bool(value)


def float_text(number: float, plain: range = range(-4, 6)) -> str:
    """A float in its shortest form, as Go's `strconv.FormatFloat(f, 'g', -1, 64)` writes it.

    plain: the powers of ten that are written without an exponent.
    """
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    digits, exponent = f"{number:.17e}".split("e")
    for precision in range(17):
        text = f"{number:.{precision}e}"
        if float(text) == number:
            digits, exponent = text.split("e")
            break
    if int(exponent) in plain:
        return _positional(digits, int(exponent))
    return f"{digits}e{exponent}"


def _positional(digits: str, exponent: int) -> str:
    sign = "-" if digits.startswith("-") else ""
    digits = digits.lstrip("-").replace(".", "")
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    rest = digits[exponent + 1 :]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def simple_text(value: Value) -> str | None:
    """A string, an integer or a bool as text; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return None


def shorten(text: str) -> str:
    """At most 40 characters of a text for a message: its beginning and its end."""
    return text if len(text) <= 40 else f"{text[:17]} ... {text[-17:]}"


def short(value: Value, *, hide_self: bool = False, depth: int = 0) -> str:
    """A value in one line for messages; `hide_self` leaves out the entries named `_`; deep down it is only `...`."""
    value = getattr(value, "value", value)
    if depth > _MAX_SHOWN_DEPTH:
        return "..."
    if isinstance(value, list):
        return "[" + ", ".join([short(entry, hide_self=hide_self, depth=depth + 1) for entry in value]) + "]"
    if isinstance(value, dict):
        keys = [key for key in sorted(value) if key != "_" or not hide_self]
        entries = [f"{key}: {short(value[key], hide_self=hide_self, depth=depth + 1)}" for key in keys]
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return _short_scalar(value, depth)


def _short_scalar(value: Value, depth: int) -> str:
    if isinstance(value, Lambda):
        return value.described(depth + 1)
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return float_text(value) if isinstance(value, float) else str(value)
