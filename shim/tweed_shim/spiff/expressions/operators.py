"""Expressions with operators: logic, conditions, alternatives and comparison."""

from __future__ import annotations

from collections.abc import Callable

from tweed_shim.base.records import replace
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending, pushed, resolve
from tweed_shim.spiff.expressions.outcomes import Failure, Info, Outcome, fault_info
from tweed_shim.spiff.tree.equality import equal
from tweed_shim.spiff.tree.values import Fault, Value, is_integer, truth


class Not(Evaluable):
    """`! a`."""

    inner: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - the operand is needed whole
        """Return the opposite of what the operand counts as."""
        value, info = self.inner.evaluate(env)
        if pending(value):
            return (self if value is self.inner else Not(value)), info
        return not truth(value), info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"!({self.inner})"


class Conditional(Evaluable):
    """`a ? b : c`."""

    condition: Evaluable
    then: Evaluable
    otherwise: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - operands are needed whole
        """Return the value of one branch; where it is not known yet, that branch alone."""
        condition, info = self.condition.evaluate(env)
        if pending(condition):
            return (self if condition is self.condition else replace(self, condition=condition)), info
        value, right_info = (self.then if truth(condition) else self.otherwise).evaluate(env)
        return value, right_info.joined(info)

    def merges_directly(self) -> bool:
        """See Evaluable."""
        return self.then.merges_directly() or self.otherwise.merges_directly()

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.condition} ? {self.then} : {self.otherwise}"


class Or(Evaluable):
    """`a || b`: b where a fails or is undefined."""

    left: Evaluable
    right: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - operands are needed whole
        """Return the first operand's value if it has one, else the second's."""
        try:
            value, info = self.left.evaluate(env)
        except Fault as fault:
            info = fault_info(fault)
        else:
            if not info.undefined:
                return (_rest(self, value) if pending(value) else value), info
        value, right_info = self.right.evaluate(env)
        joined = info.cleared().joined(right_info)
        return value, joined if joined.undefined == right_info.undefined else joined.changed(
            undefined=right_info.undefined
        )

    def merges_directly(self) -> bool:
        """See Evaluable."""
        return self.left.merges_directly() or self.right.merges_directly()

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.left} || {self.right}"


def _rest(alternative: Or | ValidOr, value: Value) -> Evaluable:
    """Return an alternative whose first operand is not known yet, with what that operand has become."""
    return (
        replace(alternative, left=value) if isinstance(value, Evaluable) and value.deferred else alternative
    )


class ValidOr(Evaluable):
    """`a // b`: b where a fails, is undefined or nil."""

    left: Evaluable
    right: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - operands are needed whole
        """Return the first operand's value if it has one, else the second's."""
        try:
            value, info = self.left.evaluate(env)
        except Fault as fault:
            info = fault_info(fault)
        else:
            if value is self.left:
                raise Failure(info.issue.text, info)
            if value is not None:
                return (_rest(self, value) if pending(value) else value), info
        value, right_info = self.right.evaluate(env)
        return value, info.cleared().joined(right_info).changed(undefined=right_info.undefined)

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.left} // {self.right}"


class Logic(Evaluable):
    """`a -and b` and `a -or b`; of two integers bit by bit."""

    left: Evaluable
    operator: str
    right: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - operands are needed whole
        """Return a bool, or an integer for two integers."""
        left, info = self.left.evaluate(env)
        if pending(left):
            return self, info
        decided = truth(left) is (self.operator == "-or")
        try:
            right, right_info = self.right.evaluate(env)
        except Fault:
            if decided and not is_integer(left):
                return truth(left), info
            raise
        info = info.joined(right_info)
        if pending(right):
            return self, info
        if is_integer(left) and is_integer(right):
            return (left | right if self.operator == "-or" else left & right), info
        return (truth(left) if decided else truth(right)), info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.left} {self.operator} {self.right}"


class Binary(Evaluable):
    """An operator whose two operands are evaluated first."""

    left: Evaluable
    operator: str
    right: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - operands are needed whole
        """Return the result."""
        left, info = self.left.evaluate(env)
        right, info = resolve(self.right, env, info)
        if pending(left) or pending(right):
            one, other = pushed(self.left, left), pushed(self.right, right)
            if one is self.left and other is self.right:
                return self, info
            return replace(self, left=one, right=other), info
        return self.apply(left, right, info, env), info

    def apply(self, left: Value, right: Value, info: Info, env: Environment) -> Value:
        """Return the result for two values."""
        raise NotImplementedError


class Comparison(Binary):
    """`a == b` and its like."""

    def apply(self, left: Value, right: Value, info: Info, env: Environment) -> Value:  # noqa: ARG002 - see Binary
        """Return the result as a bool."""
        if self.operator == "==":
            return equal(left, right)
        if self.operator == "!=":
            return not equal(left, right)
        if is_integer(left):
            if not is_integer(right):
                raise Failure(f"comparision {self.operator} only for integers or strings")
        elif not isinstance(left, str):
            return False
        elif not isinstance(right, str):
            raise Failure(f"comparision {self.operator} only for strings or integers")
        return _ORDERS[self.operator](left, right)

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.left} {self.operator} {self.right}"


_ORDERS: dict[str, Callable[[Value, Value], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}
