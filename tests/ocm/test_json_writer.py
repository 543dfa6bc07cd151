"""JSON as Go and ECMAScript write it, canonical JSON, and numbers in both formats."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component_descriptors import JSON, TEXTS, UNHURRIED
from tweed_shim.ocm import json_writer, number_format


@given(st.dictionaries(TEXTS, JSON, max_size=4))
@UNHURRIED
def test_json_is_the_same_value_and_safe_in_html(value: dict[str, Any]) -> None:
    written = json_writer.dump(value)
    assert json.loads(written) == value
    assert not set("<>&") & set(written)


@given(st.floats(allow_nan=False, allow_infinity=False))
@UNHURRIED
def test_a_number_is_the_same_in_json_and_yaml(number: float) -> None:
    assert float(number_format.json_text(number)) == number
    assert float(number_format.yaml_text(number)) == number


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
    assert number_format.json_text(number) == written


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="inf"):
        number_format.json_text(float("inf"))


def test_canonical_json_orders_keys_by_utf_16() -> None:
    value = {"\ue000": 1, "😀": 2, "a": 10**25, "\u20ac": "<"}
    assert json_writer.canonical(value).decode() == '{"a":1e+25,"\u20ac":"<","😀":2,"\ue000":1}'
