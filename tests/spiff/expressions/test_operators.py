"""Operators: concatenation, arithmetic with numbers and addresses, comparison, logic, alternatives, priorities."""

from typing import Any

import pytest

from dynaml import UNDEFINED, evaluate, exact, fault

DOCUMENT = """
num: 4
f: 2.5
right: true
wrong: false
word: leaf
list: [a, b]
map: {k: 1, l: 2}
other: {l: 3, m: 4}
nothing: ~
empty: ""
address: 10.1.2.3
network: 10.1.2.0/24
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('"a" "b"', "ab"),
        ('"n=" num', "n=4"),
        ('num " is " true', "4 is true"),
        ('word "-" word', "leaf-leaf"),
        ('"v" 1 + 1', "v2"),
        ("[1] [2, 3]", [1, 2, 3]),
        ('list ["c"]', ["a", "b", "c"]),
        ("list word", ["a", "b", "leaf"]),
        ("[1] 2 3", [1, 2, 3]),
        ("list map", ["a", "b", {"k": 1, "l": 2}]),
        ("[] list", ["a", "b"]),
        ("map other", {"k": 1, "l": 3, "m": 4}),
        ("other map", {"k": 1, "l": 2, "m": 4}),
        ("map {}", {"k": 1, "l": 2}),
        ('map {$n = "x"} {$k = 0}', {"k": 0, "l": 2, "n": "x"}),
    ],
)
def test_concatenation(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2", 3),
        ("1 - 2", -1),
        ("3 * 4", 12),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 % 3", 1),
        ("-7 % 3", -1),
        ("num - 1 - 1", 2),
        ("num + f", 6.5),
        ("f * 2", 5.0),
        ("f - 0.5", 2.0),
        ("7 / 2.0", 3.5),
        ("1.0 + 1", 2.0),
        ("8.0 / 4", 2.0),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 2 - 3", 5),
        ("100 / 5 / 2", 10),
        ("2 * 3 % 4", 2),
        ("num * num - num / num", 15),
    ],
)
def test_arithmetic(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("address + 1", "10.1.2.4"),
        ("address - 4", "10.1.1.255"),
        ("address + 256 * 256", "10.2.2.3"),
        ('"10.0.0.255" + 1', "10.0.1.0"),
        ("10.0.1.0 - 10.0.0.1", 255),
        ("10.0.0.1 - 10.0.1.0", -255),
        ("network + 1", "10.1.2.1/24"),
        ('"10.1.3.0/24" - network', 256),
        ('"10.1.2.9/24" / 4', "10.1.2.0/26"),
        ("network / 12", "10.1.2.0/28"),
        ("network / 12 * 2", "10.1.2.32/28"),
        ("network * 2", "10.1.4.0/24"),
        ("min_ip(network)", "10.1.2.0"),
        ("max_ip(network)", "10.1.2.255"),
        ("num_ip(network)", 256),
        ("max_ip(network) + 1", "10.1.3.0"),
        ("contains_ip(network, address)", True),
        ('contains_ip(network, "10.1.3.1")', False),
        ('min_ip("fd00::5/64")', "fd00::"),
        ('max_ip("fd00::/126")', "fd00::3"),
        ('num_ip("10.0.0.0/30")', 4),
        ('"fd00::1" + 1', "fd00::2"),
    ],
)
def test_addresses(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 < 2", True),
        ("2 < 1", False),
        ("2 <= 2", True),
        ("2 >= 3", False),
        ("3 > 2", True),
        ("2.5 > 2", False),
        ("f >= 2.5", False),
        ("1 == 1", True),
        ("1 == 2", False),
        ("1 != 2", True),
        ('"a" == "a"', True),
        ('"a" != "b"', True),
        ("true == true", True),
        ("right != wrong", True),
        ("[1, 2] == [1, 2]", True),
        ("[1, 2] == [2, 1]", False),
        ("map == {$k = 1, $l = 2}", True),
        ("map != other", True),
        ("list == map", False),
        ('1 == "1"', True),
        ("nothing == ~", True),
        ("1 + 1 == 2", True),
        ('"a" < "b"', True),
        ("1 == 1.0", False),
    ],
)
def test_comparison(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("true -and true", True),
        ("true -and false", False),
        ("false -or true", True),
        ("false -or false", False),
        ("!true", False),
        ("!wrong", True),
        ("!0", True),
        ("!1", False),
        ('!""', True),
        ("![]", True),
        ("!{}", True),
        ("!list", False),
        ("!nothing", True),
        ("5 -or 6", 7),
        ("5 -and 6", 4),
        ("5 -and true", True),
        ('word -and ""', False),
        ('"" -or list', True),
        ("1 < 2 -and 2 < 3", True),
        ("!(1 < 2)", False),
        ("!wrong -and right", True),
        ("true -or false -and false", False),
        ("right ? 1 :2", 1),
        ("wrong ? 1 :2", 2),
        ("num > 3 ? word :list", "leaf"),
        ("0 ? 1 :2", 2),
        ("empty ? 1 :2", 2),
        ("[] ? 1 :2", 2),
        ("{} ? 1 :2", 2),
        ("nothing ? 1 :2", 2),
        ("word ? 1 :2", 1),
        ("0.0 ? 1 :2", 1),
        ("wrong ? 1 :right ? 2 :3", 2),
        ("right ? (wrong ? 1 :2) :3", 2),
        ("right ? 1 :missing", 1),
        ("wrong ? missing :5", 5),
        ('num == 4 ? "four" :"other"', "four"),
        ("right ? ~~ :1", UNDEFINED),
    ],
)
def test_logic_and_conditions(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("missing || 1", 1),
        ("num || 1", 4),
        ("missing || absent || 3", 3),
        ("missing.deep || num", 4),
        ('1 / 0 || "infinite"', "infinite"),
        ("nothing || 1", None),
        ("nothing // 1", 1),
        ("missing // 1", 1),
        ("wrong || true", False),
        ("wrong // true", False),
        ("empty // 1", ""),
        ("missing || nothing // 2", 2),
        ("~ // ~ // 5", 5),
        ("missing || ~", None),
        ("missing || ~~", UNDEFINED),
        ('missing || "a" "b"', "ab"),
        ('"x" (missing || "y")', "xy"),
        ("(missing || 2) + 3", 5),
    ],
)
def test_alternatives(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('num " < " num + 1', "4 < 5"),
        ("1 + 2 < 2 * 2", True),
        ("1 < 2 == true", True),
        ("1 == 1 -and 2 == 2", True),
        ('"a" 1 == 1', "atrue"),
        ('missing "a" || "b"', "b"),
        ("2 + 3 * 4 - 1", 13),
        ("2 * (3 + 4)", 14),
        ("!right -or right", True),
        ("10 - 4 / 2", 8),
        ('right -and num > 3 ? "a" :"b"', "a"),
    ],
)
def test_priorities(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1 / 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("word + 1", "must be IP address, CIDR or number"),
        ("true + 1", "requires number arguments"),
        ("list * 2", "requires number arguments"),
        ("1 - list", ""),
        ("f % 2", ""),
        ("word < 1", "only for strings or integers"),
        ("network - 1", "not in CIDR range"),
        ("~ word", "cannot be concatenated"),
        ('"x" f', "cannot be concatenated"),
        ("-num", "parse error"),
        ("word == ~", ""),
        ("word list", "cannot be concatenated"),
        ("word map", "cannot be concatenated"),
        ("map word", "cannot be concatenated"),
        ("address + word", "requires an integer argument"),
        ('"10.1.2.3/40" + 1', "must be IP address, CIDR or number"),
        ("min_ip(word)", "CIDR argument required"),
        ("contains_ip(network)", "contains_ip"),
        ("missing || 1 / 0", "division by zero"),
        ("missing // absent", "'absent' not found"),
    ],
)
def test_operands_that_do_not_fit(expression: str, reason: str) -> None:
    assert reason in fault(expression, DOCUMENT)
