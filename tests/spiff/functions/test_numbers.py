"""Mathematics, conversions, and addresses in sets."""

from typing import Any

import pytest

from dynaml import evaluate, exact, fault

DOCUMENT = 'ranges: ["10.0.0.10 - 10.0.0.12", "10.0.1.0/30", "10.0.2.5"]\nlist: [0, 2]\n'


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("ceil(1.2)", 2),
        ("ceil(-1.2)", -1),
        ("floor(1.8)", 1),
        ("floor(-1.2)", -2),
        ("round(1.5)", 2),
        ("round(2.5)", 3),
        ("round(-1.5)", -2),
        ("roundtoeven(2.5)", 2),
        ("roundtoeven(3.5)", 4),
        ("ceil(5)", 5),
        ("abs(-5)", 5),
        ("abs(-1.5)", 1.5),
        ("sqrt(9)", 3.0),
        ("sqrt(2.25)", 1.5),
        ("exp(0)", 1.0),
        ("log(1)", 0.0),
        ("log10(1000)", 3.0),
        ("sin(0)", 0.0),
        ("cos(0)", 1.0),
        ("asin(0)", 0.0),
        ("acos(1)", 0.0),
        ("sinh(0)", 0.0),
        ("cosh(0)", 1.0),
        ("asinh(0)", 0.0),
        ("acosh(1)", 0.0),
        ('integer("5")', 5),
        ('integer("-5")', -5),
        ("integer(5.9)", 5),
        ("integer(true)", 1),
        ("integer(7)", 7),
        ('float("2.5")', 2.5),
        ("float(2)", 2.0),
        ("float(2.5)", 2.5),
        ("string(5)", "5"),
        ("string(2.5)", "2.5"),
        ("string(true)", "true"),
        ('string("x")', "x"),
        ("string(55, 2)", "110111"),
        ("string(255, 16)", "ff"),
        ("string(-5, 2)", "-101"),
        ("string(35, 36)", "z"),
        ('bool("true")', True),
        ('bool("false")', False),
        ("bool(1)", True),
        ("bool(0)", False),
        ("bool(true)", True),
        ("ipset(ranges, 3)", ["10.0.0.10", "10.0.0.11", "10.0.0.12"]),
        ("ipset(ranges, 5)", ["10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.1.0", "10.0.1.1"]),
        ("ipset(ranges, 2, 1, 2)", ["10.0.0.11", "10.0.0.12"]),
        ("ipset(ranges, 2, list)", ["10.0.0.10", "10.0.0.12"]),
        ("ipset(ranges, 2, [3..7])", ["10.0.1.0", "10.0.1.1"]),
        ('ipset("10.0.0.0/30", 2)', ["10.0.0.0", "10.0.0.1"]),
        ("ipset(ranges, 0)", []),
    ],
)
def test_numbers_and_conversions(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression, DOCUMENT)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('ceil("x")', ""),
        ("ceil()", ""),
        ("ceil(1, 2)", ""),
        ("sqrt(true)", ""),
        ('integer("x")', ""),
        ("integer([])", ""),
        ('float("x")', ""),
        ("string(5, 1)", ""),
        ("string(5, 99)", ""),
        ("string([])", ""),
        ('bool("maybe")', ""),
        ("bool([])", ""),
        ("ipset(ranges, 99)", ""),
        ('ipset("nothing", 1)', ""),
        ("ipset(ranges)", ""),
        ("ipset(ranges, 1, 99)", ""),
        ("ipset(5, 1)", ""),
    ],
)
def test_numbers_that_do_not_fit(expression: str, reason: str) -> None:
    assert reason in fault(expression, DOCUMENT)


def networks(template: str) -> Any:
    from tweed_shim import spiff

    return spiff.merge(template)["jobs"][0]["networks"][0]["static_ips"]


POOL = """
networks:
- name: front
  subnets:
  - range: 10.9.0.0/24
    static: [10.9.0.10 - 10.9.0.12]
  - range: 10.9.1.0/24
    static: [10.9.1.5 - 10.9.1.6]
jobs:
- name: web
  instances: 2
  networks:
  - name: front
    static_ips: (( static_ips(%s) ))
"""


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ("0, 1", ["10.9.0.10", "10.9.0.11"]),
        ("0, 2, 4", ["10.9.0.10", "10.9.0.12"]),
        ("[2..4]", ["10.9.0.12", "10.9.1.5"]),
        ("4, 0", ["10.9.1.6", "10.9.0.10"]),
        ("[0, [3]]", ["10.9.0.10", "10.9.1.5"]),
    ],
)
def test_static_addresses_of_a_job(indices: str, expected: Any) -> None:
    assert networks(POOL % indices) == expected


@pytest.mark.parametrize("indices", ["0", "99, 0", '"a", 1', ""])
def test_static_addresses_that_are_not_there(indices: str) -> None:
    from dynaml import refused

    assert "static_ips" in refused(POOL % indices)
