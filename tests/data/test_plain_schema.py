"""Plain schemas: what is accepted in process is what the library accepts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.data import jsonschema, plain_schema, schema_worker

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, 1.5]),
    st.sampled_from(["", "a", "ab", "é"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=6,
)
types = st.sampled_from(["object", "array", "string", "boolean", "null", "integer", "number"])
bounds = st.sampled_from([-1, 0, 1, 1.5, 2])
sizes = st.integers(0, 3)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.one_of(types, st.lists(types, min_size=1, max_size=2, unique=True)),
            "enum": st.lists(values, min_size=1, max_size=3),
            "const": values,
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), bounds),
            **dict.fromkeys(
                ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), sizes
            ),
            "default": values,
            "format": st.just("ipv4"),
            "$schema": st.sampled_from([jsonschema.DRAFT_7, jsonschema.DRAFT_2020_12]),
            "anyOf": st.just([{"type": "string"}]),
            "pattern": st.just("^a"),
        },
    )


schemas = st.recursive(st.booleans(), _schemas, max_leaves=4)


@given(schema=schemas.filter(lambda schema: isinstance(schema, dict)), value=values)
def test_what_is_accepted_has_no_fault_for_the_library(schema: dict[str, Any], value: Any) -> None:
    if plain_schema.accepts(schema, value):
        assert jsonschema.value_faults(schema, value) == []


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 1}),
        ({"additionalProperties": False, "properties": {"a": {"enum": ["x", "y"]}}}, {"a": "y"}),
        ({"properties": {"a": {"type": "string", "minLength": 1, "default": "x"}}}, {"b": 1}),
        ({"items": {"type": ["string", "null"]}, "maxItems": 2}, ["x", None]),
        ({"$schema": jsonschema.DRAFT_7, "minimum": 1, "maximum": 3}, 2),
    ],
)
def test_a_plain_schema_is_decided_without_a_worker(
    schema: dict[str, Any], value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(schema_worker, "SchemaWorker")
    encoded = json.dumps(value).encode()
    assert schema_worker.faults_in_worker(schema, encoded, what="s", schema_checked=True) == []


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, True),
        ({"type": "number"}, False),
        ({"enum": [1]}, True),
        ({"const": 0}, False),
        ({"pattern": "a"}, "a"),
        ({"$ref": "#"}, {}),
        ({"properties": {"a": {"$schema": jsonschema.DRAFT_7}}}, {"a": 1}),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, 1),
        ({"additionalProperties": False, "patternProperties": {"a": True}}, {"a": 1}),
        ({"items": [True]}, [1]),
        ({"minimum": True}, 2),
        (False, 1),
    ],
)
def test_all_else_is_left_to_the_worker(schema: Any, value: Any) -> None:
    assert not plain_schema.accepts(schema, value)


def test_a_schema_that_nests_without_end_is_left_to_the_worker() -> None:
    schema: dict[str, Any] = {"type": "object"}
    value: dict[str, Any] = {}
    schema["properties"], value["a"] = {"a": schema}, value
    assert not plain_schema.accepts(schema, value)
