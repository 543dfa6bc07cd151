"""Expressions that build a value from others: lists, maps, ranges, scopes, groups."""

from __future__ import annotations

from collections.abc import Sequence

from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending, pushed, resolve
from tweed_shim.spiff.expressions.outcomes import NOTHING, UNDEFINED, Failure, Info, Outcome
from tweed_shim.spiff.tree.nodes import derived
from tweed_shim.spiff.tree.values import Value, is_integer

MAX_RANGE = 1_000_000


class Undefined(Evaluable):
    """`~~`: the node is treated as if it were not there."""

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - it is the same anywhere
        """Return nil, marked as undefined."""
        return None, UNDEFINED

    def __str__(self) -> str:
        """Return the text in the language."""
        return "~~"


class Group(Evaluable):
    """`( expression )`."""

    inner: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the value of the expression inside."""
        return self.inner.evaluate(env, locally=locally)

    def merges_directly(self) -> bool:
        """See Evaluable."""
        return self.inner.merges_directly()

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"( {self.inner} )"


class Expansion(Evaluable):
    """`expression...`: the entries of a list in place of the list."""

    inner: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the list."""
        return self.inner.evaluate(env, locally=locally)

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.inner}..."


class Named(Evaluable):
    """`name=expression` as an argument."""

    name: str
    inner: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the argument's value."""
        return self.inner.evaluate(env, locally=locally)

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"{self.name}={self.inner}"


def resolve_all(
    expressions: Sequence[Evaluable], env: Environment
) -> tuple[list[Value] | None, Sequence[Evaluable], Info]:
    """Evaluate arguments and expand `...`: return values, or None and what the arguments have become."""
    values: list[Value] = []
    became: list[Evaluable] = []
    unknown = False
    info = NOTHING
    for expression in expressions:
        value, info = resolve(expression, env, info)
        if pending(value):
            unknown = True
            became.append(_kept(expression, value))
        else:
            became.append(expression)
            values.append(value)
        if isinstance(expression, Expansion) and not isinstance(value, list):
            raise Failure("argument expansion required list argument", info)
    if unknown:
        same = all(one is other for one, other in zip(expressions, became, strict=True))
        return None, expressions if same else tuple(became), info
    if not any(isinstance(expression, Expansion) for expression in expressions):
        return values, expressions, info
    return _expanded(expressions, values), expressions, info


def _expanded(expressions: Sequence[Evaluable], values: list[Value]) -> list[Value]:
    expanded: list[Value] = []
    for expression, value in zip(expressions, values, strict=True):
        expanded += [entry.value for entry in value] if isinstance(expression, Expansion) else [value]
    return expanded


def _kept(expression: Evaluable, value: Evaluable) -> Evaluable:
    """Return what an argument has become, still expanded or named as it was written."""
    if value is expression:
        return expression
    if isinstance(expression, Expansion):
        if value is expression.inner:
            return expression
        return value if isinstance(value, Expansion) else Expansion(value)
    if isinstance(expression, Named):
        return expression if value is expression.inner else Named(expression.name, value)
    return value


class ListOf(Evaluable):
    """`[a, b...]`."""

    entries: tuple[Evaluable, ...]

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - entries are needed whole
        """Return the list."""
        values, became, info = resolve_all(self.entries, env)
        if values is None:
            return (self if became is self.entries else ListOf(tuple(became))), info
        return [derived(value, env.source) for value in values], info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"[{', '.join([str(entry) for entry in self.entries])}]"


class MapOf(Evaluable):
    """`{ "a" = b }`."""

    assignments: tuple[tuple[Evaluable, Evaluable], ...]

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the map."""
        result = {}
        for key_expression, value_expression in self.assignments:
            key, info = key_expression.evaluate(env, locally=locally)
            if pending(key):
                return self, info
            if not isinstance(key, str):
                raise Failure("assignment target must evaluate to string", info)
            value, info = value_expression.evaluate(env, locally=locally)
            if pending(value):
                return self, info
            result[key] = derived(value, env.source)
        return result, NOTHING

    def __str__(self) -> str:
        """Return the text in the language."""
        return "{ " + self.listed() + " }" if self.assignments else "{ }"

    def listed(self) -> str:
        """Return the text of the assignments alone."""
        return ", ".join([f"{key} = {value}" for key, value in self.assignments])


class Scoped(Evaluable):
    """`( "a" = b ) expression`."""

    names: MapOf
    inner: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return the expression's value, evaluated with the names."""
        names, info = self.names.evaluate(env, locally=locally)
        if pending(names):
            return self, info
        value, info = self.inner.evaluate(env.with_bound(names), locally=locally)
        return (self if pending(value) else value), info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"({self.names.listed()} ) {self.inner}"


class Range(Evaluable):
    """`[start..end]`; a slice may leave one of them out."""

    start: Evaluable | None
    end: Evaluable | None

    def bounds(self, env: Environment, size: int | None) -> tuple[int, int, Info] | tuple[Range, Info]:
        """Return the first and last index for a list of `size` entries; a size of None is a list of numbers.

        Where they are not known yet, the range instead.
        """
        if size is None and (self.start is None or self.end is None):
            raise Failure("range expression requires start and end index")
        if self.start is None and self.end is None:
            raise Failure("slice operator requires start or end index")
        start, info = _integer(self.start, env, NOTHING)
        end, info = _integer(self.end, env, info)
        if pending(start) or pending(end):
            return self._pushed(start, end), info
        length = size or 0
        if start is None:
            start = -length if end < 0 else 0
        if end is None:
            end = -1 if start < 0 else length - 1
        return start, end, info

    def _pushed(self, start: Value, end: Value) -> Range:
        if (start is self.start or not pending(start)) and (end is self.end or not pending(end)):
            return self
        return Range(
            pushed(self.start, start) if self.start else None, pushed(self.end, end) if self.end else None
        )

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - numbers have no parts
        """Return the list of the numbers, upwards or downwards."""
        bounds = self.bounds(env, None)
        if len(bounds) == 2:
            return bounds
        start, end, info = bounds
        if abs(end - start) >= MAX_RANGE:
            raise Failure(f"range [{start}..{end}] has more than {MAX_RANGE:,} entries", info)
        numbers = range(start, end + 1) if start <= end else range(start, end - 1, -1)
        return [derived(number, env.source) for number in numbers], info

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"[{'' if self.start is None else self.start}..{'' if self.end is None else self.end}]"


def _integer(expression: Evaluable | None, env: Environment, info: Info) -> Outcome:
    if expression is None:
        return None, info
    return integer_operand(expression, env, info)


def integer_operand(expression: Evaluable, env: Environment, info: Info = NOTHING) -> Outcome:
    """Evaluate an operand that has to be an integer. Raises Failure for another value."""
    value, info = resolve(expression, env, info)
    if pending(value) or is_integer(value):
        return value, info
    raise Failure("integer operand required", info)
