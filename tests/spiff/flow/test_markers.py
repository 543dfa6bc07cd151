"""Markers: temporary, local, dynamic, inject, default, state, template; and what templates are used for."""

from typing import Any

import pytest

from dynaml import exact, refused
from tweed_shim import spiff


def check(template: str, stubs: list[str], expected: Any) -> None:
    assert exact(spiff.merge(template, *stubs)) == exact(expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("t:\n  <<: (( &temporary ))\n  a: 1\nv: (( t.a ))\n", [], {"v": 1}),
        ("t:\n  <<<: (( &temporary ))\n  a: 1\nv: (( t.a ))\n", [], {"v": 1}),
        ("t:\n- <<: (( &temporary ))\n- 5\nv: (( t[0] ))\n", [], {"v": 5}),
        ("t: (( &temporary(5) ))\nv: (( t ))\n", [], {"v": 5}),
        ("t: (( &temporary ( 1 + 1 ) ))\nv: (( t ))\n", [], {"v": 2}),
        ("t: (( &temporary(merge) ))\nv: (( t ))\n", ["t: 3\n"], {"v": 3}),
        (
            "t:\n  <<: (( &temporary(merge) ))\n  a: 1\nv: (( t ))\n",
            ["t: {a: 2, b: 3}\n"],
            {"v": {"a": 2, "b": 3}},
        ),
        ("a:\n  t: (( &temporary(5) ))\n  v: (( t ))\n", [], {"a": {"v": 5}}),
        ("t: 1\nv: 2\n", ["t: (( &temporary(7) ))\n"], {"v": 2}),
        ("v: (( merge t ))\n", ["t: (( &temporary(7) ))\n"], {}),
        ("v: (( t ))\nt: (( &temporary ))\n", ["t: 6\n"], {"v": 6}),
        ("<<: (( &temporary ))\na: 1\n", ["a: 2\n"], None),
    ],
)
def test_temporary(template: str, stubs: list[str], expected: Any) -> None:
    if expected is None:
        assert spiff.merge_stream(template, *stubs) == []
    else:
        check(template, stubs, expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("l:\n  <<: (( &local ))\n  a: 1\nv: (( l.a ))\n", [], {"v": 1}),
        ("l: (( &local(5) ))\nv: (( l ))\n", [], {"v": 5}),
        ("v: 0\nl: 1\n", ["l: (( &local(5) ))\nv: (( l ))\n"], {"v": 5, "l": 1}),
        (
            'v: (( merge || 0 ))\nl: (( merge || "gone" ))\n',
            ["l: (( &local(5) ))\nv: (( l ))\n"],
            {"v": 5, "l": "gone"},
        ),
    ],
)
def test_local(template: str, stubs: list[str], expected: Any) -> None:
    check(template, stubs, expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("a: {x: 1}\n", ["a:\n  p: (( &inject(2) ))\n  o: 3\n"], {"a": {"x": 1, "p": 2}}),
        ("a: 1\n", ["b:\n  <<: (( &inject ))\n  c: 2\n"], {"a": 1, "b": {"c": 2}}),
        ("a: 1\n", ["b: (( &inject(7) ))\n"], {"a": 1, "b": 7}),
        ("a: 1\n", ["b: {c: (( &inject(7) ))}\n"], {"a": 1}),
        ("a: 1\n", ["z: 0\n", "b: (( &inject(7) ))\n"], {"a": 1, "b": 7}),
        ("b: 1\n", ["b: (( &inject(7) ))\n"], {"b": 7}),
        (
            "l: [{name: k, x: 1}]\n",
            ["l:\n- name: k\n  w: (( &inject(7) ))\n"],
            {"l": [{"name": "k", "x": 1, "w": 7}]},
        ),
        ("a: 1\n", ["b: (( &inject &temporary(7) ))\n"], {"a": 1}),
        ("a: (( b ))\n", ["b: (( &inject &temporary(7) ))\n"], {"a": 7}),
        ("a: {b: 1}\n", ["a: {c: (( &inject(d) ))}\nd: 4\n"], {"a": {"b": 1, "c": 4}}),
        ("a: 1\n", ["b: (( &inject(merge || 1) ))\n", "b: 2\n"], {"a": 1, "b": 2}),
    ],
)
def test_inject(template: str, stubs: list[str], expected: Any) -> None:
    check(template, stubs, expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("a: {}\n", ["a: {b: (( &default(5) ))}\n"], {"a": {"b": 5}}),
        ("a: {b: 1}\n", ["a: {b: (( &default(5) ))}\n"], {"a": {"b": 1}}),
        ("a: {}\n", ["a:\n  m:\n    <<: (( &default ))\n    x: 1\n"], {"a": {"m": {"x": 1}}}),
        ("a: {m: {z: 2}}\n", ["a:\n  m:\n    <<: (( &default ))\n    x: 1\n"], {"a": {"m": {"z": 2}}}),
        ("a: {m: {z: 2}}\n", ["a:\n  m:\n    <<: (( &default ))\n    x: (( &default(1) ))\n    w: 3\n"],
         {"a": {"m": {"z": 2, "x": 1}}}),
        ("a: 1\n", ["b: (( &default(5) ))\n"], {"a": 1, "b": 5}),
        ("a: {}\n", ["a: {b: 4}\n", "a: {b: (( &default(5) ))}\n"], {"a": {}}),
        ("a: {}\n", ["a: {}\n", "a: {b: (( &default(5) ))}\n"], {"a": {"b": 5}}),
    ],
)  # fmt: skip
def test_default(template: str, stubs: list[str], expected: Any) -> None:
    check(template, stubs, expected)


def test_state_is_as_if_it_were_not_there() -> None:
    assert spiff.merge("s:\n  <<: (( &state ))\n  a: 1\nt: (( &state(2) ))\n") == {"s": {"a": 1}, "t": 2}
    assert spiff.merge("t: (( &state(2) ))\n", "t: 5\n") == {"t": 5}


def test_dynamic_templates_are_evaluated_where_they_land() -> None:
    stub = 'label: (( &dynamic &inject &template(who "!") ))\nwho: stub\n'
    assert spiff.merge("who: template\n", stub) == {"who": "stub", "label": "stub!"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("t:\n  <<: (( &template ))\n  a: (( b ))\nr:\n  <<: (( *t ))\n  b: 1\n", {"a": 1, "b": 1}),
        ("t:\n  <<: (( &template ))\n  a: (( n1 ))\nr:\n  n1: 1\n  in: (( *t ))\n", {"n1": 1, "in": {"a": 1}}),
        ("t: (( &template(n1 + 1) ))\nr:\n  n1: 1\n  in: (( *t ))\n", {"n1": 1, "in": 2}),
        ("t:\n- <<: (( &template ))\n- (( n1 ))\n- 2\nr:\n  n1: 1\n  in: (( *t ))\n", {"n1": 1, "in": [1, 2]}),
        ("x:\n  t:\n    <<: (( &template ))\n    a: 1\nr: (( *x.t ))\n", {"a": 1}),
        ("t:\n  <<: (( &template ))\n  a: 1\n  b: (( .n1 ))\nn1: 5\nr: (( *t ))\n", {"a": 1, "b": 5}),
        ("t:\n  <<: (( &template ))\n  a: (( x ))\nr: (( ($x = 5) *t ))\n", {"a": 5}),
        ("t:\n  <<: (( &template ))\n  a: (( x ))\nf: (( |x|->*t ))\nr: (( [.f(1), .f(2)] ))\n", [{"a": 1}, {"a": 2}]),
        ("t:\n  <<: (( &template ))\n  a: (( x ))\nr: (( map[[1, 2]|x|->*t] ))\n", [{"a": 1}, {"a": 2}]),
        ("t:\n  <<: (( &template ))\n  a: (( _.side ))\nside: 4\nr:\n  side: 5\n  in: (( *t ))\n",
         {"side": 5, "in": {"a": 4}}),
        ("t:\n  <<: (( &template ))\n  p: 1\n  q: (( __.p + 1 ))\nr: (( *t ))\n", {"p": 1, "q": 2}),
        ("t:\n  <<: (( &template ))\n  a: 1\nr: (( type(t) ))\n", "template"),
        ("t:\n  <<: (( &template ))\n  a: (( x || \"no\" ))\nr: (( *t ))\n", {"a": "no"}),
        ("t:\n  <<: (( &template(u) ))\n  a: 1\nu: {b: 2}\nr: (( *t ))\n", {"a": 1, "b": 2}),
    ],
)  # fmt: skip
def test_templates(template: str, expected: Any) -> None:
    assert exact(spiff.merge(template)["r"]) == exact(expected)


def test_a_template_that_stays_in_the_result_is_as_it_was_written() -> None:
    assert spiff.merge("t:\n  <<: (( &template ))\n  a: (( b ))\nu: (( &template(b) ))\n") == {
        "t": {"<<": "(( &template ))", "a": "(( b ))"},
        "u": "(( &template ((b)) ))",
    }


def test_templates_come_from_stubs_and_are_replaced_whole() -> None:
    stub = "t:\n  <<: (( &template ))\n  b: (( n1 ))\n  n1: 2\n"
    assert spiff.merge("t: (( &temporary(merge) ))\nr: (( *t ))\n", stub) == {"r": {"b": 2, "n1": 2}}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a: (( *b ))\nb: 1\n", "template value required"),
        ("a: (( *b ))\n", "'b' not found"),
        ("t:\n  <<: (( &template ))\n  a: (( x ))\nr: (( *t ))\n", "'x' not found"),
        ("a: (( &nosuchmarker(1) ))\n", "parse error"),
        ("a: (( &temporary 1 ))\n", "parse error"),
    ],
)
def test_markers_and_templates_that_do_not_fit(template: str, reason: str) -> None:
    assert reason in refused(template)
