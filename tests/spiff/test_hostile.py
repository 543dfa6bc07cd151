"""Input that is meant to break it: too deep, too large, endless. It ends in a value or in one clear error, soon."""

import contextlib

import pytest

from dynaml import evaluate, fault, refused
from tweed_shim import spiff
from tweed_shim.spiff.expressions import concatenation
from tweed_shim.spiff.flow import fixpoint


@pytest.mark.parametrize(
    "text",
    [
        "(( a",
        "(( a )",
        "(( a\nb: 1",
        "a ))",
        "(( ((",
        "((",
        "(())",
        "(( ))",
        "(( (a ))",
        '(( "a ))',
        "((!",
        "((! ))",
        "(( & ))",
    ],
)
def test_brackets_that_are_not_closed(text: str) -> None:
    template = f"x: {text!r}\ny2: |-\n  {text.splitlines()[0]}\n"
    with contextlib.suppress(spiff.SpiffError):
        assert isinstance(spiff.merge(template), dict)


@pytest.mark.parametrize(
    "template",
    [
        "a: (( b ))\nb: (( a ))\n",
        "a: (( a ))\n",
        "a: (( b.c ))\nb: (( a ))\n",
        "a:\n  <<: (( b ))\nb:\n  <<: (( a ))\n",
        "a:\n- (( .a[1] ))\n- (( .a[0] ))\n",
        'a: (( "(( a ))" ))\n',
        "a: (( map[a|x|->x] ))\n",
        'a: (( eval("a") ))\n',
        "a: (( length(b) ))\nb: (( a ))\n",
    ],
)
def test_what_goes_round_in_circles_is_unresolved(template: str) -> None:
    assert refused(template).startswith("unresolved nodes:\n")


@pytest.mark.parametrize(
    "template",
    [
        "f: (( |x|->_(x + 1) ))\na: (( .f(0) ))\n",
        "f: (( |x|->.g(x) ))\ng: (( |x|->.f(x) ))\na: (( .f(0) ))\n",
        "f: (( |x|->[_(x)] ))\na: (( .f(0) ))\n",
        "f: (( |x|->sum[[1]|0|s,v|->_(v)] ))\na: (( .f(0) ))\n",
        "t:\n  <<: (( &template ))\n  again: (( *t ))\na: (( *t ))\n",
        "t: (( &template(*t) ))\na: (( *t ))\n",
        'x: "eval(x)"\na: (( eval(x) ))\n',
        "f: (( |x|->catch[_(x)|v|->v] ))\na: (( .f(0) ))\n",
        "f: (( |x|->_(x) || 1 ))\na: (( .f(0) ))\n",
    ],
)
def test_what_never_ends_is_ended_by_its_depth_and_differs(template: str) -> None:
    message = refused(template)
    assert "deep" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 10_000 + "1" + ")" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        "!" * 10_000 + "true",
        "|x|->" * 10_000 + "1",
        "true ? 1 :" * 10_000 + "1",
        "{$a=" * 10_000 + "1" + "}" * 10_000,
        "9" * 100_000,
        '"' + "x" * 1_000_000,
        "a(" * 10_000,
        "map[" * 10_000,
        "1 + " * 10_000,
        "*" * 10_000 + "a",
    ],
    ids=lambda expression: expression[:8],
)
def test_expressions_that_are_too_deep_or_too_long_differ(expression: str) -> None:
    assert "parse error" in fault(expression)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 10_000 + "]" * 10_000,
        "a: " + "{a: " * 10_000 + "1" + "}" * 10_000,
        "".join(f"{' ' * depth}a:\n" for depth in range(1_000)),
        "- " * 10_000,
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
            for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        'b: "' + "x" * 40_000_000 + '"',
    ],
    ids=["lists", "maps", "indented", "dashes", "alias-bomb", "itself", "itself-in-a-map", "40-mb"],
)
def test_documents_that_are_too_deep_or_too_large_differ(text: str) -> None:
    for message in (refused(text), refused("a: 1\n", text)):
        assert message.startswith(("template: ", "stub1: "))
        assert len(message.splitlines()) == 1


def test_a_document_of_10_mb_is_processed() -> None:
    entries = "".join(f"- {'x' * 1_000}\n" for _ in range(10_000))
    merged = spiff.merge(f"list:\n{entries}count: (( length(list) ))\n")
    assert merged["count"] == 10_000


@pytest.mark.parametrize(
    "expression",
    [
        "[1..10000000000]",
        "[-9000000000000000000..9000000000000000000]",
        'rand("a", 1000000000)',
        'ipset("0.0.0.0/0", 4000000000)',
    ],
)
def test_values_that_are_too_large_differ(expression: str) -> None:
    fault(expression)


@pytest.mark.parametrize(
    "expression", ["merge ? merge :b", "length(merge)", "[merge]", "&temporary (merge / -2)"]
)
def test_an_expression_that_grows_with_every_pass_is_ended_and_differs(
    monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    monkeypatch.setattr(fixpoint, "MAX_REWRITES", 100)
    document = f"a: (( {expression} ))\n"
    assert "a never comes to an end" in refused(document, document, partial=True)


def test_numbers_wrap_around_as_those_of_64_bits() -> None:
    assert evaluate("9223372036854775807 + 1") == -9223372036854775808


def test_doubling_ends_in_an_error_and_differs() -> None:
    template = 's0: "0123456789"\n' + "".join(f"s{step + 1}: (( s{step} s{step} ))\n" for step in range(60))
    assert "s60" in refused(template)


def test_lists_that_grow_end_in_an_error_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concatenation, "MAX_ENTRIES", 1_000)
    assert len(evaluate("[1..500] [1..500]")) == 1_000
    assert "more than" in fault("[1..500] [1..501]")


def test_the_parts_of_a_message_do_not_grow_without_end() -> None:
    assert len(fault("x" * 100_000)) < 400_000
