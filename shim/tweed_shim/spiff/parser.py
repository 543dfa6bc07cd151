"""From the text of an expression to the expression. The grammar is the reference's (`dynaml.peg`), read by descent.

Operators need white space on both sides: `a -1` is the concatenation of `a` and `-1`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache

from tweed_shim.spiff import syntax
from tweed_shim.spiff.calls import Call
from tweed_shim.spiff.evaluation import Constant, Evaluable
from tweed_shim.spiff.lambdas import LambdaExpression, LambdaReference
from tweed_shim.spiff.mappings import KINDS, Mapping, Sum
from tweed_shim.spiff.markers import Auto, Marker, Merge, Prefer, Substitution
from tweed_shim.spiff.nodes import Path, components
from tweed_shim.spiff.operators import (
    Arithmetic,
    Comparison,
    Concatenation,
    Conditional,
    Logic,
    Modulo,
    Not,
    Or,
    ValidOr,
)
from tweed_shim.spiff.recovery import Catch, Sync
from tweed_shim.spiff.references import Current, Dynamic, Projection, Qualified, Reference, Slice
from tweed_shim.spiff.terms import Expansion, Group, ListOf, MapOf, Named, Range, Scoped, Undefined

MAX_DEPTH = 200
"""How deep expressions may be nested in each other."""


@lru_cache(maxsize=4096)
def parse(text: str, path: Path = (), stub_path: Path = ()) -> Evaluable:
    """The expression that a text (without `((` and `))`) describes, at a node's path and its path in the stubs.

    Raises SyntaxFault: where, with a caret, and what was expected there.
    """
    return Parser(text, path, stub_path).whole()


class Parser:
    """Reads one expression; `position` is how far it has come."""

    def __init__(self, text: str, path: Path, stub_path: Path) -> None:
        self.text = text
        self.path = path
        self.stub_path = stub_path
        self.position = 0
        self.depth = 0
        # Groups that were read already to find out that they are no scope: position to group and its end.
        self.groups: dict[int, tuple[Evaluable, int]] = {}

    # --- scanning

    def space(self) -> bool:
        """Skip white space; whether there was any."""
        begin = self.position
        match = syntax.SPACE.match(self.text, begin)
        self.position = match.end() if match else begin
        return self.position > begin

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Take what matches here."""
        match = pattern.match(self.text, self.position)
        if match:
            self.position = match.end()
        return match

    def take(self, token: str) -> bool:
        """Take a token if it is here."""
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def require(self, token: str) -> None:
        """Take a token that has to be here."""
        if not self.take(token):
            raise self.fault(f"'{token}' expected")

    def peek(self, token: str) -> bool:
        """Whether a token is here."""
        return self.text.startswith(token, self.position)

    def fault(self, expected: str) -> syntax.SyntaxFault:
        """What is wrong here."""
        return syntax.fault(self.text, self.position, expected)

    # --- expressions

    def whole(self) -> Evaluable:
        """The whole text."""
        self.space()
        if self.match(syntax.PREFER):
            expression: Evaluable = Prefer(self.expression())
        elif self.peek("&"):
            expression = self.marked()
        else:
            expression = self.expression()
        if self.position < len(self.text):
            raise self.fault("an operator or the end of the expression expected")
        return expression

    def marked(self) -> Marker:
        """`&template &temporary (expression)`."""
        names = [self.marker()]
        while self.space() and self.peek("&"):
            names.append(self.marker())
        if not self.peek("("):
            return Marker(tuple(names))
        begin = self.position
        group = self.group()
        text = self.text[begin : self.position]
        self.space()
        return Marker(tuple(names), group, text)

    def marker(self) -> str:
        """`&name`."""
        match = self.match(syntax.MARKER)
        if not match:
            raise self.fault(
                "a marker expected (&template, &temporary, &local, &inject, &default, &state, &dynamic, &tag:name)"
            )
        return match[0]

    def expression(self) -> Evaluable:
        """Any expression, and the white space behind it."""
        if self.depth >= MAX_DEPTH:
            raise self.fault(f"the expression is nested more than {MAX_DEPTH} levels deep")
        self.depth += 1
        self.space()
        if self.peek("("):
            result = self.scoped() or self.alternatives()
        elif self.peek("|"):
            result = self.lambda_expression()
        else:
            result = self.alternatives()
        self.space()
        self.depth -= 1
        return result

    def scoped(self) -> Scoped | None:
        """`( "a" = b ) expression`; None for a group, which is kept."""
        begin = self.position
        self.require("(")
        self.space()
        if self.take(")"):
            return Scoped(MapOf(()), self.expression())
        self.position = begin + 1
        first = self.expression()
        if not self.peek("="):
            self.require(")")
            self.groups[begin] = (Group(first), self.position)
            self.position = begin
            return None
        names = MapOf(self.assignments(first))
        self.require(")")
        return Scoped(names, self.expression())

    def assignments(self, first: Evaluable) -> tuple[tuple[Evaluable, Evaluable], ...]:
        """`"a" = b, "c" = d`, the first name being read already."""
        self.require("=")
        result = [(first, self.expression())]
        while self.take(","):
            name = self.expression()
            self.require("=")
            result.append((name, self.expression()))
        return tuple(result)

    def alternatives(self) -> Evaluable:
        """`a || b // c`."""
        self.space()
        left = self.conditional()
        while True:
            begin = self.position
            operator = self.match(syntax.OR) if self.space() else None
            if not operator:
                self.position = begin
                return left
            self.space()
            right = self.conditional()
            left = Or(left, right) if operator[0] == "||" else ValidOr(left, right)

    def conditional(self) -> Evaluable:
        """`a ? b : c`."""
        condition = self.concatenation()
        begin = self.position
        self.space()
        if not self.take("?"):
            self.position = begin
            return condition
        then = self.expression()
        self.require(":")
        return Conditional(condition, then, self.expression())

    def concatenation(self) -> Evaluable:
        """`a b c`."""
        left = self.binary(1)
        while True:
            begin = self.position
            if not self.space() or not syntax.OPERAND.match(self.text, self.position):
                self.position = begin
                return left
            left = Concatenation(left, self.binary(1))

    def binary(self, level: int) -> Evaluable:
        """Operands with the operators of this level and of higher ones between them."""
        left = self.operand()
        while True:
            begin = self.position
            operator = self.match(syntax.OPERATOR) if self.space() else None
            if not operator or syntax.LEVELS[operator[0]] < level:
                self.position = begin
                return left
            self.space()
            right = self.binary(syntax.LEVELS[operator[0]] + 1)
            left = _operation(left, operator[0], right)

    # --- operands

    def operand(self) -> Evaluable:
        """A literal, or something that is followed by qualifiers."""
        read = _OPERANDS.get(self.text[self.position : self.position + 1])
        if read:
            return read(self)
        ip = self.match(syntax.IP)
        if ip:
            return Constant(ip[0])
        number = self.match(syntax.NUMBER)
        if number:
            return Constant(self.number(number[0]))
        if self.match(syntax.LAMBDA):
            return self.lambda_reference()
        word = self.match(syntax.WORD)
        if word:
            return _WORDS[word[0]](self)
        mapping = self.match(syntax.MAPPING)
        if mapping:
            return self.qualified(self.mapping(mapping[0]))
        return self.qualified(self.reference())

    def number(self, text: str) -> int | float:
        """A number; those with point or exponent are floats."""
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
        """`"text"` with the escapes of JSON."""
        begin = self.position
        match = self.match(syntax.STRING)
        if not match:
            raise self.fault("the string is not closed")
        try:
            text: str = json.loads(match[0])
        except ValueError:
            self.position = begin
            raise self.fault("the string has an escape or a character that JSON does not allow") from None
        # Half characters (lone surrogates) are replaced, as they cannot be written.
        return Constant(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    def symbol(self) -> Evaluable:
        """`$name`, the name as a text."""
        self.require("$")
        name = self.match(syntax.NAME)
        if not name:
            raise self.fault("a name expected")
        return Constant(name[0])

    def nothing(self) -> Evaluable:
        """`~` and `~~`."""
        if self.take("~~"):
            return Undefined()
        self.require("~")
        return Constant(None)

    def negation(self) -> Evaluable:
        """`!a`."""
        self.require("!")
        self.space()
        return Not(self.operand())

    def substitution(self) -> Evaluable:
        """`*template`."""
        self.require("*")
        return Substitution(self.operand())

    def merge(self) -> Evaluable:
        """`merge` behind its keyword."""
        replace = required = False
        key_name = ""
        if self.word("required"):
            required = True
        elif self.word("replace"):
            replace = True
        elif self.word("on"):
            self.space()
            name = self.match(syntax.NAME)
            if not name:
                raise self.fault("the name of a key field expected")
            key_name = name[0]
        begin = self.position
        reference = self.match(syntax.REFERENCE) if not required and self.space() else None
        if reference:
            path = components(reference[0], leading=True)
            if path == ("none",):
                return Merge((), redirect=True, replace=replace, nothing=True, key_name=key_name)
            return Merge(path, redirect=True, replace=replace, required=True, key_name=key_name)
        self.position = begin
        redirect = self.path != self.stub_path
        return Merge(
            self.stub_path,
            redirect=redirect,
            replace=replace,
            required=replace or required or redirect,
            key_name=key_name,
        )

    def word(self, word: str) -> bool:
        """Take a word behind white space."""
        begin = self.position
        self.space()
        name = self.match(syntax.NAME)
        if name and name[0] == word:
            return True
        self.position = begin
        return False

    def reference(self) -> Evaluable:
        """`a.b`, `.a.b`, `tag::a.b`; `.[index]`."""
        match = self.match(syntax.REFERENCE)
        if match and match[0]:
            tag, path = match["tag"] or "", match["path"]
            if not tag:
                return Reference(components(path, leading=True))
            return Reference(components(path, leading=False) or ("",), tag)
        if self.peek(".["):
            self.position += 1
            index = self.bracketed()
            if isinstance(index, ListOf):
                return Dynamic(Reference(("",)), index)
        raise self.fault("an operand expected")

    def group(self) -> Evaluable:
        """`( expression )`."""
        known = self.groups.get(self.position)
        if known:
            group, self.position = known
            return group
        self.require("(")
        inner = self.expression()
        self.require(")")
        return Group(inner)

    def map_literal(self) -> Evaluable:
        """`{ "a" = b }`."""
        self.require("{")
        self.space()
        if self.take("}"):
            return MapOf(())
        assignments = self.assignments(self.expression())
        self.require("}")
        return MapOf(assignments)

    def bracketed(self) -> ListOf | Range:
        """`[a, b...]` or `[a..b]`."""
        self.require("[")
        self.space()
        if self.take("]"):
            return ListOf(())
        first = None if self.peek("..") and not self.peek("...") else self.expression()
        if self.peek("..") and not self.peek("..."):
            self.position += 2
            self.space()
            last = None if self.peek("]") else self.expression()
            self.require("]")
            return Range(first, last)
        assert first is not None  # noqa: S101 - only a range may begin without
        entries = [self.expanded(first)]
        while self.take(","):
            entries.append(self.expanded(self.expression()))
        self.require("]")
        return ListOf(tuple(entries))

    def expanded(self, expression: Evaluable) -> Evaluable:
        """`expression...` or the expression alone."""
        if not self.take("..."):
            return expression
        self.space()
        return Expansion(expression)

    # --- qualifiers

    def qualified(self, expression: Evaluable) -> Evaluable:
        """An expression and all that follows it without white space: calls, paths, indices, projections."""
        while True:
            if self.peek("("):
                expression = Call(expression, self.arguments())
            elif self.peek("*("):
                self.position += 1
                expression = Call(expression, self.arguments(), curry=True)
            elif self.match(syntax.PROJECTION):
                return Projection(expression, self.qualified(Current()))
            elif match := self.match(syntax.FOLLOWING):
                expression = Qualified(expression, components(match[0], leading=False))
            elif syntax.INDICES.match(self.text, self.position):
                self.take(".")
                index = self.bracketed()
                if isinstance(index, Range):
                    return Projection(Slice(expression, index), self.qualified(Current()))
                expression = Dynamic(expression, index)
            else:
                return expression

    def arguments(self) -> tuple[Evaluable, ...]:
        """`(a, b...)`, the named ones first."""
        self.require("(")
        self.space()
        if self.take(")"):
            return ()
        named: list[Evaluable] = []
        others: list[Evaluable] = []
        while True:
            name = None if others else self.match(syntax.NAMED_ARGUMENT)
            if name:
                named.append(Named(name[1], self.expression()))
            else:
                others.append(self.expanded(self.expression()))
            if not self.take(","):
                break
        self.require(")")
        return (*named, *others)

    # --- lambdas

    def lambda_reference(self) -> Evaluable:
        """`lambda expression`, behind the keyword."""
        inner = self.expression()
        if isinstance(inner, LambdaExpression):
            return inner
        return LambdaReference(inner, self.path, self.stub_path)

    def lambda_expression(self) -> LambdaExpression:
        """`|x, y=1, z...| -> expression`."""
        parameters, variadic = self.parameters()
        self.space()
        self.require("->")
        return LambdaExpression(parameters, variadic, self.expression())

    def parameters(self) -> tuple[tuple[tuple[str, Evaluable | None], ...], bool]:
        """`|x, y=1, z...|`."""
        self.require("|")
        self.space()
        parameters: list[tuple[str, Evaluable | None]] = []
        variadic = False
        while not self.peek("|"):
            name = self.match(syntax.NAME)
            if not name:
                raise self.fault("the name of a parameter expected")
            self.space()
            default = self.expression() if self.take("=") else None
            if (
                default is None
                and any([value is not None for _, value in parameters])
                and not self.peek("...")
            ):
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
        """What a mapping applies: `|x|->expression` or `|expression`."""
        self.space()
        begin, depth = self.position, self.depth
        try:
            return self.lambda_expression()
        except syntax.SyntaxFault as of_lambda:
            end = self.position
            self.position, self.depth = begin, depth
            self.require("|")
            try:
                return self.expression()
            except syntax.SyntaxFault:
                # What was read further is nearer to what was meant.
                raise (
                    of_lambda
                    if end > self.position
                    else syntax.fault(self.text, self.position, "an operand expected")
                ) from None

    def mapping(self, keyword: str) -> Evaluable:
        """`map[...]`, `sum[...]` and so on, behind the bracket."""
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

    def nested(self) -> Evaluable:
        """An expression without scope or lambda of its own."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fault(f"the expression is nested more than {MAX_DEPTH} levels deep")
        result = self.alternatives()
        self.depth -= 1
        return result

    def sync(self, source: Evaluable) -> Evaluable:
        """`sync[` behind the expression."""
        condition = self.function()
        value = timeout = None
        self.space()
        if isinstance(condition, LambdaExpression) and self.take(","):
            value = LambdaExpression(condition.parameters, False, self.expression())
        elif self.peek("|"):
            value = self.function()
        self.space()
        if value is not None and self.take("|"):
            timeout = self.expression()
        return Sync(source, condition, value, timeout)


def _operation(left: Evaluable, operator: str, right: Evaluable) -> Evaluable:
    if operator in ("-or", "-and"):
        return Logic(left, operator, right)
    if operator == "%":
        return Modulo(left, right)
    if syntax.LEVELS[operator] == 2:
        return Comparison(left, operator, right)
    return Arithmetic(left, operator, right)


_OPERANDS: dict[str, Callable[[Parser], Evaluable]] = {
    '"': Parser.string,
    "$": Parser.symbol,
    "~": Parser.nothing,
    "!": Parser.negation,
    "*": Parser.substitution,
    "(": lambda parser: parser.qualified(parser.group()),
    "[": lambda parser: parser.qualified(parser.bracketed()),
    "{": lambda parser: parser.qualified(parser.map_literal()),
}

_WORDS: dict[str, Callable[[Parser], Evaluable]] = {
    "true": lambda _: Constant(True),
    "false": lambda _: Constant(False),
    "nil": lambda _: Constant(None),
    "auto": lambda parser: Auto(parser.path),
    "merge": Parser.merge,
}
