"""The lean half of JSON reads and writes as the whole of json does."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.base.lean import json as lean

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
# Texts that are nearly JSON.
SCRAPS = st.lists(st.sampled_from([*'{}[]:,"\\ \n\t\0\ufeff', "1", "-", ".5", "e9", "true", "NaN", "é"])).map(
    "".join
)


def output(reader: object, data: str | bytes) -> object:
    """What a reader makes of a text, or what is wrong with it."""
    assert callable(reader)
    try:
        return repr(reader(data))
    except ValueError as error:
        return type(error), str(error)


@given(VALUES)
def test_values_are_written_and_read_as_by_the_whole(value: object) -> None:
    text = json.dumps(value)
    assert lean.dumps(value) == text
    assert lean.loads(text) == lean.loads(f" \n{text}\t\r".encode()) == value


@given(SCRAPS)
def test_any_text_is_read_or_refused_as_by_the_whole(text: str) -> None:
    assert output(lean.loads, text) == output(json.loads, text)


@given(st.binary(max_size=20) | SCRAPS.map(lambda text: text.encode("utf-16")))
def test_any_bytes_are_read_or_refused_as_by_the_whole(data: bytes) -> None:
    assert output(lean.loads, data) == output(json.loads, data)


def test_numbers_that_json_has_not_are_those_of_the_whole() -> None:
    assert lean.loads("[Infinity, -Infinity]") == [math.inf, -math.inf]
    assert lean.dumps([math.inf, math.nan]) == "[Infinity, NaN]"


def test_what_has_no_form_is_refused_by_its_type_and_leaves_no_trace() -> None:
    refused = [{"a": {1}}]
    with pytest.raises(TypeError, match="set has no form"):
        lean.dumps(refused)
    refused[0]["a"] = {}  # type: ignore[assignment]  # the same objects, now sound
    assert lean.dumps(refused) == '[{"a": {}}]'


def test_an_interpreter_without_that_half_has_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "_scan", None)
    monkeypatch.setattr(lean, "_chunks", None)
    assert lean.loads(lean.dumps({"a": [1, "é"]})) == {"a": [1, "é"]}
