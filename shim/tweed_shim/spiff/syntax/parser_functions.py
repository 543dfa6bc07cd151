"""The part of the grammar for functions: arguments, lambdas, and what applies lambdas."""

from __future__ import annotations

from tweed_shim.spiff.expressions.environment import Evaluable
from tweed_shim.spiff.expressions.lambdas import LambdaExpression, LambdaReference
from tweed_shim.spiff.expressions.mappings import KINDS, Mapping, Sum
from tweed_shim.spiff.expressions.recovery import Catch, Sync
from tweed_shim.spiff.expressions.terms import Named
from tweed_shim.spiff.syntax import tokens
from tweed_shim.spiff.syntax.scanner import Scanner


class FunctionParser(Scanner):
    """Reads arguments, lambdas, and `map[...]` and its like."""

    def arguments(self) -> tuple[Evaluable, ...]:
        """Read `(a, b...)`; return the named arguments first."""
        self.require("(")
        self.space()
        if self.take(")"):
            return ()
        named: list[Evaluable] = []
        others: list[Evaluable] = []
        while True:
            name = None if others else self.match(tokens.NAMED_ARGUMENT)
            if name:
                named.append(Named(name[1], self.expression()))
            else:
                others.append(self.expanded(self.expression()))
            if not self.take(","):
                break
        self.require(")")
        return (*named, *others)

    def lambda_reference(self) -> Evaluable:
        """Read the expression behind the keyword `lambda`."""
        inner = self.expression()
        if isinstance(inner, LambdaExpression):
            return inner
        return LambdaReference(inner, self.path, self.stub_path)

    def lambda_expression(self) -> LambdaExpression:
        """Read `|x, y=1, z...| -> expression`."""
        parameters, variadic = self.parameters()
        self.space()
        self.require("->")
        return LambdaExpression(parameters, variadic, self.expression())

    def parameters(self) -> tuple[tuple[tuple[str, Evaluable | None], ...], bool]:
        """Read `|x, y=1, z...|`."""
        self.require("|")
        self.space()
        parameters: list[tuple[str, Evaluable | None]] = []
        variadic = False
        while not self.peek("|"):
            name = self.match(tokens.NAME)
            if not name:
                raise self.fault("the name of a parameter expected")
            self.space()
            default = self.expression() if self.take("=") else None
            if default is None and any(value is not None for _, value in parameters) and not self.peek("..."):
                raise self.fault("a default value expected, as a parameter before has one")
            parameters.append((name[0], default))
            variadic = self.take("...")
            self.space()
            if variadic or not self.take(","):
                break
            self.space()
        self.require("|")
        return tuple(parameters), variadic

    def function(self) -> Evaluable:
        """Read what a mapping applies: `|x|->expression` or `|expression`."""
        self.space()
        begin, depth = self.position, self.depth
        try:
            return self.lambda_expression()
        except tokens.SyntaxFault as of_lambda:
            end = self.position
            self.position, self.depth = begin, depth
            self.require("|")
            try:
                return self.expression()
            except tokens.SyntaxFault:
                # The attempt that read further is more likely what was meant.
                raise (
                    of_lambda
                    if end > self.position
                    else tokens.fault(self.text, self.position, "an operand expected")
                ) from None

    def mapping(self, keyword: str) -> Evaluable:
        """Read `map[...]`, `sum[...]` and so on, behind the bracket."""
        source = self.nested()
        result: Evaluable
        if keyword == "sum[":
            self.space()
            self.require("|")
            result = Sum(source, self.nested(), self.function())
        elif keyword == "catch[":
            result = Catch(source, self.function())
        elif keyword == "sync[":
            result = self.sync(source)
        else:
            result = Mapping(KINDS[keyword], source, self.function())
        self.space()
        self.require("}" if keyword.endswith("{") else "]")
        return result

    def sync(self, source: Evaluable) -> Evaluable:
        """Read `sync[...]`, behind its first expression."""
        condition = self.function()
        value: Evaluable | None = None
        timeout = None
        self.space()
        if isinstance(condition, LambdaExpression) and self.take(","):
            value = LambdaExpression(condition.parameters, variadic=False, body=self.expression())
        elif self.peek("|"):
            value = self.function()
        self.space()
        if value is not None and self.take("|"):
            timeout = self.expression()
        return Sync(source, condition, value, timeout)
