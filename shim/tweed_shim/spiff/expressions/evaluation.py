"""What the classes of expressions share: operands that are not known yet, constants, and literals as text.

An expression whose value is not known in this pass evaluates to an expression: itself, or one closer to the value.
"""

from __future__ import annotations

from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.outcomes import NOTHING, Info, Outcome
from tweed_shim.spiff.tree.nodes import Expression, Node
from tweed_shim.spiff.tree.values import Value, float_text


def resolve(
    expression: Evaluable, env: Environment, info: Info = NOTHING, *, locally: bool = False
) -> Outcome:
    """Evaluate an operand, and join what is found with `info`, which comes from the operands before it."""
    value, own_info = expression.evaluate(env, locally=locally)
    return value, own_info if info is NOTHING else info.joined(own_info)


def pending(value: Value) -> bool:
    """Return whether a value is not known yet."""
    return isinstance(value, Expression)


def pushed(expression: Evaluable, value: Value) -> Evaluable:
    """Return what an operand has become: the expression closer to its value, or the operand itself."""
    return value if isinstance(value, Evaluable) else expression


class Constant(Evaluable):
    """A value that is known already."""

    value: Value

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - a constant needs neither
        """Return the value."""
        return self.value, NOTHING

    def __str__(self) -> str:
        """Return the value as a literal."""
        return literal(self.value)


def literal(value: Value) -> str:
    """Return a value as the language writes it."""
    if isinstance(value, Node):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join([literal(entry) for entry in value])}]"
    if isinstance(value, dict):
        return "{" + ", ".join([f"{quoted(key)}={literal(value[key])}" for key in sorted(value)]) + "}"
    return "nil" if value is None else str(value)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def quoted(text: str) -> str:
    """Return a text as a literal that the parser reads."""
    return '"' + "".join([_ESCAPES.get(letter) or _visible(letter) for letter in text]) + '"'


def _visible(letter: str) -> str:
    return letter if letter >= " " and letter != "\x7f" else f"\\u{ord(letter):04x}"
