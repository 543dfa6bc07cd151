"""Literals: numbers, strings, lists, ranges, maps, nil, undefined; and scopes before an expression."""

from typing import Any

import pytest

from dynaml import UNDEFINED, evaluate, exact, fault
from tweed_shim import spiff


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("0", 0),
        ("17", 17),
        ("-17", -17),
        ("1_000_000", 1000000),
        ("9223372036854775807", 9223372036854775807),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("1.0", 1.0),
        ("1.2e4", 12000.0),
        ("1.2E4", 12000.0),
        ("5.0e-1", 0.5),
        ("12e2", 1200.0),
        ("true", True),
        ("false", False),
        ("nil", None),
        ("~", None),
        ("~~", UNDEFINED),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_numbers_and_words(literal: str, expected: Any) -> None:
    assert exact(evaluate(literal)) == exact(expected)


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ('""', ""),
        ('"plain"', "plain"),
        (r'"a \"b\" c"', 'a "b" c'),
        (r'"tab\tend"', "tab\tend"),
        (r'"two\nlines"', "two\nlines"),
        (r'"back\\slash"', "back\\slash"),
        (r'"\u00e9t\u00e9"', "été"),
        (r'"a\/b"', "a/b"),
        ('"$HOME %s {}"', "$HOME %s {}"),
    ],
)
def test_strings(literal: str, expected: str) -> None:
    assert evaluate(literal) == expected


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("[]", []),
        ("[1]", [1]),
        ('[1, "two", true, ~, 2.5]', [1, "two", True, None, 2.5]),
        ("[[1, 2], [], [[3]]]", [[1, 2], [], [[3]]]),
        ("[1 + 1, 2 * 3]", [2, 6]),
        ("[1..4]", [1, 2, 3, 4]),
        ("[3 .. 1]", [3, 2, 1]),
        ("[1 .. -1]", [1, 0, -1]),
        ("[2..2]", [2]),
        ("[-2..0]", [-2, -1, 0]),
        ("[1 + 1 .. 2 * 2]", [2, 3, 4]),
        ("[1, [2, 3]..., 4]", [1, 2, 3, 4]),
        ("[[1..3]..., [7]...]", [1, 2, 3, 7]),
        ("[[]...]", []),
        ("{}", {}),
        ('{"a" = 1}', {"a": 1}),
        ("{$a = 1, $b = 2}", {"a": 1, "b": 2}),
        ('{ "a" "b" = 1 + 1 }', {"ab": 2}),
        ('{ "in" = { "side" = [] } }', {"in": {"side": []}}),
        ('{ "a" = 1, "a" = 2 }', {"a": 2}),
    ],
)
def test_lists_and_maps(literal: str, expected: Any) -> None:
    assert exact(evaluate(literal)) == exact(expected)


def test_keys_and_values_of_a_map_are_expressions() -> None:
    document = "who: mia\nage: 7\nlist: [u, v]\n"
    assert evaluate('{ who = age, who "2" = list, $fix = who }', document) == {
        "mia": 7,
        "mia2": ["u", "v"],
        "fix": "mia",
    }
    assert evaluate("[list..., who, list...]", document) == ["u", "v", "mia", "u", "v"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('("a" = 5) a', 5),
        ("($a = 5) a + 1", 6),
        ("($a = 5, $b = 7) a * b", 35),
        ("($a = 1) ($b = a + 1) a + b", 3),
        ("($outer = 1) outer", 1),
        ("($f = |x|->x * 2) (f)(4)", 8),
        ("($m = {$k = 3}) m.k", 3),
        ("($l = [4, 5]) l[1]", 5),
        ("() 3", 3),
        ("2 + (($a = 3) a)", 5),
        ("[($a = 1) a, ($a = 2) a]", [1, 2]),
        ("($a = 1) |x|->x + a", "(( lambda|x|->x + a ))"),
    ],
)
def test_scopes_name_values_for_the_expression_behind_them(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, "outer: 100\n")) == exact(expected)


def test_the_entries_of_a_scope_do_not_see_one_another() -> None:
    assert evaluate("($a = 1, $b = a) b", "a: 9\n") == 9


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a: (( ~~ ))\n", {}),
        ("a: (( ~~ ))\nb: (( a || 1 ))\n", {"b": 1}),
        ("- 1\n- (( ~~ ))\n- 3\n", [1, 3]),
        ("a: (( ~ ))\n", {"a": None}),
        ("a: (( ~ ))\nb: (( a || 1 ))\n", {"a": None, "b": None}),
        ("a:\n  b: (( ~~ ))\n", {"a": {}}),
        ("a: (( [1, ~~, 2] ))\n", {}),
        ("a: (( {$x = ~~, $z = 2} ))\n", {"a": {"x": None, "z": 2}}),
    ],
)
def test_what_is_undefined_vanishes(template: str, expected: Any) -> None:
    assert exact(spiff.merge(template)) == exact(expected)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a: ((! x ))\n", "(( x ))"),
        ("a: ((!! x ))\n", "((! x ))"),
        ('a: "((!x))"\n', "((x))"),
        ("a: '((!!!x))'\n", "((!!x))"),
        ("a: ((! <unfinished ))\n", "(( <unfinished ))"),
        ("a: (( x\n", "(( x"),
        ("a: x ))\n", "x ))"),
        ("a: (x)\n", "(x)"),
        ("a: before ((! x ))\n", "before ((! x ))"),
    ],
)
def test_what_is_escaped_is_text(template: str, expected: str) -> None:
    assert spiff.merge(template) == {"a": expected}


def test_an_escaped_merge_key_is_a_key() -> None:
    assert spiff.merge("a:\n  <<!: 1\nb:\n  <<<!: 2\nc:\n  <<!!: 3\n") == {
        "a": {"<<": 1},
        "b": {"<<<": 2},
        "c": {"<<!": 3},
    }


def test_an_expression_may_span_lines() -> None:
    assert spiff.merge("a: |-\n  ((\n    1 +\n    2\n  ))\nb: >-\n  (( [ 1,\n  2 ] ))\n") == {
        "a": 3,
        "b": [1, 2],
    }


def test_comments_and_spaces_within_an_expression() -> None:
    assert spiff.merge("a: ((1 + 2))\nb: ((   3   ))\nc: (( [ 1 ,2 , 3 ] ))\n") == {
        "a": 3,
        "b": 3,
        "c": [1, 2, 3],
    }


@pytest.mark.parametrize(
    "expression",
    [
        "[1, 2",
        '"open',
        "{a = }",
        "1 +",
        "(a",
        "{1}",
        "a..b",
        "1.2.3 4 ]",
        '{"a": 1}',
        "|x|->",
        "a ? b",
        "'x'",
    ],
)
def test_what_cannot_be_parsed_is_told(expression: str) -> None:
    assert "*parse error" in fault(expression)


def test_a_parse_error_differs_in_telling_line_and_column_with_a_caret() -> None:
    message = fault("1 + ] 2")
    assert "parse error in line 1, column 6: an operand expected" in message
    *_, line, caret = message.splitlines()
    assert line[caret.index("^")] == "]"


@pytest.mark.parametrize(
    ("literal", "expected"),
    [("{1 = 2}", ""), ('["a" .. "b"]', ""), ("[1 .. true]", ""), ("{[] = 2}", "")],
)
def test_literals_of_the_wrong_kind(literal: str, expected: str) -> None:
    assert expected in fault(literal)


def test_a_string_that_is_an_expression_again_is_evaluated() -> None:
    assert evaluate('"(( a + 1 ))"', "a: 1\n") == 2
