"""Loops in expressions: `map`, `select`, `filter`, `sum`, and projections."""

from typing import Any

import pytest

from dynaml import evaluate, exact, fault

DOCUMENT = """
port: 8080
list: [3, 1, 2]
words: [ant, bee]
ages: {tom: 3, ann: 5}
people:
- {name: tom, age: 3, pets: [cat]}
- {name: ann, age: 5, pets: [dog, fish]}
nets:
  inner: {cidr: 10.0.0.0/8}
  extra: {cidr: 172.16.0.0/12}
triple: (( |x|->x * 3 ))
keyed: (( |k,v|->k v ))
big: (( |x|->x > 2 ))
plus: (( |s,x|->s + x ))
empty: []
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("map[list|x|->x + 1]", [4, 2, 3]),
        ('map[words|x|->x ":" port]', ["ant:8080", "bee:8080"]),
        ("map[list|i,x|->i * x]", [0, 1, 4]),
        ("map[ages|v|->v]", [5, 3]),
        ("map[ages|k,v|->k]", ["ann", "tom"]),
        ('map[ages|k,v|->k "=" v]', ["ann=5", "tom=3"]),
        ("map[empty|x|->x]", []),
        ("map[{}|x|->x]", []),
        ("map[list|triple]", [9, 3, 6]),
        ("map[people|p|->p.name]", ["tom", "ann"]),
        ("map[[1..3]|x|->x * x]", [1, 4, 9]),
        ("map[list|x|->x > 1 ? x :~]", [3, 2]),
        ("map[list|x|->x > 1 ? x :~~]", [3, 2]),
        ("map[list|x|->[x]]", [[3], [1], [2]]),
        ("map[people|p|->map[p.pets|q|->q]]", [["cat"], ["dog", "fish"]]),
        ("map{ages|v|->v + 1}", {"tom": 4, "ann": 6}),
        ("map{ages|k,v|->k v}", {"tom": "tom3", "ann": "ann5"}),
        ("map{ages|keyed}", {"tom": "tom3", "ann": "ann5"}),
        ("map{words|x|->length(x)}", {"ant": 3, "bee": 3}),
        ("map{words|i,x|->i}", {"ant": 0, "bee": 1}),
        ("map{ages|v|->v > 3 ? v :~~}", {"ann": 5}),
        ('join(",", map[list|x|->x x])', "33,11,22"),
        ("select[list|x|->x > 1]", [3, 2]),
        ("select[ages|v|->v > 3]", [5]),
        ('select[ages|k,v|->k == "tom"]', [3]),
        ("select[list|big]", [3]),
        ("select{ages|v|->v > 3}", {"ann": 5}),
        ('select{ages|k,v|->k == "tom"}', {"tom": 3}),
        ("select[people|p|->p.age > 4].[0].name", "ann"),
        ("filter[list|x|->x < 3]", [1, 2]),
        ("filter[list|i,x|->i < 1]", [3]),
        ("filter{ages|v|->v < 4}", {"tom": 3}),
        ('filter{ages|k,v|->k != "tom"}', {"ann": 5}),
        ("filter[list|x|->0]", []),
        ('filter[list|x|->"yes"]', [3, 1, 2]),
        ("sum[list|0|s,x|->s + x]", 6),
        ("sum[list|0|s,i,x|->s + i * x]", 5),
        ("sum[ages|0|s,v|->s + v]", 8),
        ('sum[ages|""|s,k,v|->s k v]', "ann5tom3"),
        ("sum[list|10|plus]", 16),
        ("sum[empty|7|s,x|->s + x]", 7),
        ("sum[list|[]|s,x|->[x] s]", [2, 1, 3]),
        ("sum[ages|{}|s,k,v|->s {k = v + 1}]", {"tom": 4, "ann": 6}),
        ("sum[list|~|s,x|->s ? (x < s ? x :s) :x]", 1),
        ("people.[*].name", ["tom", "ann"]),
        ("people[*].age", [3, 5]),
        ("nets.[*].cidr", ["172.16.0.0/12", "10.0.0.0/8"]),
        ("ages.[*]", [5, 3]),
        ("list.[*]", [3, 1, 2]),
        ("people.[*].pets.[0]", ["cat", "dog"]),
        ("people.[0..0].name", ["tom"]),
        ("people.[1..].age", [5]),
        ("people.[*].pets.[*]", [["cat"], ["dog", "fish"]]),
        ("(people).[*].name", ["tom", "ann"]),
        ("[people.[*].age..., 1]", [3, 5, 1]),
    ],
)
def test_loops(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("map[port|x|->x]", "map[] does not support int values"),
        ("map[list|a,b,c|->a]", "takes a maximum of 2 arguments"),
        ("map{list|x|->x}", "list element must be string, but found int"),
        ("select{list|x|->x}", "does not support list values"),
        ("sum[port|0|s,x|->s]", ""),
        ("map[missing|x|->x]", "'missing' not found"),
        ("map[list|x|->x / 0]", "division by zero"),
        ("map[list|port]", ""),
        ("people.[*].height", "height"),
        ("port.[*]", ""),
    ],
)
def test_loops_that_cannot_be(expression: str, reason: str) -> None:
    assert reason in fault(expression, DOCUMENT)
