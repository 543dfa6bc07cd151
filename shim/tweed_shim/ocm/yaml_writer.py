"""YAML as the reference implementation of OCM writes it, byte for byte.

Every store has the digest of a component descriptor, so two tools agree only if they write the same bytes. The
reference uses Go's YAML library, version 2: block style, an indentation of two with lists at the level of their key,
keys in a natural order (`a2` before `a10`), lines folded beyond column 80, and quotes where a plain scalar would not
be text, mostly by the rules of YAML 1.1. There is one exception: text with the line separators of Unicode is quoted,
because that library writes it broken.
"""

import functools
import re
import unicodedata
from typing import Any

from tweed_shim.ocm import number_format

_FOLD_AFTER = 80
_LONGEST_SIMPLE_KEY = 128  # bytes

_WORD = re.compile(
    "[yYnN~]|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|null|Null|NULL"
    r"|\.nan|\.NaN|\.NAN|[-+]?(?:\.inf|\.Inf|\.INF)"
)
_INTEGER = re.compile("[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_OCTAL = re.compile("[-+]?0[0-7]+")
_LONGEST_INTEGER = 100
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:[Tt]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?(?:Z|[-+]([0-9]{2}):([0-9]{2}))"
    r"| ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?)?"
)
_MONTH_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# All characters that are escaped, not those that are printed: as a complement this compiles ten times as fast.
_SPECIAL = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff\U00010000-\U0010ffff]"
)
_ESCAPED = re.compile('["\\\\\n]|' + _SPECIAL.pattern)
_ESCAPES = {
    "\0": "0", "\x07": "a", "\x08": "b", "\t": "t", "\n": "n", "\x0b": "v", "\x0c": "f", "\r": "r",
    "\x1b": "e", '"': '"', "\\": "\\", "\x85": "N", "\u2028": "L", "\u2029": "P",
}  # fmt: skip
_INDICATORS = re.compile("[#,\\[\\]{}&*!|>'\"%@`]|[?-](?: |\\Z)|---|\\.\\.\\.|.*?(?::(?: |\\Z)| #)")


def dump(value: dict[str, Any]) -> bytes:
    """Return a map as a YAML document; it holds what JSON can hold, and its keys are text."""
    return "".join(f"{line}\n" for line in _lines(value, 0)).encode()


def _lines(value: Any, indent: int) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key in sorted(value, key=_ORDER) for line in _entry(key, value[key], indent)]
    if isinstance(value, list | tuple) and value:
        return [line for item in value for line in _item("-", item, indent)]
    return _scalar(value, " " * indent, indent)


def _entry(key: str, value: Any, indent: int) -> list[str]:
    if "\n" in key or len(key.encode()) > _LONGEST_SIMPLE_KEY:
        return [*_item("?", key, indent), *_item(":", value, indent)]
    head = f"{' ' * indent}{_quoted(key)}:"
    if isinstance(value, dict | list | tuple) and value:
        return [head, *_lines(value, indent + 2 if isinstance(value, dict) else indent)]
    return _scalar(value, f"{head} ", indent + 2)


def _item(indicator: str, value: Any, indent: int) -> list[str]:
    """Return the lines of a value that begins on the line of its indicator."""
    first, *rest = _lines(value, indent + 2)
    return [f"{' ' * indent}{indicator} {first[indent + 2 :]}", *rest]


def _scalar(value: Any, head: str, indent: int) -> list[str]:
    """Return the lines of a scalar or an empty collection; `head` precedes it on its first line."""
    if isinstance(value, str):
        return _text(value, head, indent)
    if isinstance(value, bool):
        return [head + ("true" if value else "false")]
    if isinstance(value, int | float):
        return [head + number_format.yaml_text(value)]
    return [head + ("null" if value is None else "{}" if isinstance(value, dict) else "[]")]


def _text(text: str, head: str, indent: int) -> list[str]:
    if "\n" in text and not (_SPECIAL.search(text) or " \n" in text or text.endswith(" ")):
        return _literal(text, head, indent)
    written = _quoted(text)
    return [
        line if number else head + line for number, line in enumerate(_folded(written, len(head), indent))
    ]


def _literal(text: str, head: str, indent: int) -> list[str]:
    begin = "2" if text[0] in " \n" else ""
    keep = text.endswith("\n\n") or text == "\n"
    end = "+" if keep else "" if text.endswith("\n") else "-"
    lines = text.removesuffix("\n").split("\n")
    return [f"{head}|{begin}{end}", *(" " * indent + line if line else "" for line in lines)]


def _quoted(text: str) -> str:
    if "\n" in text or _SPECIAL.search(text) or not _is_text(text):
        return f'"{_ESCAPED.sub(_escape, text)}"'
    if text[0] == " " or text[-1] == " " or _INDICATORS.match(text):
        return "'" + text.replace("'", "''") + "'"
    return text


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in _ESCAPES:
        return "\\" + _ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _folded(written: str, column: int, indent: int) -> list[str]:
    """Fold a scalar at single spaces beyond the last column; a quoted one not next to its quotes."""
    quote = written[0] if written[0] in "\"'" else ""
    first, last = (2, len(written) - 2) if quote else (1, len(written))
    lines, head, start = [], "", 0
    for at in range(first, last):
        if written[at] != " " or written[at - 1] == " " or column + at - start <= _FOLD_AFTER:
            continue
        if written[at + 1] == " " and quote != '"':
            continue
        lines.append(head + written[start:at])
        # A space at the beginning of a line would be taken for indentation.
        head = " " * indent + ("\\" if written[at + 1] == " " else "")
        start, column = at + 1, len(head)
    return [*lines, head + written[start:]]


def _is_text(text: str) -> bool:
    """Whether a plain scalar is text to Go's library, and no number in base 60 of YAML 1.1."""
    if not text or _WORD.fullmatch(text):
        return False
    if text[0] not in "+-.0123456789":
        return True
    return not (_BASE_60.fullmatch(text) or _is_time(text) or _is_number(text))


def _is_number(text: str) -> bool:
    if text[0] == ".":
        return _is_float(text)
    plain = text.replace("_", "")
    if len(plain) <= _LONGEST_INTEGER and _INTEGER.fullmatch(plain):
        number = int(plain, 8 if _OCTAL.fullmatch(plain) else 0)
        if -(1 << 63) <= number < 1 << (63 if plain[0] == "+" else 64):
            return True
    return _is_float(plain)


def _is_float(text: str) -> bool:
    return _FLOAT.fullmatch(text) is not None and abs(float(text)) != float("inf")


def _is_time(text: str) -> bool:
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    year, month, day = (int(part) for part in match.group(1, 2, 3))
    clock = [int(part) for part in match.group(4, 5, 6, 7, 8, 9, 10, 11) if part is not None]
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (
        1 <= month <= 12
        and 1 <= day <= _MONTH_LENGTHS[month - 1] - (month == 2 and not leap)
        and all(part < limit for part, limit in zip(clock, (24, 60, 60, 25, 61), strict=False))
    )


def _compare(left: str, right: str) -> int:
    """Compare two keys: letters after everything else, runs of digits by their number."""
    for at, (a, b) in enumerate(zip(left, right, strict=False)):
        if a == b:
            continue
        if a.isalpha() or b.isalpha():
            return _sign(a, b) if a.isalpha() and b.isalpha() else -1 if b.isalpha() else 1
        return _compare_digits(left, right, at)
    return len(left) - len(right)


def _compare_digits(left: str, right: str, at: int) -> int:
    # A zero after another digit belongs to the number before it, and is no leading zero.
    inside = "0" in (left[at], right[at]) and re.search("[1-9][0-9]*$", left[:at]) is not None
    (a, a_length), (b, b_length) = (_number(text, at, inside=inside) for text in (left, right))
    if a != b:
        return -1 if a < b else 1
    return a_length - b_length or _sign(left[at], right[at])


def _number(text: str, at: int, *, inside: bool) -> tuple[int, int]:
    """Return the number at a position, and its length."""
    end = at
    while end < len(text) and unicodedata.category(text[end]) == "Nd":
        end += 1
    number = int(inside)
    for character in text[at:end]:
        number = number * 10 + ord(character) - ord("0")
    return number, end - at


def _sign(a: str, b: str) -> int:
    return -1 if a < b else 1


_ORDER = functools.cmp_to_key(_compare)
