"""`validate` and `check`: every validator, what it accepts, what it refuses, and in which words."""

from typing import Any

import pytest

from dynaml import evaluate, exact, fault
from tweed_shim import spiff

DOCUMENT = """
even: (( |x|->x % 2 == 0 ))
said: (( |x|->[x > 2, "it is " x] ))
told: (( |x,m|->[x > m, "above " m, "not above " m] ))
record: {name: kim, age: 7}
"""

ACCEPTED = [
    ('""', '"empty"'),
    ("[]", '"empty"'),
    ("{}", '"empty"'),
    ('"a"', '"!empty"'),
    ('"a.example.org"', '"dnsdomain"'),
    ('"*.example.org"', '"wildcarddnsdomain"'),
    ('"my-label"', '"dnslabel"'),
    ('"a.example.org"', '"dnsname"'),
    ('"*.example.org"', '"dnsname"'),
    ('"10.0.0.1"', '"ip"'),
    ('"fd00::1"', '"ip"'),
    ('"10.0.0.0/8"', '"cidr"'),
    ('"1.2.3"', '"semver"'),
    ('"1.2.3"', '["semver", ">=1.0"]'),
    ('"1.2.3"', '["semver", ">=1.0", "<2"]'),
    ('"x"', '["type", "string"]'),
    ("5", '["type", "string", "int"]'),
    ("[1]", '["type", "list"]'),
    ("record", '["type", "map"]'),
    ('"b"', '["valueset", ["a", "b"]]'),
    ("2", '["valueset", [1, 2]]'),
    ('"a"', '["value", "a"]'),
    ('"a"', '["=", "a"]'),
    ("record", '["value", {$name = "kim", $age = 7}]'),
    ("5", '["gt", 4]'),
    ("5", '[">", 4]'),
    ('"b"', '["gt", "a"]'),
    ("5", '["lt", 6]'),
    ("5", '["<", 6]'),
    ("5", '["ge", 5]'),
    ("5", '[">=", 5]'),
    ("5", '["le", 5]'),
    ("5", '["<=", 5.5]'),
    ('"abc"', '["match", "b"]'),
    ('"abc"', '["~=", "^a.c$"]'),
    ("[1, 2]", '"list"'),
    ("[1, 2]", '["list", ["type", "int"]]'),
    ('["a.b", "c"]', '["list", "dnsdomain", ["type", "string"]]'),
    ("record", '"map"'),
    ('{$a = "10.0.0.1"}', '["map", "ip"]'),
    ('{$a = "10.0.0.1"}', '["map", "dnslabel", "ip"]'),
    ("record", '["mapfield", "name"]'),
    ("record", '["mapfield", "age", ["type", "int"]]'),
    ("record", '["optionalfield", "none", "ip"]'),
    ("record", '["optionalfield", "age", ["gt", 3]]'),
    ('"10.0.0.1"', '["or", "ip", "cidr"]'),
    ('"10.0.0.1"', '["and", "ip", ["match", "^10"]]'),
    ('"x"', '["not", "ip"]'),
    ('"x"', '["!", "ip"]'),
    ('"x"', '"!ip"'),
    ("4", "even"),
    ("4", "|x|->x > 3"),
    ("3", "said"),
    ("6", "[told, 5]"),
    ('"10.0.0.1"', '"ip", ["match", "1$"]'),
    ('"10.0.0.1"', '["or", ["and", "ip", ["match", "^9"]], ["!", "cidr"]]'),
]


@pytest.mark.parametrize(("value", "validators"), ACCEPTED)
def test_what_is_valid_is_the_result(value: str, validators: str) -> None:
    assert exact(evaluate(f"validate({value}, {validators})", DOCUMENT)) == exact(evaluate(value, DOCUMENT))


@pytest.mark.parametrize(
    ("value", "validators", "reason"),
    [
        ('"a"', '"empty"', "condition 1 failed: is not empty"),
        ("[1]", '"empty"', "is not empty"),
        ('""', '"!empty"', "is empty"),
        ('"a_b.org"', '"dnsdomain"', "is no dns domain: [a DNS-1123 subdomain must consist of"),
        ('"example.org"', '"wildcarddnsdomain"', "is no wildcard dns domain: [a wildcard DNS-1123 subdomain"),
        ('"a.b"', '"dnslabel"', "is no dns label: [a DNS-1123 label must consist of"),
        ('"a_b"', '"dnsname"', "is no dns name"),
        ("5", '"dnslabel"', ""),
        ('"10.0.0.1/8"', '"ip"', "is no ip address: 10.0.0.1/8"),
        ("5", '"ip"', ""),
        ('"10.0.0.1"', '"cidr"', "is no CIDR: invalid CIDR address: 10.0.0.1"),
        ('"10.0.0.1/33"', '"cidr"', "is no CIDR"),
        ('"x.y"', '"semver"', "invalid semantic version"),
        ('"1.2.3"', '["semver", ">=2"]', ""),
        ("5", '["type", "string"]', "is not of type string"),
        ("5", '["type", "string", "list"]', "string"),
        ('"c"', '["valueset", ["a", "b"]]', 'invalid value "c"'),
        ('"c"', '["value", "a"]', 'invalid value "c"'),
        ("4", '["gt", 4]', "less or equal to 4"),
        ("4", '["lt", 4]', "greater than 4"),
        ("4", '["ge", 5]', "less than 5"),
        ("4", '["le", 3]', "greater or equal to 3"),
        ('"a"', '["gt", 5]', ""),
        ('"abc"', '["match", "^b"]', 'invalid value "abc"'),
        ('"abc"', '["match", "("]', ""),
        ("5", '"list"', "is no list"),
        ('[1, "x"]', '["list", ["type", "int"]]', "entry 1 condition 0 is not of type int"),
        ("5", '"map"', "is no map"),
        ('{$a = "x"}', '["map", "ip"]', "is no ip address: x"),
        ('{"a_b" = "10.0.0.1"}', '["map", "dnslabel", "ip"]', "a_b"),
        ("record", '["mapfield", "size"]', "size"),
        ("record", '["mapfield", "name", "ip"]', "is no ip address: kim"),
        ("record", '["optionalfield", "name", "ip"]', "is no ip address: kim"),
        ('"x"', '["or", "ip", "cidr"]', "(is no ip address: x and is no CIDR: invalid CIDR address: x)"),
        ('"x"', '["and", "dnslabel", "ip"]', "is no ip address: x"),
        ('"10.0.0.1"', '["not", "ip"]', "is ip address"),
        ('"10.0.0.1"', '"!ip"', "is ip address"),
        ("3", "even", "failed"),
        ("1", "said", "it is 1"),
        ("4", "[told, 5]", "not above 5"),
        ("6", '["!", [told, 5]]', "above 5"),
        ('"10.0.0.1"', '"ip", "cidr"', "condition 2 failed"),
        ("5", '"nosuchvalidator"', "nosuchvalidator"),
        ("5", "5", ""),
        ("5", "[]", ""),
        ("5", '["gt"]', ""),
        ("5", '["valueset", 5]', ""),
        ('"x"', '"publickey"', "no public key"),
        ('"x"', '"privatekey"', "no private key"),
        ('"x"', '"certificate"', "no certificate"),
        ('"x"', '"ca"', ""),
    ],
)
def test_what_is_not_valid_is_told(value: str, validators: str, reason: str) -> None:
    assert reason in fault(f"validate({value}, {validators})", DOCUMENT)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('check("10.0.0.1", "ip")', True),
        ('check("x", "ip")', False),
        ('check(4, ["gt", 3], ["lt", 5])', True),
        ('check(6, ["gt", 3], ["lt", 5])', False),
        ("check(4, even)", True),
        ("check(5, even)", False),
        ('check(record, ["mapfield", "name", ["type", "string"]])', True),
    ],
)
def test_check_only_answers(expression: str, expected: Any) -> None:
    assert evaluate(expression, DOCUMENT) is expected


def test_a_validator_may_be_a_part_of_the_document() -> None:
    template = """
hosts: {web: 10.0.0.1, db: 10.0.0.2}
rule:
- map
- dnslabel
- - or
  - ip
  - cidr
result: (( validate(hosts, rule) ))
"""
    assert spiff.merge(template)["result"] == {"web": "10.0.0.1", "db": "10.0.0.2"}
