"""`map`, `filter`, `select` and `sum`: they call a lambda for every entry of a list or map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tweed_shim.base.records import Record, replace
from tweed_shim.spiff.expressions import lambdas
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import pending, pushed, resolve
from tweed_shim.spiff.expressions.outcomes import NOTHING, Failure, Outcome
from tweed_shim.spiff.tree.nodes import Lambda, Node, derived, type_name
from tweed_shim.spiff.tree.values import Value, truth

# Adds an entry to the result, from its key, its node, the result of the lambda, and the document.
Add = Callable[[Any, Value, Node, Value, str], None]


def _add_value(result: list[Node], key: Value, node: Node, value: Value, source: str) -> None:  # noqa: ARG001 - see Add
    result.append(derived(value, source))


def _add_entry(result: list[Node], key: Value, node: Node, value: Value, source: str) -> None:  # noqa: ARG001 - see Add
    if truth(value):
        result.append(node)


def _set_value(result: dict[str, Node], key: Value, node: Node, value: Value, source: str) -> None:
    if isinstance(key, int):
        key = node.value
    if not isinstance(key, str):
        raise Failure(f"list element must be string, but found {type_name(key)}")
    result[key] = derived(value, source)


def _set_entry(result: dict[str, Node], key: Value, node: Node, value: Value, source: str) -> None:  # noqa: ARG001 - see Add
    if truth(value):
        result[key] = node


class Kind(Record):
    """A mapping: its keyword and brackets, and how it collects from a list and from a map (None: not at all)."""

    keyword: str
    brackets: str
    of_list: tuple[type, Add] | None
    of_map: tuple[type, Add] | None


KINDS = {
    "map[": Kind("map", "[]", (list, _add_value), (list, _add_value)),
    "map{": Kind("map", "{}", (dict, _set_value), (dict, _set_value)),
    "filter[": Kind("filter", "[]", (list, _add_entry), None),
    "filter{": Kind("filter", "{}", None, (dict, _set_entry)),
    "select[": Kind("select", "[]", (list, _add_entry), (list, _add_entry)),
    "select{": Kind("select", "{}", None, (dict, _set_entry)),
}


class Mapping(Evaluable):
    """`map[source|x|->expression]` and its like."""

    kind: Kind
    source: Evaluable
    function: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - the operands tell
        """Return the list or map that the kind collects."""
        source, info = self.source.evaluate(env, locally=True)
        function, function_info = self.function.evaluate(env)
        if pending(source) or pending(function):
            return self._pushed(source, function), info.joined(function_info)
        if not isinstance(function, Lambda):
            raise Failure("mapping requires a lambda value", function_info)
        target = (
            self.kind.of_list
            if isinstance(source, list)
            else self.kind.of_map
            if isinstance(source, dict)
            else None
        )
        if target is None:
            raise Failure(
                f"{self.kind.keyword}{self.kind.brackets} does not support {type_name(source)} values", info
            )
        if isinstance(source, list) and len(function.parameters) > 2:
            raise Failure("mapping expression takes a maximum of 2 arguments")
        return self._mapped(source, function, target, env)

    def _pushed(self, source: Value, function: Value) -> Mapping:
        one, other = pushed(self.source, source), pushed(self.function, function)
        if one is self.source and other is self.function:
            return self
        return replace(self, source=one, function=other)

    def _mapped(self, source: Value, function: Lambda, target: tuple[type, Add], env: Environment) -> Outcome:
        make, add = target
        result = make()
        inline = lambdas.is_inline(self.function)
        for key, node in entries(source):
            arguments = _arguments(function, [key], node.value)
            known, value, info = lambdas.call(function, arguments, env, inline=inline)
            if not known:
                return self, info
            if value is not None and not info.undefined:
                add(result, key, node, value, info.source)
        return result, NOTHING

    def __str__(self) -> str:
        """Return the text in the language."""
        begin, end = self.kind.brackets[0], self.kind.brackets[1]
        return f"{self.kind.keyword}{begin}{self.source}{_function_text(self.function)}{end}"


def entries(source: Value) -> Iterator[tuple[int | str, Node]]:
    """Return the entries of a list with their indices, or of a map with their keys, in order."""
    if isinstance(source, dict):
        return iter(sorted(source.items()))
    return iter(enumerate(source))


def _arguments(function: Lambda, first: list[Value], last: Value) -> list[Value]:
    """Return as many arguments as the lambda has parameters; the last parameter always gets `last`."""
    count = len(function.parameters)
    arguments = [*first, *[None] * count][:count]
    if arguments:
        arguments[-1] = last
    return arguments


def _function_text(function: Evaluable) -> str:
    if isinstance(function, lambdas.LambdaExpression):
        return function.without_keyword()
    return f"|{function}"


class Sum(Evaluable):
    """`sum[source|initial|s,x|->expression]`."""

    source: Evaluable
    initial: Evaluable
    function: Evaluable

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:  # noqa: ARG002 - the operands tell
        """Return what the lambda makes of the initial value and all entries, one after the other."""
        source, info = self.source.evaluate(env, locally=True)
        initial, info = resolve(self.initial, env, info)
        function, function_info = self.function.evaluate(env)
        if pending(source) or pending(initial) or pending(function):
            return self._pushed(source, initial, function), info.joined(function_info)
        if not isinstance(function, Lambda):
            raise Failure("sum requires a lambda value", function_info)
        if not isinstance(source, (list, dict)):
            raise Failure("map or list required for sum", info)
        if isinstance(source, list) and len(function.parameters) > 3:
            raise Failure("mapping expression take a maximum of 3 arguments")
        if len(function.parameters) < 2:
            raise Failure("mapping expression take a minimum of 2 arguments")
        return self._summed(source, initial, function, env)

    def _pushed(self, source: Value, initial: Value, function: Value) -> Sum:
        parts = (pushed(self.source, source), pushed(self.initial, initial), pushed(self.function, function))
        if parts[0] is self.source and parts[1] is self.initial and parts[2] is self.function:
            return self
        return Sum(*parts)

    def _summed(self, source: Value, result: Value, function: Lambda, env: Environment) -> Outcome:
        inline = lambdas.is_inline(self.function)
        for key, node in entries(source):
            arguments = _arguments(function, [result, key], node.value)
            known, value, info = lambdas.call(function, arguments, env, inline=inline)
            if not known:
                return self, info
            result = value
        return result, NOTHING

    def __str__(self) -> str:
        """Return the text in the language."""
        return f"sum[{self.source}|{self.initial}{_function_text(self.function)}]"
