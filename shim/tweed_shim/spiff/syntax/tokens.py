"""The tokens of the language, as regular expressions, and the fault for text that is none."""

from __future__ import annotations

import re

from tweed_shim.spiff.tree.values import Fault

SPACE = re.compile(r"[ \t\n\r]*")
NAME = re.compile(r"[A-Za-z0-9_]+")

_KEY = r"[A-Za-z0-9_][A-Za-z0-9_\-]*(?::[A-Za-z0-9_][A-Za-z0-9_\-]*)?"
_TAG = r"(?:doc[.:]-?[0-9]+|[A-Za-z_][A-Za-z0-9_]*(?:[.:][A-Za-z_][A-Za-z0-9_]*)*)"
_FOLLOWING = rf"(?:\.{_KEY}|\.?\[-?[0-9]+\])"

REFERENCE = re.compile(
    rf"(?:(?P<tag>{_TAG})::\.?)?(?P<path>(?:(?<=::\.)|(?<=::)|\.?){_KEY}{_FOLLOWING}*|(?<=::\.){_FOLLOWING}*)"
)
FOLLOWING = re.compile(rf"{_FOLLOWING}+")
NUMBER = re.compile(r"-?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE]-?[0-9]+)?(?!::)")
IP = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
STRING = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
WORD = re.compile(r"(?:true|false|nil|merge|auto)(?![A-Za-z0-9_\-:.\[(])")
OPERATOR = re.compile(r"(?:-or|-and|==|!=|<=|>=|>|<|\+|-|\*|/|%)(?=[ \t\n\r])")
OR = re.compile(r"(?:\|\||//)(?=[ \t\n\r])")
MARKER = re.compile(
    r"&(?:template|temporary|local|inject|state|default|dynamic|tag:\*?[A-Za-z_][A-Za-z0-9_]*(?:[.:][A-Za-z_][A-Za-z0-9_]*)*)"
)
PREFER = re.compile(r"prefer[ \t\n\r]+")
LAMBDA = re.compile(r"lambda(?=[ \t\n\r|])")
MAPPING = re.compile(r"(?:map|filter|select)[\[{]|(?:sum|catch|sync)\[")
NAMED_ARGUMENT = re.compile(r"[ \t\n\r]*([A-Za-z0-9_]+)[ \t\n\r]*=(?!=)[ \t\n\r]*")
PROJECTION = re.compile(r"\.?\[\*\]")
INDICES = re.compile(r"\.?\[")
OPERAND = re.compile(r'[A-Za-z0-9_"~$!*(\[{]|-[0-9]|\.(?!\.)')

# Operators of one level are evaluated from left to right; those of a higher level first.
LEVELS = {
    "-or": 1, "-and": 1,
    "==": 2, "!=": 2, "<=": 2, ">=": 2, ">": 2, "<": 2,
    "+": 3, "-": 3,
    "*": 4, "/": 4, "%": 4,
}  # fmt: skip


class SyntaxFault(Fault):
    """An expression cannot be parsed."""


def fault(text: str, position: int, expected: str) -> SyntaxFault:
    """Return a fault at a position: line, column, and the line itself above a caret."""
    line = text.count("\n", 0, position) + 1
    begin = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    shown = text[begin : end if end >= 0 else len(text)]
    column = position - begin
    # Of a long line only the part around the position is shown.
    cut = max(column - 60, 0)
    shown = shown[cut : cut + 120]
    return SyntaxFault(
        f"parse error in line {line}, column {column + 1}: {expected}\n\t{shown}\n\t{' ' * (column - cut)}^"
    )
