"""The Python API: what `merge`, `merge_stream`, `dump` and `SpiffError` take and give."""

import subprocess
import sys
from typing import Any

import pytest

from dynaml import exact, fault, refused
from tweed_shim import spiff
from tweed_shim.errors import ConfigError


def test_the_result_is_plain_data() -> None:
    merged = spiff.merge('a: (( [1, 2.5, ~, true, {$k = "v"}] ))\nf: (( |x|->x ))\n')
    assert merged == {"a": [1, 2.5, None, True, {"k": "v"}], "f": "(( lambda|x|->x ))"}
    assert {type(entry) for entry in merged["a"]} == {int, float, type(None), bool, dict}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", None),
        ("---\n", None),
        ("5\n", 5),
        ("(( 1 + 1 ))\n", 2),
        ("[]\n", []),
        ("text\n", "text"),
        ("# only\n", None),
    ],
)
def test_a_document_may_be_anything(template: str, expected: Any) -> None:
    assert exact(spiff.merge(template)) == exact(expected)


def test_several_documents_give_a_list() -> None:
    assert spiff.merge("a: 1\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert spiff.merge("<<: (( &temporary ))\n---\nb: 2\n") == [{"b": 2}]
    assert spiff.merge_stream("a: 1\n") == [{"a": 1}]


def test_functions_of_the_caller_get_plain_values_and_differ() -> None:
    seen: list[Any] = []

    def credentials(*arguments: Any) -> Any:
        seen.append(arguments)
        return {"user": arguments[0], "list": [1, None]}

    merged = spiff.merge(
        'a: (( getCredentials("db", [1, {$k = true}], 1.5).user ))\nb: (( getCredentials("x").list[0] ))\n',
        functions={"getCredentials": credentials},
    )
    assert merged == {"a": "db", "b": 1}
    assert ("db", [1, {"k": True}], 1.5) in seen


def test_a_function_of_the_caller_may_fail_as_others_do_and_differs() -> None:
    def bad(*_: Any) -> Any:
        raise spiff.Fault("no such thing")

    assert "\ta\t()\t*no such thing" in refused("a: (( bad() ))\n", functions={"bad": bad})
    assert spiff.merge("a: (( bad() || 1 ))\n", functions={"bad": bad}) == {"a": 1}


def test_a_mistake_in_a_function_of_the_caller_is_not_hidden_and_differs() -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spiff.merge("a: (( broken() || 1 ))\n", functions={"broken": broken})


def test_an_error_knows_the_nodes_and_differs() -> None:
    with pytest.raises(spiff.SpiffError) as refusal:
        spiff.merge("a:\n- (( missing ))\nb: (( 1 / 0 ))\n")
    assert isinstance(refusal.value, ConfigError)
    assert [(node.document, node.path, node.reason) for node in refusal.value.nodes] == [
        ("template", ("a", "[0]"), "*'missing' not found"),
        ("template", ("b",), "*division by zero"),
    ]


def test_options_that_are_not_known_differ() -> None:
    assert "'nosuch'" in refused("a: 1\n", mode="nosuch")
    assert "'flying'" in refused("a: 1\n", features=["flying"])
    assert "'9x'" in refused("a: 1\n", tags={"9x": 1})


def test_the_caller_keeps_its_data_as_it_was() -> None:
    bindings = {"b": {"list": [1, 2]}}
    spiff.merge("a: (( b.list [3] ))\n", bindings=bindings)
    assert bindings == {"b": {"list": [1, 2]}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None]}, "a:\n- true\n- null\nb: 1\n"),
        ({"a": {"b": {"c": []}}, "d": {}}, "a:\n  b:\n    c: []\nd: {}\n"),
        (
            ["yes", "1", "1.5", "~", "", "a: b", "null"],
            '- "yes"\n- "1"\n- "1.5"\n- "~"\n- ""\n- \'a: b\'\n- "null"\n',
        ),
        ("line 1\nline 2", "|-\n  line 1\n  line 2\n"),
        (1.0, "1\n"),
        (1e100, "1e+100\n"),
        (2.5, "2.5\n"),
        ("grün ☃", '"gr\\xFCn \\u2603"\n'),
        ({"a": "b\u2028", "c": "d\x85e"}, 'a: "b\\L"\nc: "d\\Ne"\n'),
        (
            ["2020-01-01", "2020-1-1T10:00:00.5Z", "2020-01"],
            '- "2020-01-01"\n- "2020-1-1T10:00:00.5Z"\n- 2020-01\n',
        ),
        ({"x" * 200: "y" * 200}, f"? {'x' * 200}\n: {'y' * 200}\n"),
        ("a word " * 40, None),
    ],
)
def test_yaml_is_written_as_the_reference_writes_it(value: Any, expected: str | None) -> None:
    text = spiff.dump(value)
    if expected is not None:
        assert text == expected
    assert exact(spiff.merge(text)) == exact(1 if value == 1.0 else value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, 1.5]}, '{"a":[true,null,1.5],"b":1}'),
        ("<ü>", '"\\u003cü\\u003e"'),
        (1.0, "1"),
        (1e100, "1e+100"),
    ],
)
def test_json_is_written_as_the_reference_writes_it(value: Any, expected: str) -> None:
    assert spiff.dump(value, "json") == expected


def test_json_has_no_infinity() -> None:
    with pytest.raises(spiff.SpiffError):
        spiff.dump(float("inf"), "json")


def test_the_import_is_light() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, tweed_shim.spiff; print([m for m in ('yaml', 'cryptography') if m in sys.modules])",
        ],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_merge_leaves_no_trace_for_the_next() -> None:
    spiff.merge("a: (( &tag:*t(5) ))\n")
    assert "t" in fault("t::.")
