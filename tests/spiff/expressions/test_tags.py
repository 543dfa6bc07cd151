"""Tags, and documents that follow one another."""

from typing import Any

import pytest

from dynaml import evaluate, exact, refused
from tweed_shim import spiff


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("d:\n  <<: (( &tag:who ))\n  name: kim\nr: (( who::name ))\n", "kim"),
        ("d:\n  <<: (( &tag:who ))\n  name: kim\nr: (( who::. ))\n", {"name": "kim"}),
        ("d: (( &tag:age(5) ))\nr: (( age::. + 1 ))\n", 6),
        ("d:\n  <<: (( &tag:lib:one ))\n  v: 1\nr: (( lib:one::v ))\n", 1),
        ("d:\n  <<: (( &tag:lib:one ))\n  v: 1\nr: (( lib.one::v ))\n", 1),
        ("d:\n  <<: (( &tag:lib:one ))\n  v: 1\nr: (( lib::v ))\n", 1),
        ("d:\n- <<: (( &tag:lib:one ))\n  v: 1\n- <<: (( &tag:lib:one:deep ))\n  v: 2\nr: (( lib::v ))\n", 1),
        ("d:\n- <<: (( &tag:lib:one ))\n  v: 1\n- <<: (( &tag:lib:one:deep ))\n  w: 2\nr: (( lib::w ))\n", 2),
        ("d:\n- <<: (( &tag:a ))\n- 7\nr: (( (a::.)[0] ))\n", 7),
        ("d:\n  <<: (( &tag:who &temporary ))\n  name: kim\nr: (( who::name ))\n", "kim"),
        ("d:\n  <<: (( &tag:who ))\n  p: {q: 3}\nr: (( who::p.q ))\n", 3),
        ("d:\n  <<: (( &tag:who ))\n  v: (( w ))\n  w: 9\nr: (( who::v ))\n", 9),
        ('d: (( tagdef("made", 5) ))\nr: (( made::. ))\n', 5),
        ('d: (( tagdef("made:up", {$k = 1}) ))\nr: (( made:up::k ))\n', 1),
        ("d:\n  <<: (( &tag:lib ))\n  f: (( |x|->x + 1 ))\nr: (( lib::f(2) ))\n", 3),
        ("r: (( nosuch::v || 3 ))\n", 3),
        ("d: (( &tag:k(1) ))\nk: 2\nr: (( k ))\n", 2),
    ],
)
def test_tags_name_values(template: str, expected: Any) -> None:
    assert exact(spiff.merge(template)["r"]) == exact(expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("r: (( g::v ))\n", ["d:\n  <<: (( &tag:*g ))\n  v: 1\n"], {"r": 1}),
        ('r: (( g::v || "local" ))\n', ["d:\n  <<: (( &tag:g ))\n  v: 1\n"], {"r": "local"}),
        ("r: (( g::. ))\n", ['d: (( tagdef("g", 4, "global") ))\n'], {"r": 4}),
        ("r: (( g::. ))\n", ['d: (( tagdef("*g", 4) ))\n'], {"r": 4}),
        ("r: 0\n", ["r: (( g::. ))\n", "d: (( &tag:*g(5) ))\n"], {"r": 5}),
        ("r: (( lib::v ))\n", ["d:\n  <<: (( &tag:*lib:x ))\n  v: 1\n"], {"r": 1}),
    ],
)
def test_global_tags_outlive_their_stub(template: str, stubs: list[str], expected: Any) -> None:
    assert exact(spiff.merge(template, *stubs)) == exact(expected)


def test_tags_are_given_from_outside() -> None:
    assert spiff.merge("r: (( cfg::a.b ))\ns: (( cfg::. ))\n", tags={"cfg": {"a": {"b": 5}}}) == {
        "r": 5,
        "s": {"a": {"b": 5}},
    }


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("r: (( nosuch::v ))\n", "nosuch"),
        ("d:\n- <<: (( &tag:l:a ))\n  v: 1\n- <<: (( &tag:l:b ))\n  v: 2\nr: (( l::v ))\n", "ambig"),
        ("d: (( &tag:t(1) ))\ne: (( &tag:t(2) ))\n", "duplicate tag"),
        ("d: (( &tag:who(5) ))\nr: (( who::x ))\n", "who::x"),
        ('d: (( tagdef("1bad", 5) ))\n', "1bad"),
        ('d: (( tagdef("good", 5, "sideways") ))\n', "sideways"),
    ],
)
def test_tags_that_do_not_fit(template: str, reason: str) -> None:
    assert reason in refused(template)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: (( 1 + 1 ))\n---\n- (( 2 * 2 ))\n---\n(( 3 ))\n", [{"a": 2}, [4], 3]),
        ("<<: (( &temporary ))\nd: (( &tag:t(5) ))\n---\nv: (( t::. ))\n", [{"v": 5}]),
        ("d: (( &tag:t(5) ))\n---\nv: (( t::. ))\n---\nw: (( t::. ))\n", [{"d": 5}, {"v": 5}, {"w": 5}]),
        ("a: 1\n---\nb: (( doc.1::a ))\n", [{"a": 1}, {"b": 1}]),
        ("a: 1\n---\nb: (( doc.1::. ))\n", [{"a": 1}, {"b": {"a": 1}}]),
        (
            "a: 1\n---\nb: (( doc.-1::a ))\n---\nc: (( doc.-1::b doc.1::a ))\n",
            [{"a": 1}, {"b": 1}, {"c": "11"}],
        ),
        ("---\n---\na: 1\n", [None, {"a": 1}]),
        ("a: 1\n", [{"a": 1}]),
    ],
)
def test_a_stream_of_documents(template: str, expected: Any) -> None:
    assert exact(spiff.merge_stream(template)) == exact(expected)


def test_every_document_of_a_stream_is_merged_with_the_stubs() -> None:
    assert spiff.merge_stream("a: 1\n---\na: 2\nb: (( merge ))\n", "a: 9\nb: 8\n") == [
        {"a": 9},
        {"a": 9, "b": 8},
    ]


def test_a_stub_is_one_document() -> None:
    assert "document" in refused("a: 1\n", "a: 2\n---\na: 3\n")


def test_a_tag_does_not_stand_in_the_way_of_a_name() -> None:
    assert evaluate("t + t::.", "t: 1\nd: (( &tag:t(5) ))\n") == 6
