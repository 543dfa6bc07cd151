"""The feature `control`: `<<if`, `<<switch`, `<<type`, `<<for`, `<<merge`."""

from typing import Any

import pytest

from dynaml import exact, refused
from tweed_shim import spiff

VALUES = "yea: true\nnay: false\nword: oak\nnum: 2\nlist: [p, q]\nmap: {k: 1, l: 2}\nnothing: ~\n"


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.strip("\n").splitlines())


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ("<<if: (( yea ))\n<<then: 1\n<<else: 2", 1),
        ("<<if: (( nay ))\n<<then: 1\n<<else: 2", 2),
        ("<<if: (( num == 2 ))\n<<then: {a: 1}\n<<else: {b: 2}", {"a": 1}),
        ("<<if: (( num > 5 ))\n<<then: {a: 1}", "UNDEFINED"),
        ("<<if: (( yea ))\n<<else: 2", "UNDEFINED"),
        ('<<if: (( yea ))\n<<then: (( word "!" ))', "oak!"),
        ("<<if: (( nay ))\n<<then: (( missing ))\n<<else: 5", 5),
        ("<<if: true\n<<then: ~", None),
        ("<<if: (( yea ))\n<<then:\n  <<if: (( nay ))\n  <<then: 1\n  <<else: 2", 2),
        ("inner:\n  <<if: (( yea ))\n  <<then: 1", {"inner": 1}),
        ("inner:\n  <<if: (( nay ))\n  <<then: 1\nother: 2", {"other": 2}),
        ("- 0\n- <<if: (( yea ))\n  <<then: 1\n- 2", [0, 1, 2]),
        ("- 0\n- <<if: (( yea ))\n  <<then: [1, 2]\n- 3", [0, 1, 2, 3]),
        ("- 0\n- <<if: (( yea ))\n  <<then: [[1, 2]]\n- 3", [0, [1, 2], 3]),
        ("- 0\n- <<if: (( nay ))\n  <<then: 1\n- 2", [0, 2]),
        ("<<switch: (( word ))\noak: hard\nelm: soft", "hard"),
        ("<<switch: (( word ))\nelm: soft\n<<default: unknown", "unknown"),
        ("<<switch: (( nothing ))\nelm: soft\n<<default: unknown", "unknown"),
        ("<<switch: (( ~~ ))\nelm: soft\n<<default: unknown", "UNDEFINED"),
        ("<<switch: (( word ))\noak: {a: (( num ))}\nelm: {}", {"a": 2}),
        ("<<switch: (( num ))\n<<cases:\n- case: 1\n  value: one\n- case: 2\n  value: two", "two"),
        ("<<switch: (( num ))\n<<cases:\n- match: (( |v|->v > 1 ))\n  value: many\n<<default: few", "many"),
        ("<<switch: (( num ))\n<<cases:\n- match: (( |v|->v > 5 ))\n  value: many\n<<default: few", "few"),
        ("<<switch: (( map ))\n<<cases:\n- case: {k: 1, l: 2}\n  value: same", "same"),
        ("<<switch: (( num ))\n<<cases:\n- case: 2", "UNDEFINED"),
        ("<<type: (( word ))\nstring: text\nint: number", "text"),
        ("<<type: (( num ))\nstring: text\nint: number", "number"),
        ("<<type: (( .map ))\nmap: (( keys(.map) ))\n<<default: other", ["k", "l"]),
        ("<<type: (( list ))\nmap: 1\n<<default: other", "other"),
        ("<<type: (( 1.5 ))\nfloat: 1", 1),
        ("<<type: (( nothing ))\nnil: 1", 1),
        ("<<for:\n  x: (( list ))\n<<do: (( x x ))", ["pp", "qq"]),
        ("<<for:\n  i,x: (( list ))\n<<do: (( i x ))", ["0p", "1q"]),
        ("<<for:\n  x: (( list ))\n<<do: (( index-x x ))", ["0p", "1q"]),
        ("<<for:\n  x: (( map ))\n<<do: (( index-x x ))", ["k1", "l2"]),
        (
            "<<for:\n  key,x: (( map ))\n<<do: {name: (( key )), v: (( x ))}",
            [{"name": "k", "v": 1}, {"name": "l", "v": 2}],
        ),
        ("<<for:\n  x: (( list ))\n  z: [1, 2]\n<<do: (( x z ))", ["p1", "p2", "q1", "q2"]),
        (
            "<<for:\n- name: z\n  values: [1, 2]\n- name: x\n  values: (( list ))\n<<do: (( x z ))",
            ["p1", "q1", "p2", "q2"],
        ),
        ("<<for:\n- name: x\n  index: i\n  values: (( list ))\n<<do: (( x i ))", ["p0", "q1"]),
        ('<<for:\n  x: (( map ))\n<<mapkey: (( "n" index-x ))\n<<do: (( x + 1 ))', {"nk": 2, "nl": 3}),
        ("<<for:\n  x: [1, 2, 3]\n<<do: (( x == 2 ? ~~ :x ))", [1, 3]),
        ('<<for:\n  x: [1, 2, 3]\n<<mapkey: (( x == 2 ? ~~ :"k" x ))\n<<do: (( x ))', {"k1": 1, "k3": 3}),
        ("<<for:\n  x: [2, 3]\n<<do: {a: {b: (( x * num ))}}", [{"a": {"b": 4}}, {"a": {"b": 6}}]),
        ("- 0\n- <<for: {x: [1, 2]}\n  <<do: (( x ))\n- 3", [0, 1, 2, 3]),
        ("<<merge: {b: 2}\na: 1", {"a": 1, "b": 2}),
        ("<<merge:\n- {b: 2, c: 0}\n- {c: 3}\na: 1\nc: 9", {"a": 1, "b": 2, "c": 3}),
        ("<<merge: (( map ))\nm: 3", {"k": 1, "l": 2, "m": 3}),
        (
            "<<merge:\n- <<if: (( yea ))\n  <<then: {b: 2}\n- <<if: (( nay ))\n  <<then: {c: 3}\na: 1",
            {"a": 1, "b": 2},
        ),
        ("<<if: (( yea ))\n<<then: {a: 1}\n<<: (( &temporary ))", "UNDEFINED"),
    ],
)
def test_control_structures(structure: str, expected: Any) -> None:
    template = f"{VALUES}result:\n{indented(structure)}"
    merged = spiff.merge(template, features=["control"])
    if expected == "UNDEFINED":
        assert "result" not in merged
    else:
        assert exact(merged["result"]) == exact(expected)


def test_without_the_feature_the_fields_are_fields() -> None:
    assert spiff.merge("a:\n  <<if: true\n  <<then: 1\n") == {"a": {"<<if": True, "<<then": 1}}


def test_a_structure_may_be_the_document() -> None:
    assert spiff.merge("<<if: true\n<<then: {a: 1}\n", features=["control"]) == {"a": 1}


def test_a_stub_replaces_a_structure_as_a_whole() -> None:
    assert spiff.merge("a:\n  <<if: true\n  <<then: 1\n", "a: 5\n", features=["control"]) == {"a": 5}


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        ("<<if: (( missing ))\n<<then: 1", "'missing' not found"),
        ("<<if: (( yea ))\n<<then: 1\nextra: 2", "extra"),
        ("<<switch: (( word ))\nelm: soft", "oak"),
        ("<<switch: (( num ))\n<<cases:\n- value: 1", "'case'"),
        ("<<type: (( word ))\nint: 1", "string"),
        ("<<for: 5\n<<do: 1", ""),
        ("<<for:\n  x: (( num ))\n<<do: 1", ""),
        ("<<for:\n  x: (( list ))", ""),
        ("<<for:\n  x: (( list ))\n<<do: (( x / 0 ))", "division"),
        ("<<for:\n- values: [1]\n<<do: 1", "name"),
        ("<<merge: 5\na: 1", ""),
        ("<<then: 1", ""),
    ],
)
def test_structures_that_do_not_fit(structure: str, reason: str) -> None:
    assert reason in refused(f"{VALUES}result:\n{indented(structure)}", features=["control"])
