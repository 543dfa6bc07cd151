"""`format` and `error`: text made as Go's fmt.Sprintf makes it (https://pkg.go.dev/fmt)."""

from __future__ import annotations

import re
from collections.abc import Callable

from tweed_shim.letters import decimal
from tweed_shim.spiff.functions.arguments import bound
from tweed_shim.spiff.functions.encodings import to_bytes
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.output import to_yaml
from tweed_shim.spiff.values import Fault, Lambda, Template, Value, float_text, type_name

_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>(?:\[\d+\])?\*|\d+)?(?:\.(?P<precision>(?:\[\d+\])?\*|\d*))?"
    r"(?:\[(?P<index>\d+)\])?(?P<verb>.)?",
    re.DOTALL | re.ASCII,
)
_KINDS = {"int": "int64", "float": "float64", "nil": "<nil>"}
_WIDEST = 10_000


@function("format", 1)
def format_(call: Call, *arguments: Value) -> Value:
    """The arguments in the format that is the first of them."""
    first, *rest = [_printable(argument) for argument in arguments]
    if not isinstance(first, str):
        raise Fault(f"{call.name}: format must be string")
    longest = max([len(argument) for argument in rest if isinstance(argument, str)], default=0)
    bound(call, len(first) + first.count("%") * longest)
    return sprintf(first, rest)


@function("error", 1)
def error(call: Call, *arguments: Value) -> Value:
    """Fail, with the formatted text as the reason."""
    raise Fault(str(format_(call, *arguments)))


def _printable(value: Value) -> Value:
    if isinstance(value, (list, dict, Template)):
        return to_yaml(value)
    return str(value) if isinstance(value, Lambda) else value


def sprintf(template: str, arguments: list[Value]) -> str:
    """The template with its verbs replaced; what does not fit is told in the result, as Go does."""
    return _Printer(template, arguments).text()


class _Printer:
    """The arguments, and which of them is next."""

    def __init__(self, template: str, arguments: list[Value]) -> None:
        self.template = template
        self.arguments = arguments
        self.next = 0
        self.reordered = False

    def text(self) -> str:
        """The whole text; arguments that no verb asked for are told at its end."""
        text = _VERB.sub(self._verb, self.template)
        if self.reordered or self.next >= len(self.arguments):
            return text
        extra = [_named(argument) for argument in self.arguments[self.next :]]
        return f"{text}%!(EXTRA {', '.join(extra)})"

    def _verb(self, match: re.Match[str]) -> str:
        verb, flags = match["verb"], match["flags"]
        if verb is None:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        width, precision = self._number(match["width"]), self._number(match["precision"])
        if match["index"]:
            self.next, self.reordered = _count(match["index"]) - 1, True
        if not 0 <= self.next < len(self.arguments):
            return f"%!{verb}({'BADINDEX' if match['index'] else 'MISSING'})"
        value = self.arguments[self.next]
        self.next += 1
        if width is not None and width < 0:
            flags, width = f"{flags}-", -width
        return _padded(_converted(verb, value, flags, precision), flags, width, value)

    def _number(self, written: str | None) -> int | None:
        if written is None or not written.endswith("*"):
            return None if written is None else _count(written)
        if len(written) > 1:
            self.next, self.reordered = _count(written[1:-2]) - 1, True
        value = self.arguments[self.next] if 0 <= self.next < len(self.arguments) else None
        self.next += 1
        return value if isinstance(value, int) and abs(value) <= _WIDEST else None


def _count(digits: str) -> int:
    """Return a number of a verb, bounded."""
    number = decimal(digits or "0")
    return _WIDEST if number is None else min(number, _WIDEST)


def _named(value: Value) -> str:
    kind = _KINDS.get(type_name(value), type_name(value))
    return kind if value is None else f"{kind}={shown(value)}"


def shown(value: Value) -> str:
    """A simple value as `%v` shows it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return float_text(value) if isinstance(value, float) else str(value)


def _padded(text: str, flags: str, width: int | None, value: Value) -> str:
    if width is None or len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and not text.startswith("%!") and not isinstance(value, bool):
        sign = text[: text[:1] in ("+", "-", " ")]
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _converted(verb: str, value: Value, flags: str, precision: int | None) -> str:
    if verb == "T":
        return _KINDS.get(type_name(value), type_name(value))
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            text = convert(verb, value, flags, precision)
            if text is not None:
                return text
            break
    if value is None and verb == "v":
        return "<nil>"
    return f"%!{verb}(<nil>)" if value is None else f"%!{verb}({_named(value)})"


def _bool(verb: str, value: Value, flags: str, precision: int | None) -> str | None:
    return shown(value) if verb in "vt" else None


def _signed(text: str, flags: str) -> str:
    if text.startswith("-"):
        return text
    return f"+{text}" if "+" in flags else f" {text}" if " " in flags else text


_BASES = {
    "b": ("b", "0b"),
    "o": ("o", "0"),
    "O": ("o", ""),
    "x": ("x", "0x"),
    "X": ("X", "0X"),
    "d": ("d", ""),
    "v": ("d", ""),
}


def _integer(verb: str, value: Value, flags: str, precision: int | None) -> str | None:
    if verb in _BASES:
        base, prefix = _BASES[verb]
        digits = f"{abs(value):{base}}".rjust(precision or 0, "0")
        prefix = "0o" if verb == "O" else prefix if "#" in flags else ""
        return _signed(f"{'-' if value < 0 else ''}{prefix}{digits}", flags)
    if verb in "cqU":
        point = value if 0 <= value <= 0x10FFFF else 0xFFFD
        return {"c": chr(point), "q": f"'{chr(point)}'", "U": f"U+{point:04X}"}[verb]
    return None


def _float(verb: str, value: Value, flags: str, precision: int | None) -> str | None:
    if verb in "vg" and precision is None:
        return _signed(float_text(value), flags)
    if verb == "G" and precision is None:
        return _signed(float_text(value).upper(), flags)
    if verb in "eEfFgGv":
        kind = "g" if verb == "v" else verb
        return _signed(
            f"{value:{'#' if '#' in flags else ''}.{6 if precision is None else precision}{kind}}", flags
        )
    return None


def quoted(text: str) -> str:
    """A text in double quotes, as Go's strconv.Quote writes it."""
    written = []
    for character in text:
        if character in _ESCAPES:
            written.append(_ESCAPES[character])
        elif character.isprintable():
            written.append(character)
        elif ord(character) < 0x80:
            written.append(f"\\x{ord(character):02x}")
        elif 0xDC80 <= ord(character) <= 0xDCFF:
            written.append(f"\\x{ord(character) - 0xDC00:02x}")
        else:
            code = ord(character)
            written.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(written) + '"'


_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _string(verb: str, value: Value, flags: str, precision: int | None) -> str | None:
    text = value if precision is None else value[:precision]
    if verb in "vs":
        return str(text)
    if verb == "q":
        return f"`{text}`" if "#" in flags and "`" not in text else quoted(text)
    if verb in "xX":
        digits = to_bytes(text).hex(" " if " " in flags else "", 1) if " " in flags else to_bytes(text).hex()
        return digits.upper() if verb == "X" else digits
    return None


_CONVERSIONS: tuple[tuple[type, Callable[[str, Value, str, int | None], str | None]], ...] = (
    (bool, _bool),
    (int, _integer),
    (float, _float),
    (str, _string),
)
