"""Lambdas: the expressions that make them, and how they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tweed_shim.letters import decimal
from tweed_shim.records import replace
from tweed_shim.spiff.environment import SELF
from tweed_shim.spiff.evaluation import (
    NOTHING,
    Constant,
    Evaluable,
    Failure,
    Info,
    Outcome,
    fault_issue,
    pending,
)
from tweed_shim.spiff.nodes import Expression, Node, Path, derived, joined
from tweed_shim.spiff.state import MAX_CALLS
from tweed_shim.spiff.values import Fault, Lambda, Parameter, Value, short, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tweed_shim.spiff.environment import Environment


class LambdaExpression(Evaluable):
    """`|x, y=1, z...| -> expression`. A parameter is its name and its default or None."""

    parameters: tuple[tuple[str, Evaluable | None], ...]
    variadic: bool
    body: Evaluable

    def evaluate(self, env: Environment, locally: bool = False) -> Outcome:
        """The lambda, bound to where it is written."""
        parameters: list[Parameter] = []
        for number, (name, default) in enumerate(self.parameters):
            if default is None:
                parameters.append(Parameter(name))
                continue
            try:
                value, info = default.evaluate(env, locally)
            except Fault as fault:
                reason = f"evaluation of lambda call default argument {number} failed: {self}: {default}"
                raise Failure(reason, nested=(fault_issue(fault),), sequence=True) from None
            if isinstance(value, Evaluable) and value.deferred:
                value, info = value.evaluate(env, locally)
            if pending(value):
                return self, info
            parameters.append(Parameter(name, (value,)))
        return Lambda(
            tuple(parameters), self.variadic, self._with(parameters), env.bound, _scope(env)
        ), NOTHING

    def _with(self, parameters: Sequence[Parameter]) -> LambdaExpression:
        """The expression with the values of its defaults in place of their expressions."""
        if not any(parameter.default for parameter in parameters):
            return self
        return replace(self, parameters=tuple([_declared(parameter) for parameter in parameters]))

    def __str__(self) -> str:
        """As the language writes it."""
        return f"lambda{self.without_keyword()}"

    def without_keyword(self) -> str:
        """As `map[...]` and its like write it."""
        names = [name if default is None else f"{name}={default}" for name, default in self.parameters]
        return f"|{','.join(names)}{'...' if self.variadic else ''}|->{self.body}"


def _declared(parameter: Parameter) -> tuple[str, Evaluable | None]:
    return parameter.name, Constant(parameter.default[0]) if parameter.default else None


def _scope(env: Environment) -> Environment:
    """Inside of a lambda `_` looks where the outermost lambda was written."""
    itself = env.reference((SELF,))
    return itself.resolver if itself is not None and itself.resolver is not None else env


class LambdaReference(Evaluable):
    """`lambda expression`: the lambda that a value is, or that a text describes."""

    inner: Evaluable
    path: Path
    stub_path: Path

    def evaluate(self, env: Environment, locally: bool = False) -> Outcome:
        """The lambda."""
        value, info = self.inner.evaluate(env)
        if pending(value):
            raise Failure(info.issue.text, info)
        if isinstance(value, Lambda):
            return value, info
        if not isinstance(value, str):
            raise Failure("lambda reference must resolve to lambda value or string", info)
        return self._parsed(value, env).evaluate(env, locally)

    def _parsed(self, text: str, env: Environment) -> LambdaExpression:
        try:
            expression = env.state.engine.expression(text, self.path, self.stub_path)
        except Fault as fault:
            raise Failure(f"cannot parse lamba expression '{text}': {fault}") from None
        if not isinstance(expression, LambdaExpression):
            raise Failure(f"'{text}' is no lambda expression")
        return expression

    def __str__(self) -> str:
        """As the language writes it."""
        return f"lambda {self.inner}"


def is_inline(expression: Evaluable | None) -> bool:
    """Whether a lambda is written where it is used: then it does not change what `_` is."""
    return isinstance(expression, LambdaExpression)


def call(
    function: Lambda,
    arguments: Sequence[Value],
    env: Environment,
    *,
    named: Mapping[str, Node] | None = None,
    inline: bool = False,
    curry: bool = False,
    auto_curry: bool = False,
) -> tuple[bool, Value, Info]:
    """Whether the result is known, the result, and what was found with it.

    inline: see `is_inline`. curry: bind the arguments only; auto_curry: where there are too few. Raises Fault.
    """
    given = _by_name(function, named or {})
    positional = _positional(function, arguments, env)
    _check_given(function, given, len(positional))
    names = [parameter.name for parameter in function.parameters]
    bound = dict(function.bound)
    bound.update(given)
    bound.update({name: derived(value, env.source) for name, value in zip(names, positional, strict=False)})
    if curry or (auto_curry and not given and _too_few(function, len(positional))):
        return True, _curried(function, bound, given, len(positional)), NOTHING
    _fill(function, bound, given, len(positional), env)
    if not inline:
        bound[SELF] = Node(function, env.source, resolver=function.scope)
    return _evaluated(function, bound, env)


def _evaluated(function: Lambda, bound: dict[str, Node], env: Environment) -> tuple[bool, Value, Info]:
    try:
        with deeper(env):
            value, info = function.expression.body.evaluate(env.with_bound(bound))
    except Fault as fault:
        shown = {name: node for name, node in bound.items() if name != SELF}
        reason = f"evaluation of lambda expression failed: {function}: {shorten(short(shown))}"
        raise Failure(reason, nested=(fault_issue(fault),), sequence=True) from None
    return not isinstance(value, Expression), value, info


class TooDeep(Exception):
    """Something has no end, or grows beyond all bounds. No alternative (`||`, `catch`) goes on from here."""


@contextmanager
def deeper(env: Environment) -> Iterator[None]:
    """One more use of a lambda or a template inside of others. Raises TooDeep beyond the limit."""
    state = env.state
    if state.calls >= MAX_CALLS:
        raise TooDeep(
            f"{env.source}: what {shorten(joined(env.path)) or 'the document'} uses never ends: lambdas or templates "
            f"use each other more than {MAX_CALLS:,} levels deep"
        )
    state.calls += 1
    try:
        yield
    finally:
        state.calls -= 1


def _by_name(function: Lambda, named: Mapping[str, Node]) -> dict[str, Node]:
    """Named arguments, those that are named by their number (from 1) under the parameter's name."""
    given: dict[str, Node] = {}
    for name, node in named.items():
        number = decimal(name)
        if number is not None:
            if number < 1:
                raise Failure(f"invalid argument index {number}")
            if number > len(function.parameters):
                raise Failure(f"argument index {number} too large for {len(function.parameters)} parameters")
            name = function.parameters[number - 1].name
        if name in given:
            raise Failure(f"named argument {name} given by name and index")
        given[name] = node
    return given


def _positional(function: Lambda, arguments: Sequence[Value], env: Environment) -> list[Value]:
    """The arguments by position, those of a variadic parameter as a list."""
    values = list(arguments)
    count = len(function.parameters)
    if function.variadic:
        required = max(count - 1, 0)
        if len(values) > required:
            values[required:] = [[Node(value, env.source) for value in values[required:]]]
    if len(values) > count:
        raise Failure(f"found {len(values)} argument(s), but expects {count}")
    return values


def _check_given(function: Lambda, given: Mapping[str, Node], positional: int) -> None:
    names = [parameter.name for parameter in function.parameters]
    for name, node in given.items():
        if name not in names:
            raise Failure(f"no lambda parameter found for named argument {name}")
        number = names.index(name) + 1
        if number <= positional:
            raise Failure(f"both, positional ({number}) and named argument found for lambda parameter {name}")
        if function.variadic and number == len(names) and not isinstance(node.value, list):
            raise Failure(f"named varargs argument {number} ({name}) must be a list")


def _too_few(function: Lambda, count: int) -> bool:
    parameters = function.parameters
    return count < len(parameters) and not function.variadic and not parameters[-1].default


def _curried(function: Lambda, bound: dict[str, Node], given: Mapping[str, Node], count: int) -> Lambda:
    rest = tuple([parameter for parameter in function.parameters[count:] if parameter.name not in given])
    last = function.parameters[-1] if function.parameters else None
    variadic = function.variadic and last in rest
    expression = replace(
        function.expression,
        parameters=tuple([_declared(parameter) for parameter in rest]),
        variadic=variadic,
    )
    return Lambda(rest, variadic, expression, bound, function.scope)


def _fill(
    function: Lambda, bound: dict[str, Node], given: Mapping[str, Node], count: int, env: Environment
) -> None:
    """Bind what was not given to its default."""
    parameters = function.parameters
    for number, parameter in enumerate(parameters[count:], count + 1):
        if parameter.name in given:
            continue
        if parameter.default:
            bound[parameter.name] = derived(parameter.default[0], env.source)
        elif function.variadic and number == len(parameters):
            bound[parameter.name] = derived([], env.source)
        elif given:
            raise Failure(f"missing named argument for {parameter.name}")
        else:
            raise Failure(_missing(function, count))


def _missing(function: Lambda, count: int) -> str:
    total = len(function.parameters)
    first = next((number for number, item in enumerate(function.parameters) if item.default), None)
    optional = total - first if first is not None else int(function.variadic)
    if optional:
        return f"expected at least {total - optional} arguments ({optional} optional), but found {count}"
    return f"expected {total} arguments, but found {count}"
