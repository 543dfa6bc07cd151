"""Parse an expression by recursive descent. The grammar is the reference's (`dynaml.peg`).

Operators need white space on both sides: `a -1` is the concatenation of `a` and `-1`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from tweed_shim.spiff.expressions.arithmetic import Arithmetic, Modulo
from tweed_shim.spiff.expressions.calls import Call
from tweed_shim.spiff.expressions.concatenation import Concatenation
from tweed_shim.spiff.expressions.environment import Evaluable
from tweed_shim.spiff.expressions.evaluation import Constant
from tweed_shim.spiff.expressions.markers import Auto, Marker, Merge, Prefer, Substitution
from tweed_shim.spiff.expressions.operators import Comparison, Conditional, Logic, Not, Or, ValidOr
from tweed_shim.spiff.expressions.references import Current, Dynamic, Projection, Qualified, Reference, Slice
from tweed_shim.spiff.expressions.terms import Group, ListOf, MapOf, Range, Scoped, Undefined
from tweed_shim.spiff.syntax import tokens
from tweed_shim.spiff.syntax.parser_functions import FunctionParser
from tweed_shim.spiff.tree.nodes import Path
from tweed_shim.spiff.tree.paths import components


@lru_cache(maxsize=4096)
def parse(text: str, path: Path = (), stub_path: Path = ()) -> Evaluable:
    """Parse an expression without its `((` and `))`, for a node's path and its path in the stubs.

    Raises SyntaxFault: where, with a caret, and what was expected there.
    """
    return Parser(text, path, stub_path).whole()


class Parser(FunctionParser):
    """Reads one expression; `position` is how far it has come."""

    # --- expressions

    def whole(self) -> Evaluable:
        """Read the whole text."""
        self.space()
        if self.match(tokens.PREFER):
            expression: Evaluable = Prefer(self.expression())
        elif self.peek("&"):
            expression = self.marked()
        else:
            expression = self.expression()
        if self.position < len(self.text):
            raise self.fault("an operator or the end of the expression expected")
        return expression

    def marked(self) -> Marker:
        """Read `&template &temporary (expression)`."""
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
        """Read `&name`."""
        match = self.match(tokens.MARKER)
        if not match:
            raise self.fault(
                "a marker expected (&template, &temporary, &local, &inject, &default, &state, &dynamic, &tag:name)"
            )
        return match[0]

    def expression(self) -> Evaluable:
        """Read any expression, and the white space behind it."""
        self.deeper()
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
        """Read `( "a" = b ) expression`; return None for a group, which is kept for `group`."""
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
        """Read `"a" = b, "c" = d`, whose first name is read already."""
        self.require("=")
        result = [(first, self.expression())]
        while self.take(","):
            name = self.expression()
            self.require("=")
            result.append((name, self.expression()))
        return tuple(result)

    def alternatives(self) -> Evaluable:
        """Read `a || b // c`."""
        self.space()
        left = self.conditional()
        while True:
            begin = self.position
            operator = self.match(tokens.OR) if self.space() else None
            if not operator:
                self.position = begin
                return left
            self.linked()
            self.space()
            right = self.conditional()
            left = Or(left, right) if operator[0] == "||" else ValidOr(left, right)

    def conditional(self) -> Evaluable:
        """Read `a ? b : c`."""
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
        """Read `a b c`."""
        before = self.links
        parts = [self.binary(1)]
        deepest = self.links
        while True:
            begin = self.position
            if not self.space() or not tokens.OPERAND.match(self.text, self.position):
                self.position = begin
                # The parts of a concatenation are not nested in each other: only the deepest one counts.
                self.links = deepest
                return parts[0] if len(parts) == 1 else Concatenation(tuple(parts))
            self.links = before
            parts.append(self.binary(1))
            deepest = max(deepest, self.links)

    def binary(self, level: int) -> Evaluable:
        """Read operands, and the operators of this level and of higher ones between them."""
        left = self.operand()
        while True:
            begin = self.position
            operator = self.match(tokens.OPERATOR) if self.space() else None
            if not operator or tokens.LEVELS[operator[0]] < level:
                self.position = begin
                return left
            self.linked()
            self.space()
            right = self.binary(tokens.LEVELS[operator[0]] + 1)
            left = _operation(left, operator[0], right)

    # --- operands

    def operand(self) -> Evaluable:
        """Read a literal, or an operand that qualifiers may follow."""
        read = _OPERANDS.get(self.text[self.position : self.position + 1])
        if read:
            return read(self)
        ip = self.match(tokens.IP)
        if ip:
            return Constant(ip[0])
        number = self.match(tokens.NUMBER)
        if number:
            return Constant(self.number(number[0]))
        if self.match(tokens.LAMBDA):
            return self.lambda_reference()
        word = self.match(tokens.WORD)
        if word:
            return _WORDS[word[0]](self)
        mapping = self.match(tokens.MAPPING)
        if mapping:
            return self.qualified(self.mapping(mapping[0]))
        return self.qualified(self.reference())

    def symbol(self) -> Evaluable:
        """Read `$name`, whose value is the name."""
        self.require("$")
        name = self.match(tokens.NAME)
        if not name:
            raise self.fault("a name expected")
        return Constant(name[0])

    def nothing(self) -> Evaluable:
        """Read `~` and `~~`."""
        if self.take("~~"):
            return Undefined()
        self.require("~")
        return Constant(None)

    def negation(self) -> Evaluable:
        """Read `!a`."""
        self.require("!")
        self.linked()
        self.space()
        return Not(self.operand())

    def substitution(self) -> Evaluable:
        """Read `*template`."""
        self.require("*")
        self.linked()
        return Substitution(self.operand())

    def merge(self) -> Evaluable:
        """Read what follows the keyword `merge`."""
        replace = required = False
        key_name = ""
        if self.word("required"):
            required = True
        elif self.word("replace"):
            replace = True
        elif self.word("on"):
            self.space()
            name = self.match(tokens.NAME)
            if not name:
                raise self.fault("the name of a key field expected")
            key_name = name[0]
        begin = self.position
        reference = self.match(tokens.REFERENCE) if not required and self.space() else None
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
        """Take white space and a word, if they are here."""
        begin = self.position
        self.space()
        name = self.match(tokens.NAME)
        if name and name[0] == word:
            return True
        self.position = begin
        return False

    def reference(self) -> Evaluable:
        """Read `a.b`, `.a.b`, `tag::a.b`; `.[index]`."""
        match = self.match(tokens.REFERENCE)
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
        """Read `( expression )`."""
        known = self.groups.get(self.position)
        if known:
            group, self.position = known
            return group
        self.require("(")
        inner = self.expression()
        self.require(")")
        return Group(inner)

    def map_literal(self) -> Evaluable:
        """Read `{ "a" = b }`."""
        self.require("{")
        self.space()
        if self.take("}"):
            return MapOf(())
        assignments = self.assignments(self.expression())
        self.require("}")
        return MapOf(assignments)

    def bracketed(self) -> ListOf | Range:
        """Read `[a, b...]` or `[a..b]`."""
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

    # --- qualifiers

    def qualified(self, expression: Evaluable) -> Evaluable:
        """Read what follows an expression without white space: calls, paths, indices, projections."""
        while True:
            if self.text[self.position : self.position + 1] in _QUALIFIERS:
                self.linked()
            if self.peek("("):
                expression = Call(expression, self.arguments())
            elif self.peek("*("):
                self.position += 1
                expression = Call(expression, self.arguments(), curry=True)
            elif self.match(tokens.PROJECTION):
                return Projection(expression, self.qualified(Current()))
            elif match := self.match(tokens.FOLLOWING):
                expression = Qualified(expression, components(match[0], leading=False))
            elif tokens.INDICES.match(self.text, self.position):
                self.take(".")
                index = self.bracketed()
                if isinstance(index, Range):
                    return Projection(Slice(expression, index), self.qualified(Current()))
                expression = Dynamic(expression, index)
            else:
                return expression

    def nested(self) -> Evaluable:
        """Read an expression without a scope or lambda of its own."""
        self.deeper()
        result = self.alternatives()
        self.depth -= 1
        return result


def _operation(left: Evaluable, operator: str, right: Evaluable) -> Evaluable:
    if operator in ("-or", "-and"):
        return Logic(left, operator, right)
    if operator == "%":
        return Modulo(left, right)
    if tokens.LEVELS[operator] == 2:
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

_QUALIFIERS = ("(", "*", ".", "[")

_WORDS: dict[str, Callable[[Parser], Evaluable]] = {
    "true": lambda _: Constant(True),
    "false": lambda _: Constant(False),
    "nil": lambda _: Constant(None),
    "auto": lambda parser: Auto(parser.path),
    "merge": Parser.merge,
}
