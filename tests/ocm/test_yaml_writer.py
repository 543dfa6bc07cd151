"""YAML as the reference implementation writes it: styles, the order of keys, and no value lost."""

from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from component_descriptors import JSON, TEXTS, UNHURRIED
from tweed_shim.data import documents
from tweed_shim.ocm import yaml_writer

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


def test_a_long_or_multiline_yaml_key_is_written_explicitly() -> None:
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
def test_written_yaml_is_read_again(value: dict[str, Any]) -> None:
    written = yaml_writer.dump(value)
    assert documents.load(written, name="it").value == value
    assert yaml_writer.dump(value) == written


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 40))
@UNHURRIED
def test_written_text_is_read_again_by_pyyaml(text: str, depth: int) -> None:
    # PyYAML reads these as special values; the reference does not, and writes them plain.
    assume(text not in ("=", "<<"))
    value: Any = text
    for _ in range(depth):
        value = {"k": value} if depth % 2 else [value]
    written = yaml_writer.dump({"key": value})
    assert yaml.safe_load(written) == {"key": value}
    assert documents.load(written, name="it").value == {"key": value}
