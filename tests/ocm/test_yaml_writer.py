"""YAML and JSON as the reference implementation writes them: styles, order, numbers, and nothing lost."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from component_descriptors import JSON, TEXTS, UNHURRIED
from tweed_shim.data import documents
from tweed_shim.ocm import json_writer, numbers, yaml_writer

LONG = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain text", "plain text"),
        ("", '""'),
        ("yes", '"yes"'),
        ("No", '"No"'),
        ("y", '"y"'),
        ("~", '"~"'),
        ("null", '"null"'),
        ("nul", "nul"),
        (".inf", '".inf"'),
        ("12", '"12"'),
        ("0x1F", '"0x1F"'),
        ("017", '"017"'),
        ("08", '"08"'),
        ("1_000", '"1_000"'),
        ("1e3", '"1e3"'),
        ("496e2714", "496e2714"),
        ("18446744073709551616", '"18446744073709551616"'),
        ("0b12", "0b12"),
        ("12:30:45", '"12:30:45"'),
        ("12:70", "12:70"),
        ("2020-01-01", '"2020-01-01"'),
        ("2020-13-01", "2020-13-01"),
        ("2021-02-29", "2021-02-29"),
        ("2020-1-1T1:2:3.5+02:00", '"2020-1-1T1:2:3.5+02:00"'),
        ("2020-01-01 10:11:12", '"2020-01-01 10:11:12"'),
        ("<<", "<<"),
        ("=", "="),
        ("sha256:abc", "sha256:abc"),
        ("a: b", "'a: b'"),
        ("a:", "'a:'"),
        ("a #b", "'a #b'"),
        ("a#b", "a#b"),
        ("- a", "'- a'"),
        ("-a", "-a"),
        ("? a", "'? a'"),
        ("?a", "?a"),
        ("@a", "'@a'"),
        ("it's", "it's"),
        ("'it's'", "'''it''s'''"),
        ("--- a", "'--- a'"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("tab\there", '"tab\\there"'),
        ("bell\a \x01", '"bell\\a \\x01"'),
        ("\ufeff", '"\\uFEFF"'),
        ("😀", '"\\U0001F600"'),
        ("é\u00a0", "é\u00a0"),
        ("line\u2028separator", '"line\\Lseparator"'),
        ("two\nlines", "|-\n  two\n  lines"),
        ("two\nlines\n", "|\n  two\n  lines"),
        ("two\n\nlines\n\n", "|+\n  two\n\n  lines\n"),
        (" led\nby a blank", "|2-\n   led\n  by a blank"),
        ("\n", "|2+\n"),
        ("trailing \nblank", '"trailing \\nblank"'),
        (LONG, LONG.replace("tempor ", "tempor\n  ")),
        (None, "null"),
        (True, "true"),
        (12, "12"),
        (-0.5, "-0.5"),
        (1.0, "1"),
        (1234567.5, "1.2345675e+06"),
        (1e21, "1e+21"),
        (1e20, "1e+20"),
        (0.00001, "1e-05"),
        (0.0001, "0.0001"),
        ({}, "{}"),
        ([], "[]"),
        ([1, [2, {"a": [3]}]], "\n- 1\n- - 2\n  - a:\n    - 3"),
        ({"b": {"a10": 1, "a2": 2}}, "\n  b:\n    a2: 2\n    a10: 1"),
    ],
)
def test_a_value_is_written_as_the_reference_writes_it(value: Any, written: str) -> None:
    separator = "" if written.startswith("\n") else " "
    assert yaml_writer.dump({"key": value}).decode() == f"key:{separator}{written}\n"


def test_keys_are_in_natural_order() -> None:
    keys = ["B", "a", "b", "a1", "a02", "a10", "a9b", "a-b", "a.b", "aa", "1", "10", "9", "", "_"]
    written = yaml_writer.dump(dict.fromkeys(keys)).decode()
    assert [line.removesuffix(": null").strip('"') for line in written.splitlines()] == [
        *["", "_", "1", "9", "10", "B", "a"],
        *["a-b", "a.b", "a1", "a02", "a9b", "a10", "aa", "b"],
    ]


def test_a_key_that_is_long_or_has_lines_is_marked_as_one() -> None:
    assert yaml_writer.dump({"k" * 129: [1], "a\nb": "c"}).decode() == (
        f"? |-\n  a\n  b\n: c\n? {'k' * 129}\n: - 1\n"
    )


def test_folded_text_keeps_its_blanks() -> None:
    word = "x" * 30
    quoted = f"a: {word} {word}  {word} {word}  {word} {word} end"
    for text in (quoted, quoted.replace("a: ", ""), f"\t{quoted}"):
        written = yaml_writer.dump({"key": text})
        assert len(written.splitlines()) > 2
        assert yaml.safe_load(written) == {"key": text}


@given(st.dictionaries(TEXTS, JSON, max_size=4))
@UNHURRIED
def test_whatever_is_written_is_read_again(value: dict[str, Any]) -> None:
    written = yaml_writer.dump(value)
    assert documents.load(written, name="it").value == value
    assert yaml_writer.dump(value) == written


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 40))
@UNHURRIED
def test_any_text_is_read_again_by_others_too(text: str, depth: int) -> None:
    # PyYAML takes these for special; the reference does not, and leaves them plain.
    assume(text not in ("=", "<<"))
    value: Any = text
    for _ in range(depth):
        value = {"k": value} if depth % 2 else [value]
    written = yaml_writer.dump({"key": value})
    assert yaml.safe_load(written) == {"key": value}
    assert documents.load(written, name="it").value == {"key": value}


@given(st.dictionaries(TEXTS, JSON, max_size=4))
@UNHURRIED
def test_json_is_the_same_value_without_anything_that_html_would_read(value: dict[str, Any]) -> None:
    written = json_writer.dump(value)
    assert json.loads(written) == value
    assert not set("<>&") & set(written)


@given(st.floats(allow_nan=False, allow_infinity=False))
@UNHURRIED
def test_a_number_is_the_same_in_every_way_of_writing_it(number: float) -> None:
    assert float(numbers.json_text(number)) == number
    assert float(numbers.yaml_text(number)) == number


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.5e300, "-1.5e+300"),
        (333333333.33333329, "333333333.3333333"),
        (10**30, "1" + "0" * 30),
    ],
)
def test_numbers_in_json_are_those_of_ecmascript(number: float, written: str) -> None:
    assert numbers.json_text(number) == written


def test_what_is_no_number_of_json_is_refused() -> None:
    with pytest.raises(ValueError, match="inf"):
        numbers.json_text(float("inf"))


def test_canonical_json_orders_keys_by_utf_16() -> None:
    value = {"\ue000": 1, "😀": 2, "a": 10**25, "\u20ac": "<"}
    assert json_writer.canonical(value).decode() == '{"a":1e+25,"\u20ac":"<","😀":2,"\ue000":1}'
