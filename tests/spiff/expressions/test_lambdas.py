"""Lambdas: parameters, defaults, variable arguments, closures, currying, recursion; `catch[...]` and `sync[...]`."""

from typing import Any

import pytest

from dynaml import evaluate, exact, fault
from tweed_shim import spiff

FUNCTIONS = """
add: (( |a,b|->a + b ))
inc: (( lambda |x|->x + 1 ))
scale: (( |x,by=2|->x * by ))
all: (( |a,b=5,c=7|->[a, b, c] ))
many: (( |first,rest...|->[first, rest] ))
none: (( ||->42 ))
fact: (( |n1|->n1 <= 1 ? 1 :n1 * _(n1 - 1) ))
adder: (( |n1|->|x|->x + n1 ))
twice: (( |f,x|->(f)((f)(x)) ))
text: "|x|->x \\"!\\""
base: 100
fromhere: (( |x|->x + base ))
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (".add(1, 2)", 3),
        (".inc(4)", 5),
        (".inc(.inc(4))", 6),
        (".scale(4)", 8),
        (".scale(4, 3)", 12),
        (".all(1)", [1, 5, 7]),
        (".all(1, 2)", [1, 2, 7]),
        (".all(1, 2, 3)", [1, 2, 3]),
        (".all(a=1)", [1, 5, 7]),
        (".all(c=3, a=1)", [1, 5, 3]),
        (".all(c=3, 1)", [1, 5, 3]),
        (".all(b=9, 1)", [1, 9, 7]),
        (".all(3=0, 1)", [1, 5, 0]),
        (".many(1)", [1, []]),
        (".many(1, 2, 3)", [1, [2, 3]]),
        (".many([4, 5, 6]...)", [4, [5, 6]]),
        (".many(0, [4, 5]..., 9)", [0, [4, 5, 9]]),
        (".many(rest=[8], 1)", [1, [8]]),
        (".none()", 42),
        (".fact(5)", 120),
        ("(.adder(10))(5)", 15),
        (".adder(10)(5)", 15),
        (".twice(.inc, 1)", 3),
        (".twice(|x|->x * 3, 2)", 18),
        ('(lambda .text)("hey")', "hey!"),
        ("(|x|->x x)([1])", [1, 1]),
        ('(|x|->x.name)({$name = "kim"})', "kim"),
        (".add*(1)(5)", 6),
        (".all*(b=9)(1)", [1, 9, 7]),
        (".all*(c=0)(1, 2)", [1, 2, 0]),
        (".many*(1, 2)()", [1, [2]]),
        ('join*("-")("a", "b")', "a-b"),
        (".add(1)(2)", 3),
        (".fromhere(1)", 101),
        ("($base = 1) .fromhere(1)", 2),
        ("type(.inc)", "lambda"),
    ],
)
def test_calls(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, FUNCTIONS)) == exact(expected)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("f: (( |x|->x * f2 ))\nf2: 3\nin:\n  f2: 10\n  r: (( .f(2) ))\n", 20),
        ("a:\n  f: (( |x|->_.k + x ))\n  k: 1\nin:\n  k: 100\n  r: (( a.f(1) ))\n", 2),
        ("a:\n  f: (( |x|->k + x ))\n  k: 1\nin:\n  k: 100\n  r: (( a.f(1) ))\n", 101),
        ("f: (( |x|->.k + x ))\nk: 7\nin:\n  k: 100\n  r: (( .f(1) ))\n", 8),
        ("in:\n  g: (( |x|->|z|->[x, z] ))\n  h: (( .in.g(1) ))\n  r: (( .in.h(2) ))\n", [1, 2]),
        ("in:\n  r: (( ($k = 5) (|x|->x + k)(1) ))\n", 6),
        ("in:\n  sib: (( |x|->x ))\n  r: (( __.sib(3) ))\n", 3),
    ],
)
def test_what_a_lambda_sees(template: str, expected: Any) -> None:
    assert exact(spiff.merge(template)["in"]["r"]) == exact(expected)


def test_defaults_are_evaluated_where_the_lambda_is_written() -> None:
    stub = "d: 2\nf: (( |x,k=d * 2|->x * k ))\n"
    assert spiff.merge("f: (( &temporary(merge) ))\nin:\n  d: 50\n  r: (( .f(3) ))\n", stub) == {
        "in": {"d": 50, "r": 12}
    }


def test_lambdas_that_stay_in_the_result_are_text() -> None:
    assert spiff.merge("f: (( |x|->x + 1 ))\ng: (( lambda |x,z=2|->x ))\n") == {
        "f": "(( lambda|x|->x + 1 ))",
        "g": "(( lambda|x,z=2|->x ))",
    }


def test_lambdas_come_from_stubs() -> None:
    stub = "lib:\n  <<: (( &temporary ))\n  double: (( |x|->x * 2 ))\n"
    assert spiff.merge("lib: (( &temporary(merge) ))\nv: (( .lib.double(21) ))\n", stub) == {"v": 42}


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (".add(1, 2, 3)", "found 3 argument(s), but expects 2"),
        (".all()", ""),
        (".all(d=1)", "d"),
        (".none(1)", "found 1 argument(s), but expects 0"),
        (".base(1)", "requires function name or lambda value"),
        ("(5)(1)", ""),
        ('.inc("x")', "evaluation of lambda expression failed"),
        ("nosuchfunction(1)", "unknown function 'nosuchfunction'"),
        ("lambda 5", ""),
        ('lambda "no lambda"', ""),
        (".many(rest=5, 1)", ""),
        (".add([1, 2, 3]...)", "found 3 argument(s)"),
        (".add(base...)", ""),
    ],
)
def test_calls_that_do_not_fit(expression: str, reason: str) -> None:
    assert reason in fault(expression, FUNCTIONS)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("catch[5 * 5|v,e|->[v, e]]", [25, None]),
        ("catch[1 / 0|v,e|->[v, e]]", [None, "division by zero"]),
        ("catch[missing|v|->v]", None),
        ("catch[7|v|->v + 1]", 8),
        ("catch[missing|v,e|->e]", "'missing' not found"),
        ("catch[.add(1, 2)|v,e|->v]", 3),
        ("sync[base|v|->v == 100]", 100),
        ("sync[base|v|->v == 100,v + 1]", 101),
        ("sync[base|v|->v == 100|v|->v + 2]", 102),
        ("sync[base|v|->v == 100,v|1]", 100),
        ("sync[base|v|->v == 100|.inc]", 101),
        ("sync[base|v,e|->defined(v)]", 100),
    ],
)
def test_catch_and_sync(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, FUNCTIONS)) == exact(expected)


def test_sync_gives_up_after_its_time() -> None:
    assert "sync timeout" in fault("sync[1|v|->v == 2|v|->v|0]")
