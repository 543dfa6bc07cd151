"""Calls: of lambdas, of the functions of the language, and of the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from tweed_shim.base.records import replace
from tweed_shim.spiff.expressions import lambdas, nested_documents
from tweed_shim.spiff.expressions.environment import Environment, Evaluable
from tweed_shim.spiff.expressions.evaluation import Constant, pending, pushed
from tweed_shim.spiff.expressions.outcomes import NOTHING, Failure, Info, Outcome
from tweed_shim.spiff.expressions.references import Reference
from tweed_shim.spiff.expressions.special import LAZY, STRICT, StrictCall
from tweed_shim.spiff.expressions.terms import Expansion, Named, resolve_all
from tweed_shim.spiff.functions import registry
from tweed_shim.spiff.tree.nodes import Lambda, Node, Path, derived
from tweed_shim.spiff.tree.plain import plain, wrapped
from tweed_shim.spiff.tree.values import Fault, Pending, Value

_ARGUMENTS = "__args"


class Call(Evaluable):
    """`function(a, name=b)`. `curry`: it was written `function*(a)`, which binds the arguments only."""

    function: Evaluable
    arguments: tuple[Evaluable, ...]
    curry: bool = False

    def evaluate(self, env: Environment, *, locally: bool = False) -> Outcome:
        """Return what the function returns."""
        name = self._name()
        if name in LAZY:
            return self._lazy(name, env)
        function = None if name else self._function(env)
        if isinstance(function, tuple):
            return function
        values, became, info = resolve_all(self.arguments, env)
        if values is None:
            same = became is self.arguments
            return (self if same else replace(self, arguments=tuple(became))), info
        if isinstance(function, Lambda):
            return self._apply(function, values, info, env)
        if any(isinstance(argument, Named) for argument in self.arguments):
            raise Failure(f"no named arguments for builtin function ({name})", info)
        if self.curry:
            return _curried(name, values, env), NOTHING
        return self._built_in(name, values, info, env, locally=locally)

    def _name(self) -> str:
        """Return the function's name; "" for a lambda."""
        function = self.function
        if isinstance(function, Reference) and not function.tag and len(function.path) == 1:
            return function.path[0] if function.path[0] != "_" else ""
        return ""

    def _lazy(self, name: str, env: Environment) -> Outcome:
        if self.curry:
            raise Failure(f"no currying for intrinsic builtin function ({name})")
        return LAZY[name](self, self.arguments, env)

    def _function(self, env: Environment) -> Lambda | Outcome:
        value, info = self.function.evaluate(env)
        if pending(value):
            return (
                self if value is self.function else replace(self, function=pushed(self.function, value))
            ), info
        if not isinstance(value, Lambda):
            raise Failure(f"function call '{self.function}' requires function name or lambda value", info)
        return value

    def _apply(self, function: Lambda, values: list[Value], info: Info, env: Environment) -> Outcome:
        named: dict[str, Node] = {}
        for argument, value in zip(self.arguments, values, strict=False):
            if isinstance(argument, Named):
                named[argument.name] = derived(value, env.source)
        count = sum([isinstance(argument, Named) for argument in self.arguments])
        known, result, result_info = lambdas.call(
            function, values[count:], env, named=named, curry=self.curry, auto_curry=True
        )
        return (result if known else self), result_info.joined(info)

    def _built_in(
        self, name: str, values: list[Value], info: Info, env: Environment, *, locally: bool
    ) -> Outcome:
        if name in STRICT:
            result, result_info = STRICT[name](StrictCall(values, info, env, locally=locally))
            if name == "type":
                return result, result_info
        else:
            try:
                result, result_info = _function(self, name, values, env)
            except Pending:
                return self, info
        return (self if pending(result) else result), result_info.joined(info)

    def __str__(self) -> str:
        """Return the text in the language."""
        arguments = ", ".join([str(argument) for argument in self.arguments])
        return f"{self.function}{'*' if self.curry else ''}({arguments})"


def _curried(name: str, values: list[Value], env: Environment) -> Lambda:
    """Return a lambda that calls a function of the language with these values before its own arguments."""
    arguments = (*[Constant(value) for value in values], Expansion(Reference((_ARGUMENTS,))))
    body = Call(Reference((name,)), arguments)
    expression = lambdas.LambdaExpression(((_ARGUMENTS, None),), variadic=True, body=body)
    curried: Lambda = expression.evaluate(env)[0]
    return curried


def _function(written: Call, name: str, values: list[Value], env: Environment) -> Outcome:
    """Call a plain function, or the caller's own, which comes first. Raises Fault and Pending."""
    own = env.state.functions.get(name)
    function = None if own else registry.find(name)
    if own is None and function is None:
        raise Failure(f"unknown function '{name}'")
    arguments = [plain(value) for value in values]
    context = Context(name, written, env)
    result = own(*arguments) if own else function(context, arguments)  # type: ignore[misc]  # one of them is there
    return wrapped(result, env.source), Info(
        source=context.document, raw=context.raw
    ) if context.document else NOTHING


class Context:
    """What a plain function may ask of the engine: see `registry.Call`."""

    def __init__(self, name: str, written: Call, env: Environment) -> None:
        self.name = name
        self._written = written
        self._env = env
        # The document that `parse` read last: the result of the call belongs to it.
        self.document = ""
        self.raw = False

    @property
    def path(self) -> Path:
        """See `registry.Call`."""
        return self._env.path

    @property
    def source(self) -> str:
        """See `registry.Call`."""
        return self._env.source

    @property
    def key_name(self) -> str:
        """See `registry.Call`."""
        return self._written.arguments[0].evaluate(self._env)[1].key_name if self._written.arguments else ""

    @property
    def files_allowed(self) -> bool:
        """See `registry.Call`."""
        return self._env.state.files_allowed

    @property
    def commands_allowed(self) -> bool:
        """See `registry.Call`."""
        return self._env.state.commands_allowed

    @property
    def features(self) -> frozenset[str]:
        """See `registry.Call`."""
        return self._env.state.features

    @property
    def encryption_key(self) -> str:
        """See `registry.Call`."""
        return self._env.state.encryption_key

    @property
    def temporary_prefix(self) -> str:
        """See `registry.Call`."""
        return self._env.state.temporary_prefix

    @property
    def cache(self) -> dict[Hashable, Any]:
        """See `registry.Call`."""
        return self._env.state.cache

    def at_end(self, action: Callable[[], None]) -> None:
        """See `registry.Call`."""
        self._env.state.at_end(action)

    def apply(self, function: Lambda, arguments: Sequence[Value]) -> Value:
        """See `registry.Call`."""
        values = [wrapped(argument, self._env.source) for argument in arguments]
        known, result, _ = lambdas.call(function, values, self._env)
        if not known:
            raise Pending
        return plain(result)

    def parse(self, text: str, mode: str, name: str) -> Value:
        """See `registry.Call`."""
        value, info = nested_documents.parsed(text, mode, name, self._env)
        if pending(value):
            raise Fault(info.issue.text)
        self.document, self.raw = info.source or name, info.raw
        return plain(value)
