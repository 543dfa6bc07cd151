"""The operator's configuration: read, validated by the image's inputs, and encoded."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.data import jsonschema, schema_worker
from tweed_shim.errors import ConfigError, ContractError
from tweed_shim.tweed import configuration, schema

PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
INPUTS = {"host": {"type": "string", "minLength": 1}, "port": PORT, "tls": {"type": "boolean"}}
WHOLE = {"type": "object", "properties": INPUTS, "required": ["host", "port"]}


def fault(value: Any, inputs: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        configuration.validate(configuration.encode(value), inputs)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"host": "h", "port": 6379}', "redis.json"),
        (b'{"host": "h", "port": 6379}', "standard input"),
        (b"host: h\nport: 6379\n", "redis.yml"),
        (b"{host: h, port: 6379}", "redis.yml"),
        (b'{"host":\t"h",\n\t"port": 6379}', "redis.yml"),
    ],
)
def test_json_and_yaml_are_read(data: bytes, name: str) -> None:
    assert configuration.read(data, name=name) == {"host": "h", "port": 6379}


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"host: h\n", "redis.json", "redis.json is not JSON: line 1, column 1"),
        (b"", "redis.yml", "redis.yml is empty"),
        (b"[1]", "redis.yml", "redis.yml is no map"),
        (b"hello", "redis.yml", "redis.yml is no map"),
        (b"a: 1\na: 2\n", "redis.yml", "redis.yml, line 2: the key a is there twice"),
        (b'{"a": 1, "a": 2}', "redis.json", "redis.json, line 1: the key a is there twice"),
        (b'{"a": NaN}', "redis.yml", "redis.yml holds NaN"),
        (b'{"a": 1', "redis.yml", "redis.yml is not JSON (line 1, column 8"),
        (b"a: b: c", "redis.yml", "redis.yml, line 1, column 5"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_reported_with_its_position(
    data: bytes, name: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.read(data, name=name)
    assert said in str(caught.value)


@pytest.mark.parametrize("inputs", [None, {}, INPUTS, WHOLE])
def test_a_valid_configuration_is_accepted(inputs: Any) -> None:
    configuration.validate(configuration.encode({"host": "h", "port": 6379, "tls": True}), inputs)


def test_every_fault_is_listed_with_its_path() -> None:
    message = fault({"port": 0, "tls": "yes", "extra": [1]}, {**WHOLE, "additionalProperties": False})
    for said in (
        "host is required",
        "port must be at least 1",
        "tls must be true/false",
        "extra is not known here",
    ):
        assert said in message


def test_a_nested_fault_has_its_whole_path() -> None:
    nodes = {"type": "array", "items": {"type": "object", "required": ["port"], "properties": {"port": PORT}}}
    message = fault({"nodes": [{"port": 1}, {"port": "x"}, {}]}, {"nodes": nodes})
    assert "nodes[1].port must be a whole number" in message
    assert "nodes[2].port is required" in message


def test_a_map_of_properties_knows_no_other_names() -> None:
    message = fault({"hots": "h"}, INPUTS)
    assert 'hots is not known here (did you mean "host"?)' in message


def test_a_whole_schema_decides_about_other_names_itself() -> None:
    configuration.validate(configuration.encode({"host": "h", "port": 1, "other": 1}), WHOLE)


def test_nothing_is_required_by_a_map_of_properties() -> None:
    configuration.validate(configuration.encode({}), INPUTS)


@pytest.mark.parametrize(
    "name",
    ["type", "properties", "required", "$schema", "enum", "items", "additionalProperties", "allOf", "$ref"],
)
def test_an_input_may_be_called_as_a_keyword_is(name: str) -> None:
    inputs = {name: {"type": "string", "description": "an input with an unlucky name"}}
    configuration.validate(configuration.encode({name: "x"}), inputs)
    assert "must be text" in fault({name: 1}, inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"properties": {"a": {"type": "string"}}},
        {"properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"type": "string"}}},
        {"allOf": [{"properties": {"a": {"type": "string"}}}]},
        {"$ref": "#/$defs/all", "$defs": {"all": {"properties": {"a": {"type": "string"}}}}},
    ],
)
def test_a_whole_schema_is_known_by_its_keywords(inputs: Any) -> None:
    configuration.validate(configuration.encode({"a": "x", "other": 1}), inputs)
    assert "a must be text" in fault({"a": 1}, inputs)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"type": ["array", "null"]}, "v must be a list or nothing"),
        ({"enum": ["a", 1]}, 'v must be one of "a", 1'),
        ({"const": "a"}, 'v must be "a"'),
        ({"pattern": "^[a-z]+$"}, 'v must match the pattern "^[a-z]+$"'),
        ({"maxLength": 3}, "v must have 3 or fewer characters"),
        ({"anyOf": [{"type": "integer"}, {"type": "array"}]}, "v must be a whole number or must be a list"),
        ({"oneOf": [{"type": "string"}, {"minLength": 1}]}, "v must fit exactly one of the forms"),
        ({"not": {"type": "string"}}, 'v breaks the rule "not" of the schema'),
        (False, "it is a value that the schema forbids"),
        ({"$ref": "#/properties/w"}, "v must be a number"),
    ],
)
def test_messages_contain_the_schema_and_never_the_values(rule: Any, said: str) -> None:
    message = fault({"v": "HUNTER2"}, {"v": rule, "w": {"type": "number"}})
    assert said in message
    assert "HUNTER2" not in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just("hunter2") | st.just(4242.25),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
rules = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "object", "array"]),
        "maxItems": st.just(0),
        "uniqueItems": st.just(True),
        "required": st.just(["z"]),
        "maxProperties": st.just(1),
        "propertyNames": st.just({"maxLength": 0}),
        "additionalProperties": st.just(False),
        "items": st.sampled_from([False, {"type": "string"}]),
        "contains": st.just({"type": "string"}),
        "multipleOf": st.just(3),
        "minLength": st.just(50),
        "dependentRequired": st.just({"a": ["b"]}),
        "if": st.just({"type": "string"}),
        "then": st.just({"maxLength": 1}),
    },
)


@given(json_values, rules)
def test_no_message_holds_a_value(value: Any, rule: Any) -> None:
    said = str(jsonschema.value_faults(schema.whole({"v": rule}), {"v": value}))
    assert "hunter2" not in said
    assert "4242.25" not in said


@pytest.mark.parametrize(
    "rule", [{"$ref": "#/nowhere"}, {"$ref": "#/properties/v"}, {"pattern": "("}, {"type": "strange"}]
)
def test_a_schema_that_cannot_be_applied_is_the_images_fault(rule: Any) -> None:
    with pytest.raises(ContractError, match="ask its author to correct it"):
        configuration.validate(configuration.encode({"v": "x"}), {"v": rule})


@pytest.mark.parametrize(
    "inputs",
    [
        {"v": {"pattern": "^(([^!])*)*!$"}},
        {
            "$ref": "#/$defs/0",
            "$defs": {
                str(level): {"anyOf": [{"$ref": f"#/$defs/{level + 1}"}] * 2}
                if level < 40
                else {"type": "array"}
                for level in range(41)
            },
        },
    ],
    ids=["pattern", "references"],
)
def test_a_schema_that_takes_too_long_is_refused(inputs: Any) -> None:
    value = configuration.encode({"v": "x" * 60})
    with pytest.raises(ContractError, match="ask its author to make it simpler"):
        schema_worker.faults_in_worker(
            schema.whole(inputs), value, what=schema.NAME, schema_checked=True, seconds=1
        )


def test_the_image_gets_json_in_the_operators_order() -> None:
    value = {"z": "\u00e9", "a": [1, 2.5, None, True], "big": 10**30}
    assert (
        configuration.encode(value)
        == ('{"z": "\u00e9", "a": [1, 2.5, null, true], "big": 1' + "0" * 30 + "}\n").encode()
    )


@pytest.mark.parametrize(
    "value", [{"a": float("nan")}, {"a": b"x"}, {"a": {1, 2}}, {"a": "\ud800"}, {(1,): 2}]
)
def test_a_value_that_json_cannot_express_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="JSON cannot hold"):
        configuration.encode(value)


def test_a_recursive_value_is_refused() -> None:
    value: dict[str, Any] = {}
    value["a"] = value
    with pytest.raises(ConfigError, match="JSON cannot hold"):
        configuration.encode(value)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_an_encoded_configuration_is_read_back(value: dict[str, Any]) -> None:
    assert json.loads(configuration.encode(value)) == value
    assert configuration.read(configuration.encode(value), name="x") == value
