"""Arithmetic: of numbers, and of IP addresses and CIDRs."""

from __future__ import annotations

from tweed_shim.spiff.expressions import addresses
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending
from tweed_shim.spiff.expressions.operators import Binary
from tweed_shim.spiff.expressions.outcomes import NOTHING, Failure, Info, Outcome
from tweed_shim.spiff.expressions.terms import integer_operand
from tweed_shim.spiff.tree.values import Value, is_integer


class Arithmetic(Binary):
    """`a + b` and its like, of numbers, IP addresses and CIDRs."""

    def apply(self, left: Value, right: Value, info: Info, env: Environment) -> Value:  # noqa: ARG002 - see Binary
        """Return a number, an address or a CIDR."""
        if isinstance(left, str):
            return addresses.OPERATIONS[self.operator](left, right)
        if not (_is_number(left) and _is_number(right)):
            raise Failure(_NO_NUMBERS[self.operator])
        if isinstance(left, float) or isinstance(right, float):
            return _floats(self.operator, float(left), float(right))
        return bounded(_integers(self.operator, left, right))

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.left} {self.operator} {self.right}"


_NO_NUMBERS = {
    "+": "non-IP address addition requires number arguments",
    "-": "non-IP address subtration requires number arguments",
    "*": "non-CIDR multiplication requires number arguments",
    "/": "non-CIDR division requires number arguments",
}


def _is_number(value: Value) -> bool:
    return isinstance(value, float) or is_integer(value)


def _integers(operator: str, left: int, right: int) -> int:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    return _quotient(left, right)


def _quotient(left: int, right: int) -> int:
    """Divide two integers, rounding towards zero as Go does."""
    if right == 0:
        raise Failure("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _floats(operator: str, left: float, right: float) -> float:
    if operator == "/":
        if right == 0:
            raise Failure("division by zero")
        return left / right
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


def bounded(number: int) -> int:
    """Return the number as 64 bits hold it: it wraps around as Go's int64 does."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


class Modulo(Evaluable):
    """`a % b`."""

    left: Evaluable
    right: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - operands are needed whole
        """Return the remainder, with the sign of the first operand."""
        left, info = integer_operand(self.left, env, NOTHING)
        right, info = integer_operand(self.right, env, info)
        if pending(left) or pending(right):
            return self, info
        return left - right * _quotient(left, right), info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.left} % {self.right}"
