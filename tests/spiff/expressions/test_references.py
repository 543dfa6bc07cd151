"""References: names, paths, indices, slices, key fields, and the special names `_`, `__`, `___` and `__ctx`."""

from typing import Any

import pytest

from dynaml import UNDEFINED, evaluate, exact, fault
from tweed_shim import spiff

GARDEN = """
size: 3
beds:
  north:
    plant: rose
    size: 8
  south:
    plant: thyme
    rows: [10, 20, 30, 40]
tools:
  - name: spade
    weight: 2
  - name: rake
    weight: 1
matrix: [[1, 2], [3, 4]]
which: south
field: rows
path: [beds, north]
number: 2
nothing: ~
dotted:
  a.b: found
  "10.0.0.1": host
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("size", 3),
        (".size", 3),
        ("beds.north.plant", "rose"),
        (".beds.north.size", 8),
        ("beds.south.rows.[0]", 10),
        ("beds.south.rows[0]", 10),
        ("beds.south.rows.[-1]", 40),
        ("beds.south.rows[-4]", 10),
        ("matrix.[1].[0]", 3),
        ("matrix[1][0]", 3),
        ("matrix[1,0]", 3),
        ("matrix.[0,1]", 2),
        ("tools.spade.weight", 2),
        ("tools.rake", {"name": "rake", "weight": 1}),
        ("tools[1].name", "rake"),
        (".tools.rake.weight", 1),
        ("beds.[which].plant", "thyme"),
        ("beds[which].plant", "thyme"),
        ("beds.[which].[field]", [10, 20, 30, 40]),
        ("beds.[which].[field].[number]", 30),
        ('beds["north"].plant', "rose"),
        ('beds["no" "rth"].size', 8),
        ("beds.south.rows.[ 1 + 1 ]", 30),
        ("beds.south.rows[number - 1]", 20),
        ('beds.[["north", "plant"]]', "rose"),
        ('beds.[["south", "rows", 1]]', 20),
        ('.["size"]', 3),
        (".[path].plant", "rose"),
        ("dotted.[\"a.b\"]", "found"),
        ("dotted[\"10.0.0.1\"]", "host"),
        ("nothing", None),
        ("(beds).north.plant", "rose"),
        ("(matrix).[0]", [1, 2]),
        ("[5, 6, 7].[1]", 6),
        ("{$x={$y=9}}.x.y", 9),
        ("beds.south.rows.[1..2]", [20, 30]),
        ("beds.south.rows[1..2]", [20, 30]),
        ("beds.south.rows.[2..]", [30, 40]),
        ("beds.south.rows.[..1]", [10, 20]),
        ("beds.south.rows.[-2..]", [30, 40]),
        ("beds.south.rows.[-3..-2]", [20, 30]),
        ("beds.south.rows.[3..1]", []),
        ("beds.south.rows.[number..]", [30, 40]),
        ("beds.south.rows.[1..length(beds.south.rows) - 1]", [20, 30, 40]),
        ("[1..5].[1..3]", [2, 3, 4]),
        ("missing || 7", 7),
        ("beds.west || \"none\"", "none"),
        ("size.more || 1", 1),
        ("matrix[9] || 0", 0),
        ("~~", UNDEFINED),
    ],
)  # fmt: skip
def test_what_a_path_leads_to(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, GARDEN)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("missing", "'missing' not found"),
        ("beds.west.plant", "'beds.west' not found"),
        (".missing", "'.missing' not found"),
        ("beds.south.rows[9]", "'beds.south.rows.[9]' not found"),
        ("tools.hoe", "'tools.hoe' not found"),
        ("beds.south.rows.[ 9 ]", "9"),
        ("beds[number]", ""),
        ("matrix[which]", ""),
        ("size.[1..2]", "slice requires array expression"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(expression: str, reason: str) -> None:
    assert reason in fault(expression, GARDEN)


def test_the_nearest_name_is_taken_and_a_leading_dot_begins_at_the_root() -> None:
    merged = spiff.merge(
        """
        colour: white
        house:
          colour: red
          door:
            near: (( colour ))
            root: (( .colour ))
          wall: (( colour ))
        roof: (( colour ))
        """
    )
    assert merged["house"] == {"colour": "red", "door": {"near": "red", "root": "white"}, "wall": "red"}
    assert merged["roof"] == "white"


def test_the_order_of_entries_does_not_matter() -> None:
    assert spiff.merge("a: (( b ))\nb: (( c ))\nc: (( d.e ))\nd: (( f ))\nf:\n  e: 5\n") == {
        "a": 5,
        "b": 5,
        "c": 5,
        "d": {"e": 5},
        "f": {"e": 5},
    }


def test_an_entry_that_names_itself_is_not_the_outer_one() -> None:
    with pytest.raises(spiff.SpiffError):
        spiff.merge("port: 1\ninner:\n  port: (( port ))\n")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("- 1\n- (( .[0] + 1 ))\n", [1, 2]),
        ("- a: 5\n- b: (( .[0].a ))\n", [{"a": 5}, {"b": 5}]),
        ("- a: 5\n  b: (( .__map.a ))\n", [{"a": 5, "b": 5}]),
        ("- name: x\n  v: 3\n- (( .x.v ))\n", [{"name": "x", "v": 3}, 3]),
        ("- x: 1\n  z: (( x ))\n- x: 2\n  z: (( x ))\n", [{"x": 1, "z": 1}, {"x": 2, "z": 2}]),
    ],
)
def test_a_document_that_is_a_list(template: str, expected: Any) -> None:
    assert exact(spiff.merge(template)) == exact(expected)


@pytest.mark.parametrize(
    ("document", "expression", "expected"),
    [
        ("hosts:\n- key:host: web\n  port: 80\n- host: db\n  port: 5432\n", "hosts.db.port", 5432),
        ("hosts:\n- key:host: web\n  port: 80\n", "hosts", [{"host": "web", "port": 80}]),
        ("hosts:\n- name: web\n  port: 80\n- name: web\n  port: 81\n", "hosts.web || 0", {"name": "web", "port": 80}),
        ("hosts:\n- key:!name: web\n  port: 80\n", "hosts", [{"name": "web", "port": 80}]),
    ],
)  # fmt: skip
def test_entries_of_lists_are_found_by_their_key(document: str, expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, document)) == exact(expected)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            "zoo:\n  animals:\n    f: (( |x|->_.animals.legs x ))\n    legs: four\n"
            'use:\n  legs: none\n  r: (( zoo.animals.f("!") ))\n',
            "four!",
        ),
        ("zoo:\n  f: (( |x|->legs ))\n  legs: 4\nuse:\n  legs: 2\n  r: (( zoo.f(0) ))\n", 2),
        ("zoo:\n  f: (( |x|->_.legs ))\n  legs: 4\nuse:\n  legs: 2\n  r: (( zoo.f(0) ))\n", 4),
        ("use:\n  v: 1\n  r: (( ($v=2) v + __.v ))\n", 3),
        ("use:\n  v: 1\n  r: (( ($v=2) v ))\n", 2),
        ("v: 5\nuse:\n  v: 1\n  r: (( ($v=2) .v ))\n", 5),
        ("use:\n  r: (( __ctx.PATHNAME ))\n", "use.r"),
        ("use:\n  r: (( __ctx.PATH ))\n", ["use", "r"]),
        ("use:\n  r: (( __ctx.DIR ))\n", "."),
    ],
)
def test_the_special_names(template: str, expected: Any) -> None:
    assert exact(spiff.merge(template)["use"]["r"]) == exact(expected)


def test_bindings_are_found_after_the_document_and_at_once_by_three_underscores() -> None:
    merged = spiff.merge(
        "city: Ulm\nout:\n  near: (( city ))\n  bound: (( ___.city ))\n  only: (( street ))\n",
        bindings={"city": "Graz", "street": {"name": "Main", "no": 5}},
    )
    assert merged["out"] == {"near": "Ulm", "bound": "Graz", "only": {"name": "Main", "no": 5}}


def test_bindings_are_taken_as_they_are() -> None:
    assert spiff.merge("a: (( b ))\n", bindings={"b": [1, None, "x"]}) == {"a": [1, None, "x"]}
