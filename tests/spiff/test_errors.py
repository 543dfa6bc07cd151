"""Errors: every unresolved node with its expression, document, path and reason, in the order of their causes."""

import pytest

from dynaml import refused
from tweed_shim import spiff


@pytest.mark.parametrize(
    ("template", "lines"),
    [
        ("a: (( b ))\n", ["\t(( b ))\tin template\ta\t()\t*'b' not found"]),
        ("a:\n- x: (( b.c ))\n", ["\t(( b.c ))\tin template\ta.[0].x\t()\t*'b' not found"]),
        ("l:\n- name: k\n  v: (( b ))\n", ["\t(( b ))\tin template\tl.[0].v\t(l.name:k.v)\t*'b' not found"]),
        ("a: (( merge ))\n", ["\t(( merge ))\tin template\ta\t(a)\t*'a' not found in any stub"]),
        ("a: (( merge b.c ))\n", ["\t(( merge b.c ))\tin template\ta\t(b.c)\t*'b.c' not found in any stub"]),
        ("a: (( 1   +   2 ]))\n", ["*parse error"]),
        ("a: |-\n  ((\n  1 +\n  ))\n", ["*parse error"]),
        ("a: (( b ))\nb: (( c ))\n", ["\t(( c ))\tin template\tb\t()\t*'c' not found", "\tin template\ta\t()\t"]),
        ("a: (( b ))\nb: (( a ))\n", ["\t(( b ))\tin template\ta\t()\t@", "\t(( a ))\tin template\tb\t()\t@"]),
        ("a: (( a ))\n", ["\t(( a ))\tin template\ta\t()\t"]),
        ("a: (( length(5) ))\n", ["\t(( length(5) ))\tin template\ta\t()\t*invalid type for function length"]),
        ("a: (( nosuch(1) ))\n", ["*unknown function 'nosuch'"]),
        ("f: (( |x|->x / 0 ))\na: (( .f(1) ))\n", ["*evaluation of lambda expression failed", "division by zero"]),
        (
            "t:\n  <<: (( &template ))\n  v: (( x ))\na: (( *t ))\n",
            ["resolution of template 't' failed", "(( x ))", "'x' not found"],
        ),
        ("a: (( 1 / 0 ))\nb: (( 2 / 0 ))\n", ["\ta\t", "\tb\t"]),
    ],
)  # fmt: skip
def test_what_an_error_tells(template: str, lines: list[str]) -> None:
    message = refused(template)
    assert message.startswith("unresolved nodes:\n")
    for line in lines:
        assert line in message


def test_own_faults_come_before_those_that_follow_from_them() -> None:
    message = refused("a: (( z ))\nm: (( missing ))\nz: (( 1 / 0 ))\n")
    own, following = message.index("division by zero"), message.index("(( z ))")
    assert own < following


def test_a_fault_in_a_stub_names_the_stub() -> None:
    assert "\t(( b ))\tin stub2\ta\t()\t*'b' not found" in refused("a: 1\n", "a: 2\n", "a: (( b ))\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1, 2\n", "line"),
        ("a: 1\n b: 2\n", "line"),
        ("a: 'open\n", "line"),
        ("1: x\n", "key"),
        ("true: x\n", "key"),
        ("a: *nosuch\n", ""),
        ("a: {b: 1\n", ""),
        ("\ta: 1\n", ""),
        ("a: b: c\n", ""),
    ],
)
def test_documents_that_are_no_yaml(text: str, reason: str) -> None:
    assert reason in refused(text)
    assert reason in refused("a: 1\n", text)


def test_partial_keeps_what_cannot_be_resolved() -> None:
    assert spiff.merge("a: (( b ))\nc: (( 1 + 1 ))\nd: (( a c ))\n", partial=True) == {
        "a": "(( b ))",
        "c": 2,
        "d": "(( a c ))",
    }


@pytest.mark.parametrize(
    ("template", "stubs", "options", "message"),
    [
        ("a: 1", (), {"mode": "all"}, "the mode 'all' is unknown; use one of private, files, system"),
        ("a: 1", ("b: 1\n---\nc: 1",), {}, "stub1: it has 2 documents, but a stub has one; split the file"),
        ("1: a", (), {}, "template: line 1, column 1: a key must be a text, but 1 is not; quote it"),
        (
            "a: &a [*a]",
            (),
            {},
            "template: line 1, column 8: the alias '*a' is within the value that it stands for",
        ),
        (
            "f: (( |x|->.f(x) ))\na: (( .f(1) ))",
            (),
            {},
            "template: a never ends: lambdas or templates use each other more than 1,000 levels deep",
        ),
    ],
)
def test_what_is_refused_is_one_sentence(
    template: str, stubs: tuple[str, ...], options: dict[str, str], message: str
) -> None:
    assert refused(template, *stubs, **options) == message
