"""The scanner: reads the text of an expression from left to right."""

from __future__ import annotations

import json
import re

from tweed_shim.spiff.expressions.environment import Evaluable
from tweed_shim.spiff.expressions.evaluation import Constant
from tweed_shim.spiff.expressions.terms import Expansion
from tweed_shim.spiff.syntax import tokens
from tweed_shim.spiff.tree.nodes import Path

MAX_DEPTH = 200
"""The most levels of expressions within each other."""

MAX_LINKS = 2_000
"""The most operators, calls and other qualifiers in a row; the parts of a concatenation do not count.

Each makes the expression a level deeper, and some work, such as comparing expressions, needs C stack for each level."""


class Scanner:
    """Reads a text. `position` is the next character, `depth` how many expressions are open."""

    def __init__(self, text: str, path: Path, stub_path: Path) -> None:
        self.text = text
        self.path = path
        self.stub_path = stub_path
        self.position = 0
        self.depth = 0
        # How many operators and qualifiers stand on top of each other.
        self.links = 0
        # Groups by their positions, each with its end. They were read to find out that they are no scope; without this,
        # nested groups would be read twice at each level.
        self.groups: dict[int, tuple[Evaluable, int]] = {}

    def space(self) -> bool:
        """Skip white space; return whether there was any."""
        begin = self.position
        match = tokens.SPACE.match(self.text, begin)
        self.position = match.end() if match else begin
        return self.position > begin

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Take what a pattern matches here; return the match or None."""
        match = pattern.match(self.text, self.position)
        if match:
            self.position = match.end()
        return match

    def take(self, token: str) -> bool:
        """Take a token if it is here; return whether it was."""
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def require(self, token: str) -> None:
        """Take a token that has to be here. Raises SyntaxFault."""
        if not self.take(token):
            raise self.fault(f"'{token}' expected")

    def peek(self, token: str) -> bool:
        """Return whether a token is here."""
        return self.text.startswith(token, self.position)

    def fault(self, expected: str) -> tokens.SyntaxFault:
        """Return the fault that something else is expected here."""
        return tokens.fault(self.text, self.position, expected)

    # --- bounds

    def deeper(self) -> None:
        """Count one more expression inside of others. Raises SyntaxFault above MAX_DEPTH."""
        if self.depth >= MAX_DEPTH:
            raise self.fault(f"the expression is nested more than {MAX_DEPTH} levels deep")
        self.depth += 1

    def linked(self) -> None:
        """Count one more operator or qualifier. Raises SyntaxFault above MAX_LINKS."""
        self.links += 1
        if self.links > MAX_LINKS:
            raise self.fault(f"the expression has more than {MAX_LINKS:,} operators")

    # --- literals

    def number(self, text: str) -> int | float:
        """Return the number that a text is; one with a point or an exponent is a float."""
        digits = text.replace("_", "")
        if set(digits) & set(".eE"):
            number = float(digits)
            if number in (float("inf"), float("-inf")):
                raise self.fault(f"the number {text} is too large")
            return number
        if len(digits) > 20 or not -(1 << 63) <= int(digits) < 1 << 63:
            raise self.fault(f"the number {text} is too large")
        return int(digits)

    def string(self) -> Evaluable:
        """Read `"text"` with the escapes of JSON."""
        begin = self.position
        match = self.match(tokens.STRING)
        if not match:
            raise self.fault("the string is not closed")
        try:
            text: str = json.loads(match[0])
        except ValueError:
            self.position = begin
            raise self.fault("the string has an escape or a character that JSON does not allow") from None
        # Lone surrogates are replaced: no document could hold them.
        return Constant(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    # --- implemented by the parser

    def expression(self) -> Evaluable:
        """Read any expression, and the white space behind it."""
        raise NotImplementedError

    def nested(self) -> Evaluable:
        """Read an expression without a scope or lambda of its own."""
        raise NotImplementedError

    def expanded(self, expression: Evaluable) -> Evaluable:
        """Read `...` behind an expression, if it is there."""
        if not self.take("..."):
            return expression
        self.space()
        return Expansion(expression)
