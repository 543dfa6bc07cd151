"""Merging with stubs: by structure, with `merge` in all its forms, with `<<`, by key, and down a cascade of stubs."""

from typing import Any

import pytest

from dynaml import exact, refused
from tweed_shim import spiff


def check(template: str, stubs: list[str], expected: Any) -> None:
    assert exact(spiff.merge(template, *stubs)) == exact(expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("a: 1\n", ["a: 2\n"], {"a": 2}),
        ("a: 1\n", ["b: 2\n"], {"a": 1}),
        ("a: 1\nb: 1\n", ["a: 2\n", "a: 3\nb: 3\n"], {"a": 3, "b": 3}),
        ("a: {b: {c: 1, d: 1}}\n", ["a: {b: {c: 2}}\n"], {"a": {"b": {"c": 2, "d": 1}}}),
        ("a: {b: 1}\n", ["a: {b: 2, x: 3}\n"], {"a": {"b": 2}}),
        ("a: 1\n", ["a: text\n"], {"a": "text"}),
        ("a: text\n", ["a: {b: 1}\n"], {"a": {"b": 1}}),
        ("a: {b: 1}\n", ["a: 5\n"], {"a": {"b": 1}}),
        ("a: 1\n", ["a: ~\n"], {"a": None}),
        ("a: ~\n", ["a: 1\n"], {"a": 1}),
        ("a: 1\n", [""], {"a": 1}),
        ("a: true\n", ["a: false\n"], {"a": False}),
        ("a: [1, 2]\n", ["a: [3]\n"], {"a": [1, 2]}),
        ("a: []\n", ["a: [3]\n"], {"a": []}),
        ("a: [{x: 1}, {x: 2}]\n", ["a: [{x: 8}]\n"], {"a": [{"x": 8}, {"x": 2}]}),
        ("a: [{x: 1}]\n", ["a: [{x: 8}, {x: 9}]\n"], {"a": [{"x": 8}]}),
        ("a: [{name: m, x: 1}, {name: o, x: 2}]\n", ["a: [{name: o, x: 9}]\n"],
         {"a": [{"name": "m", "x": 1}, {"name": "o", "x": 9}]}),
        ("a: [{name: m, x: 1}]\n", ["a: [{name: o, x: 9}]\n"], {"a": [{"name": "m", "x": 1}]}),
        ("a: [{id: 1, x: 1}, {id: 2, x: 1}]\n", ["a: [{'key:id': 1, x: 9}]\n"],
         {"a": [{"id": 1, "x": 9}, {"id": 2, "x": 1}]}),
        ("a: [{'key:id': p, x: 1}, {id: q, x: 1}]\n", ["a: [{id: q, x: 9}]\n"],
         {"a": [{"id": "p", "x": 1}, {"id": "q", "x": 9}]}),
        ("a: [{'key:!name': m, x: 1}, {name: o, x: 2}]\n", ["a: [{name: o, x: 9}]\n"],
         {"a": [{"name": "o", "x": 9}, {"name": "o", "x": 2}]}),
        ("- {name: m, x: 1}\n", ["- {name: m, x: 2}\n"], [{"name": "m", "x": 2}]),
        ("a: (( b ))\nb: 1\n", ["b: 2\n"], {"a": 2, "b": 2}),
        ("a: (( b ))\nb: 1\n", ["a: 5\n"], {"a": 5, "b": 1}),
        ("a: (( 1 / 0 ))\n", ["a: 5\n"], {"a": 5}),
        ("a: (( missing ))\n", ["a: [5]\n"], {"a": [5]}),
        ("a: {x: 1, y2: (( x ))}\n", ["a: {x: 7}\n"], {"a": {"x": 7, "y2": 7}}),
    ],
)  # fmt: skip
def test_what_a_stub_overrides_by_structure(template: str, stubs: list[str], expected: Any) -> None:
    check(template, stubs, expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("a: (( merge ))\n", ["a: 1\n"], {"a": 1}),
        ("a: (( merge ))\n", ["b: 1\n", "a: 2\n"], {"a": 2}),
        ("a: (( merge ))\n", ["a: 1\n", "a: 2\n"], {"a": 2}),
        ("a: (( merge ))\n", ["a: {b: [1, {c: d}]}\n"], {"a": {"b": [1, {"c": "d"}]}}),
        ("a: (( merge ))\n", ["a: ~\n"], {"a": None}),
        ("a: (( merge || 5 ))\n", [], {"a": 5}),
        ("a: (( merge || 5 ))\n", ["a: 1\n"], {"a": 1}),
        ("a: (( merge // 5 ))\n", ["a: ~\n"], {"a": 5}),
        ("a: (( merge || nil ))\n", [], {"a": None}),
        ("a: {b: {c: (( merge ))}}\n", ["a: {b: {c: x}}\n"], {"a": {"b": {"c": "x"}}}),
        ("a: (( merge b ))\n", ["a: 1\nb: 2\n"], {"a": 2}),
        ("a: (( merge b.c ))\n", ["b: {c: 3}\n"], {"a": 3}),
        ("a: (( merge b ))\n", ["b: {x: 1}\n"], {"a": {"x": 1}}),
        ("a: (( merge b || 9 ))\n", ["a: 1\n"], {"a": 9}),
        ("a: (( merge none ))\n", ["a: 1\n"], {"a": None}),
        ("a: (( merge none // 7 ))\n", ["a: 1\n"], {"a": 7}),
        ("a: (( merge none // stub() + 1 ))\n", ["a: 1\n"], {"a": 2}),
        (
            "list:\n- name: m\n  x: (( merge ))\n",
            ["list: [{name: m, x: 4}]\n"],
            {"list": [{"name": "m", "x": 4}]},
        ),
        ("list:\n- x: (( merge ))\n", ["list: [{x: 4}]\n"], {"list": [{"x": 4}]}),
    ],
)
def test_merge_as_a_value(template: str, stubs: list[str], expected: Any) -> None:
    check(template, stubs, expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("m:\n  <<: (( merge ))\n  b: 3\n", ["m: {a: 1, b: 2}\n"], {"m": {"a": 1, "b": 2}}),
        ("m:\n  <<<: (( merge ))\n  b: 3\n", ["m: {a: 1, b: 2}\n"], {"m": {"a": 1, "b": 2}}),
        ("m:\n  <<: (( merge ))\n  b: 3\n", [], {"m": {"b": 3}}),
        ("m:\n  <<: (( merge || nil ))\n  b: 3\n", [], {"m": {"b": 3}}),
        ("<<: (( merge ))\na: 1\n", ["b: 2\n"], {"a": 1, "b": 2}),
        ("m:\n  <<: (( merge ))\n  d: {e: 1}\n", ["m: {d: {e: 2, f: 3}, g: 4}\n"], {"m": {"d": {"e": 2}, "g": 4}}),
        ("m:\n  <<: (( merge replace ))\n  b: 3\n  c: 4\n", ["m: {a: 1, b: 2}\n"], {"m": {"a": 1, "b": 2}}),
        ("m:\n  <<: (( merge other ))\n  b: 3\n  c: 4\n", ["m: {a: 10, b: 20}\nother: {a: 1, b: 2}\n"],
         {"m": {"a": 1, "b": 2, "c": 4}}),
        ("m:\n  <<: (( merge replace other ))\n  c: 4\n", ["other: {a: 1}\n"], {"m": {"a": 1}}),
        ("m:\n  <<: (( merge none ))\n  v: own\n", ["m: {v: theirs}\n"], {"m": {"v": "own"}}),
        ("m:\n  <<: (( merge none ))\n  v: (( \"+\" stub(m.v) ))\n", ["m: {v: theirs}\n"], {"m": {"v": "+theirs"}}),
        ("m:\n  <<: (( merge required ))\n  b: 3\n", ["m: {a: 1}\n"], {"m": {"a": 1, "b": 3}}),
        ("l:\n- 3\n- <<: (( merge ))\n- 4\n", ["l: [1, 2]\n"], {"l": [3, 1, 2, 4]}),
        ("l:\n- 3\n- <<: (( merge ))\n", [], {"l": [3]}),
        ("l:\n- <<: (( merge ))\n- name: a\n  v: 1\n", ["l: [{name: a, v: 2}, {name: b, v: 3}]\n"],
         {"l": [{"name": "b", "v": 3}, {"name": "a", "v": 2}]}),
        ("l:\n- name: a\n  v: 1\n- <<: (( merge ))\n", ["l: [{name: b, v: 3}]\n"],
         {"l": [{"name": "a", "v": 1}, {"name": "b", "v": 3}]}),
        ("l:\n- <<: (( merge on id ))\n- {id: a, v: 1}\n- {id: b, v: 1}\n", ["l: [{id: a, v: 2}, {id: c, v: 3}]\n"],
         {"l": [{"id": "c", "v": 3}, {"id": "a", "v": 2}, {"id": "b", "v": 1}]}),
        ("l:\n- <<: (( merge replace ))\n- 3\n", ["l: [1, 2]\n"], {"l": [1, 2]}),
        ("l:\n- 3\n- <<: (( merge other ))\n", ["l: [9]\nother: [1, 2]\n"], {"l": [3, 1, 2]}),
    ],
)  # fmt: skip
def test_merge_into_maps_and_lists(template: str, stubs: list[str], expected: Any) -> None:
    check(template, stubs, expected)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a: {x: 1, z: 2}\nb:\n  <<: (( a ))\n  z: 3\n", {"x": 1, "z": 3}),
        ("a: {x: 1}\nb:\n  <<: (( a || nil ))\n", {"x": 1}),
        ("b:\n  <<: (( missing || nil ))\n  q: 1\n", {"q": 1}),
        ("a: [1, 2]\nb:\n- 3\n- <<: (( a ))\n- 4\n", [3, 1, 2, 4]),
        ("a: [1]\nb:\n- <<: (( a ))\n- <<: (( a ))\n", [1, 1]),
        ("b:\n  <<: (( {$k = 5} ))\n  l: (( k ))\n", {"k": 5, "l": 5}),
        ("a: {x: {p: 1}}\nb:\n  <<: (( a ))\n  x: {q: 2}\n", {"x": {"q": 2}}),
        ("b:\n- <<: (( [1..3] ))\n", [1, 2, 3]),
        ("a: [{name: k, v: 1}]\nb:\n- <<: (( a ))\n- {name: l, v: 2}\n",
         [{"name": "k", "v": 1}, {"name": "l", "v": 2}]),
        ("b:\n- <<: (( [{$name = \"l\", $v = 1}, {$name = \"m\", $v = 1}] ))\n- {name: l, v: 2}\n",
         [{"name": "m", "v": 1}, {"name": "l", "v": 2}]),
    ],
)  # fmt: skip
def test_insertion_from_the_same_document(template: str, expected: Any) -> None:
    assert exact(spiff.merge(template)["b"]) == exact(expected)


@pytest.mark.parametrize(
    ("template", "stubs", "expected"),
    [
        ("a: (( merge ))\n", ["a: (( b ))\nb: 3\n"], {"a": 3}),
        ("a: (( merge ))\n", ["a: (( merge ))\n", "a: 4\n"], {"a": 4}),
        ("a: (( merge ))\n", ["a: 1\nb: (( a ))\n", "a: 2\n"], {"a": 2}),
        ("a: 0\n", ["a: 1\n", "a: 2\n"], {"a": 2}),
        ("a: 0\nb: 0\n", ["a: (( b + 1 ))\nb: 5\n", "b: 7\n"], {"a": 8, "b": 7}),
        (
            "out: (( merge ))\n",
            ["out:\n  <<: (( merge ))\n  a: 1\n", "out: {b: 2}\n"],
            {"out": {"a": 1, "b": 2}},
        ),
        ("o: (( stub(p.q) ))\n", ["p: {q: 5}\n"], {"o": 5}),
        ("o: (( stub(p.q) ))\n", ["z: 1\n", "p: {q: 5}\n"], {"o": 5}),
        ('o: (( stub("p.q") ))\n', ["p: {q: 5}\n"], {"o": 5}),
        ('o: (( stub(["p", "q"]) ))\n', ["p: {q: 5}\n"], {"o": 5}),
        ("o: (( stub(p) || 1 ))\n", [], {"o": 1}),
        ("x: {auto: 1}\no: (( x ))\n", ["o: {auto: 2}\n"], {"x": {"auto": 1}, "o": {"auto": 2}}),
    ],
)
def test_a_cascade_of_stubs(template: str, stubs: list[str], expected: Any) -> None:
    check(template, stubs, expected)


def test_auto_counts_the_instances_of_a_pool() -> None:
    template = """
resource_pools:
- name: small
  size: (( auto ))
- name: large
  size: (( auto ))
jobs:
- {name: one, resource_pool: small, instances: 2}
- {name: two, resource_pool: small, instances: 5}
- {name: three, resource_pool: large, instances: 1}
"""
    assert [pool["size"] for pool in spiff.merge(template)["resource_pools"]] == [7, 1]


@pytest.mark.parametrize(
    ("template", "stubs", "reason"),
    [
        ("a: (( merge ))\n", [], "'a' not found in any stub"),
        ("a: (( merge ))\n", ["b: 1\n"], "'a' not found in any stub"),
        ("a: (( merge b.c ))\n", ["b: 1\n"], "'b.c' not found in any stub"),
        ("m:\n  <<: (( merge required ))\n", [], "not found in any stub"),
        ("a: 1\n", ["b: (( missing ))\n"], "'missing' not found"),
        ("a: (( auto ))\n", [], "auto"),
        ("m:\n  <<: (( missing ))\n", [], "'missing' not found"),
        ("m:\n  <<: (( 5 ))\n", [], "require map value for '<<' insert, found 'int'"),
        ("a: (( stub(p.q) ))\n", ["p: 1\n"], "not found in any stub"),
    ],
)
def test_what_cannot_be_merged_is_told(template: str, stubs: list[str], reason: str) -> None:
    assert reason in refused(template, *stubs)
