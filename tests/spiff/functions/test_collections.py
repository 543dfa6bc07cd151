"""Functions on lists and maps."""

from typing import Any

import pytest

from dynaml import evaluate, exact, fault

DOCUMENT = """
list: [c, a, b, a]
numbers: [3, 1, 2]
mixed: [1, "1", [1], {a: 1}, ~, true]
map: {z: 1, b: 2}
deep: {a: {b: 1, c: 2}, d: 3}
deeper: {a: {b: 9, e: 4}, f: 5}
people:
- {name: tom, age: 3}
- {name: ann, age: 5}
keyed:
- {"key:id": p, v: 1}
- {id: q, v: 2}
pairs:
- {key: one, value: 1}
- {key: 2, value: two}
- {key: true, value: ~}
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("length(list)", 4),
        ("length([])", 0),
        ("length(map)", 2),
        ("length({})", 0),
        ("element(list, 1)", "a"),
        ('element(map, "z")', 1),
        ('element({"a.b" = 5}, "a.b")', 5),
        ('compact(["", "a", [], {}, ~, 0, "b"])', ["a", 0, "b"]),
        ("uniq(list)", ["c", "a", "b"]),
        ('uniq([1, "1", 1.0, [1], [1]])', [1, 1.0, [1]]),
        ('contains(list, "b")', True),
        ('contains(list, "x")', False),
        ("contains(numbers, 2)", True),
        ("contains(mixed, [1])", True),
        ("contains(mixed, {$a = 1})", True),
        ("contains(mixed, ~)", False),
        ('contains(map, "b")', True),
        ('contains(map, "x")', False),
        ('contains("text", "ex")', True),
        ('index(list, "a")', 1),
        ('lastindex(list, "a")', 3),
        ('index(list, "x")', -1),
        ("sort(list)", ["a", "a", "b", "c"]),
        ("sort(numbers)", [1, 2, 3]),
        ("sort([])", []),
        ("sort(numbers, |a,b|->a > b)", [3, 2, 1]),
        ("sort(numbers, |a,b|->b - a)", [3, 2, 1]),
        ("map[sort(people, |a,b|->a.name < b.name)|p|->p.name]", ["ann", "tom"]),
        ('sort(["bb", "a", "ccc"], |a,b|->length(a) - length(b))', ["a", "bb", "ccc"]),
        ("reverse(numbers)", [2, 1, 3]),
        ("reverse([])", []),
        ('intersect(list, ["a", "x", "c"])', ["c", "a", "a"]),
        ("intersect([1, 2, 3], [2, 3], [3])", [3]),
        ("intersect([[1], {$a = 1}], [{$a = 1}, [2]])", [{"a": 1}]),
        ("keys(map)", ["b", "z"]),
        ("keys({})", []),
        ("list_to_map(people)", {"tom": {"age": 3}, "ann": {"age": 5}}),
        ("list_to_map(keyed)", {"p": {"v": 1}, "q": {"v": 2}}),
        ('list_to_map([{$k = "x", $v = 1}], "k")', {"x": {"v": 1}}),
        ("makemap(pairs)", {"one": 1, "2": "two", "true": None}),
        ('makemap("a", 1, "b", [2])', {"a": 1, "b": [2]}),
        ("makemap()", {}),
        ("makemap(1, 2)", {"1": 2}),
        ("deepmerge(deep, deeper)", {"a": {"b": 9, "c": 2, "e": 4}, "d": 3, "f": 5}),
        ("deepmerge([deep, {$d = ~}])", {"a": {"b": 1, "c": 2}, "d": None}),
        ("deepmerge(deep)", {"a": {"b": 1, "c": 2}, "d": 3}),
        ("merge(deep, deeper)", {"a": {"b": 9, "c": 2}, "d": 3}),
        ("merge(deep, {$d = 5}, {$d = 6})", {"a": {"b": 1, "c": 2}, "d": 6}),
        ("merge([map, {$z = 9}])", {"z": 9, "b": 2}),
        ('merge(map, {"z" = "(( w ))", "w" = 100})', {"z": 100, "b": 2}),
    ],
)
def test_collections(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("t:\n  <<: (( &template ))\n  a: 1\n  b: (( a ))\nr: (( merge(t, {$a = 5}) ))\n", {"a": 5, "b": 5}),
        ("d: {k: 7}\nt:\n  <<: (( &template ))\n  a: (( d.k ))\nr: (( merge(t) ))\n", {"a": 7}),
        (
            "d: {k: 7}\nt:\n  <<: (( &template ))\n  a: (( __ctx.OUTER.[0].d.k ))\nr: (( merge(t) ))\n",
            {"a": 7},
        ),
        ("x: {a: 1, b: (( a ))}\nr: (( merge(x, {$a = 5}) ))\n", {"a": 5, "b": 1}),
    ],
)
def test_a_merge_within_an_expression(template: str, expected: Any) -> None:
    from tweed_shim import spiff

    assert exact(spiff.merge(template)["r"]) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("length(5)", "invalid type for function length"),
        ("length()", ""),
        ("element(list, 9)", "9"),
        ('element(map, "x")', "x"),
        ('element(list, "x")', ""),
        ("element(5, 1)", ""),
        ("compact(5)", ""),
        ("uniq(5)", ""),
        ("uniq(list, list)", ""),
        ("contains(5, 5)", ""),
        ("index(5, 1)", ""),
        ("sort(5)", ""),
        ("sort(mixed)", ""),
        ("sort(numbers, 5)", ""),
        ("sort(numbers, |a|->a)", ""),
        ('sort(numbers, |a,b|->"x")', ""),
        ("reverse(5)", ""),
        ("intersect(5)", ""),
        ("keys(list)", ""),
        ("keys()", ""),
        ("list_to_map(numbers)", ""),
        ("list_to_map(map)", ""),
        ("makemap(5)", ""),
        ('makemap("a")', ""),
        ("makemap([1], 2)", ""),
        ("deepmerge(list)", ""),
        ("deepmerge(5, 6)", ""),
        ("merge(5)", ""),
    ],
)
def test_collection_functions_that_do_not_fit(expression: str, reason: str) -> None:
    assert reason in fault(expression, DOCUMENT)
