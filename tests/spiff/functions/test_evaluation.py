"""Functions about evaluation: type, defined, valid, require, optional, eval, catch, error, parse, asjson, asyaml."""

from typing import Any

import pytest

from dynaml import UNDEFINED, evaluate, exact, fault
from tweed_shim import spiff

DOCUMENT = """
num: 4
zero: 0
nothing: ~
name: num
path: inner.value
inner: {value: 9, text: "hi"}
json: '{"a": [1, {"b": null}]}'
yaml: "x: 1\\nz: (( num ))\\n"
flag: true
t:
  <<: (( &template &temporary ))
  v: (( missing ))
u:
  <<: (( &template &temporary ))
  v: (( num ))
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("type(1)", "int"),
        ("type(1.5)", "float"),
        ('type("")', "string"),
        ("type(true)", "bool"),
        ("type([])", "list"),
        ("type({})", "map"),
        ("type(~)", "nil"),
        ("type(~~)", "undef"),
        ("type(|x|->x)", "lambda"),
        ("type(inner)", "map"),
        ("type(u)", "template"),
        ("defined(num)", True),
        ("defined(missing)", False),
        ("defined(nothing)", True),
        ("defined(1 / zero)", False),
        ("defined(inner.value, num)", True),
        ("defined(inner.value, missing)", False),
        ("valid(num)", True),
        ("valid(nothing)", False),
        ("valid(missing)", False),
        ("valid(zero)", True),
        ("valid(1 / 0)", False),
        ("require(num)", 4),
        ("require(nothing) || 7", 7),
        ("require(missing) || 7", 7),
        ("optional(flag, 5)", 5),
        ("optional(zero, 5)", UNDEFINED),
        ("optional(missing, 5)", UNDEFINED),
        ("optional(flag, *u)", {"v": 4}),
        ("optional(zero, *t)", UNDEFINED),
        ('eval("num + 1")', 5),
        ('eval("inner." "value")', 9),
        ("eval(name)", 4),
        ("eval(path) + 1", 10),
        ('eval("[num, zero]")', [4, 0]),
        ("catch(1 / 0)", {"valid": False, "error": "division by zero"}),
        ("catch(num + 1)", {"valid": True, "error": "", "value": 5}),
        ("catch(missing)", {"valid": False, "error": "'missing' not found"}),
        ("catch(~)", {"valid": True, "error": "", "value": None}),
        ('catch(error("bad")).error', "bad"),
        ('error("no") || 1', 1),
        ("parse(json)", {"a": [1, {"b": None}]}),
        ("parse(json).a[0]", 1),
        ('parse("5")', 5),
        ('parse("- 1\\n- two\\n")', [1, "two"]),
        ('parse(yaml, "text")', "x: 1\nz: (( num ))\n"),
        ('parse(yaml, "yaml")', {"x": 1, "z": 4}),
        ('parse("a: 1\\n---\\nb: 2\\n", "multiyaml")', [{"a": 1}, {"b": 2}]),
        ('(*parse(yaml, "template")).z', 4),
        ('asjson({$b = 1, $a = [true, ~, 1.5, "x"]})', '{"a":[true,null,1.5,"x"],"b":1}'),
        ("asjson(num)", "4"),
        ('asjson("<&>")', '"\\u003c\\u0026\\u003e"'),
        ("asyaml({$b = 1, $a = [1, 2]})", "a:\n- 1\n- 2\nb: 1\n"),
        ('asyaml("text")', "text\n"),
        ("asyaml([])", "[]\n"),
        ("parse(asjson(inner))", {"value": 9, "text": "hi"}),
        ("parse(asyaml(inner)) == inner", True),
    ],
)
def test_evaluation(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("require(nothing)", ""),
        ("require(missing)", 'required expression "missing" undefined'),
        ('eval("1 +")', "parse error"),
        ("eval(5)", ""),
        ("eval(nothing)", ""),
        ('error("it is %s, %d times", name, num)', "it is num, 4 times"),
        ('error("plain")', "plain"),
        ('parse("a: [")', ""),
        ("parse(5)", ""),
        ('parse("a", "nosuchmode")', "nosuchmode"),
        ("type()", ""),
        ("type(missing)", "'missing' not found"),
        ("catch()", ""),
        ("asjson()", ""),
        ("optional(flag)", ""),
    ],
)
def test_evaluation_functions_that_do_not_fit(expression: str, reason: str) -> None:
    assert reason in fault(expression, DOCUMENT)


def test_eval_sees_what_its_expression_sees() -> None:
    assert spiff.merge('k: 1\nin:\n  k: 2\n  r: (( eval("k") ))\n')["in"]["r"] == 2
