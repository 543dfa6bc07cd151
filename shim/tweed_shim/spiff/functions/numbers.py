"""Numbers: rounding, functions of real numbers, and conversions between simple types."""

from __future__ import annotations

import math
from collections.abc import Callable

from tweed_shim.spiff.functions.arguments import (
    LARGEST,
    SMALLEST,
    parse_bool,
    parse_integer,
)
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.nodes import type_name
from tweed_shim.spiff.tree.values import Fault, Value, float_text, is_integer

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _bounded(number: float) -> int:
    """Return a float as an integer, without its fraction. Raises Fault outside of 64 bits."""
    if not math.isfinite(number) or not SMALLEST <= int(number) <= LARGEST:
        raise Fault(f"{float_text(number)} is no 64-bit integer")
    return int(number)


def _away_from_zero(number: float) -> float:
    """Round to the nearest integer; halves go away from zero."""
    whole = math.floor(abs(number))
    return math.copysign(whole + (abs(number) - whole >= 0.5), number)


def _rounding(name: str, rounded: Callable[[float], float]) -> None:
    def implementation(call: Call, number: Value) -> Value:
        if isinstance(number, float):
            return _bounded(rounded(number) if math.isfinite(number) else number)
        if isinstance(number, int):
            return int(number)
        raise Fault(f"invalid argument type for {call.name}: {type_name(number)}")

    function(name, 1, 1)(implementation)


def _real(name: str, compute: Callable[[float], float]) -> None:
    def implementation(call: Call, number: Value) -> Value:
        if name == "abs" and is_integer(number):
            return abs(number)
        if not is_integer(number) and not isinstance(number, float):
            raise Fault(f"invalid argument type for {call.name}: {type_name(number)}")
        try:
            result = compute(float(number))
        except ValueError:
            result = math.nan
        except OverflowError:
            result = math.inf
        if math.isnan(result):
            raise Fault(f"{call.name}: NaN")
        return result

    function(name, 1, 1)(implementation)


def _log(compute: Callable[[float], float]) -> Callable[[float], float]:
    return lambda number: -math.inf if number == 0 else compute(number)


for _name, _rounded in (
    ("floor", math.floor), ("ceil", math.ceil), ("round", _away_from_zero), ("roundtoeven", round),
):  # fmt: skip
    _rounding(_name, _rounded)
for _name, _compute in (
    ("abs", abs), ("sin", math.sin), ("cos", math.cos), ("sinh", math.sinh), ("cosh", math.cosh),
    ("asin", math.asin), ("acos", math.acos), ("asinh", math.asinh), ("acosh", math.acosh),
    ("sqrt", math.sqrt), ("exp", math.exp), ("log", _log(math.log)), ("log10", _log(math.log10)),
):  # fmt: skip
    _real(_name, _compute)


@function("string", 1, 2)
def string(call: Call, value: Value, base: Value = 10) -> Value:
    """Return a simple value as a string; an integer is written in the given base."""
    if is_integer(value):
        return _in_base(value, base)
    if base != 10:
        raise Fault("string requires one argument")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, str):
        return value
    raise Fault(f"cannot convert {type_name(value)} to string")


def _in_base(number: int, base: Value) -> str:
    if not is_integer(base):
        raise Fault("base argument for string requires integer value")
    if not 2 <= base <= 36:
        raise Fault("base argument for string requires integer value >=2 and <=36")
    digits, rest = "", abs(number)
    while rest or not digits:
        rest, digit = divmod(rest, base)
        digits = _DIGITS[digit] + digits
    return f"-{digits}" if number < 0 else digits


@function("integer", 1, 1)
def integer(call: Call, value: Value) -> Value:
    """Return a simple value as an integer."""
    if isinstance(value, str):
        number = parse_integer(value)
        if number is None:
            raise Fault(f'"{value}" is no integer value')
        return number
    if isinstance(value, float):
        return _bounded(value)
    if isinstance(value, int):
        return int(value)
    raise Fault(f"cannot convert {type_name(value)} to integer")


@function("float", 1, 1)
def float_(call: Call, value: Value) -> Value:
    """Return a simple value as a float."""
    if isinstance(value, str):
        number = _parse_float(value)
        if number is None:
            raise Fault(f'"{value}" is no float value')
        return number
    if isinstance(value, (int, float)):
        return float(value)
    raise Fault(f"cannot convert {type_name(value)} to float")


def _parse_float(text: str) -> float | None:
    if text != text.strip() or "_" in text or not text.isascii():
        return None
    try:
        return float.fromhex(text) if "0x" in text.lower() else float(text)
    except (ValueError, OverflowError):
        return None


@function("bool", 1, 1)
def bool_(call: Call, value: Value) -> Value:
    """Return a simple value as a bool; nil, "", 0 and 0.0 are false."""
    if isinstance(value, str) and value:
        found = parse_bool(value)
        if found is None:
            raise Fault(f'"{value}" is no bool value')
        return found
    if value is None or isinstance(value, (str, int, float)):
        return bool(value)
    raise Fault(f"cannot convert {type_name(value)} to bool")
